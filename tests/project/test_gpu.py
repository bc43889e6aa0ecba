"""What only a GPU can show: `python -m pytest -m gpu`. Without one, one line says that it was skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradients import prepared
from little import SETTINGS
from tiny import SIZE, tiny_checkpoint
from xrays import write_png

from tier_cli.imaging.discover import discover
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.open_engine import open_engine
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.pipeline.stream import StreamOptions

DEVICE = "cuda"
pytestmark = pytest.mark.gpu
if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "tiny")


def test_embeddings_are_those_of_a_cpu(tiny: Path) -> None:
    """Scores, thresholds and calibrations made on one machine are used on others."""
    checkpoint = open_checkpoint(tiny)
    here, there = (open_engine(checkpoint, "torch", device) for device in ("cpu", DEVICE))
    pixels = np.random.default_rng(0).normal(size=(5, 3, SIZE, SIZE)).astype(np.float32)
    for mine, theirs in zip(here.features(pixels)[:2], there.features(pixels)[:2], strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-4 * np.abs(mine).max())
    texts = ["no effusion", "the lungs are clear of evidence"]
    np.testing.assert_allclose(there.embed_texts(texts), here.embed_texts(texts), atol=1e-5)


def test_scores_do_not_depend_on_the_other_files_of_a_run(tiny: Path, tmp_path: Path) -> None:
    """Digits may depend on a batch's size, so batches are filled up: a resumed run must fit its start."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(35):
        write_png(folder / f"{number:02}.png", number)
    job = open_job(str(tiny), engine="torch", device=DEVICE)
    options = StreamOptions(workers=0)
    every = [_scores(one) for one in job.classify(discover([str(folder)]), options)]
    some = [str(folder / f"{number:02}.png") for number in (0, 1, 34)]
    alone = [_scores(one) for one in job.classify(discover(some), options)]
    assert alone == [every[number] for number in (0, 1, 34)]


def _scores(result: Any) -> list[float]:
    assert result.error is None
    return [found.score for found in result.findings]


@pytest.mark.parametrize("parts", [1, 4])
def test_a_step_of_training_has_the_gradients_of_a_cpu(tmp_path: Path, parts: int) -> None:
    """Training on a GPU must learn what the tested code learns."""
    found = [_gradients(tmp_path, device, parts) for device in ("cpu", DEVICE)]
    assert found[0].keys() == found[1].keys()
    for name, mine in found[0].items():
        torch.testing.assert_close(found[1][name], mine, rtol=1e-3, atol=1e-4, msg=name)


def _gradients(folder: Path, device: str, parts: int) -> dict[str, torch.Tensor]:
    step, batch, relations = prepared(folder, SETTINGS)
    step.encoders.to(device)
    step.model.to(device)
    batch = batch.to(torch.device(device))
    relations = relations._replace(excluded=relations.excluded.to(device))
    # TF32 has 10 bits, as fp16 has.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        if parts == 1:
            step.whole(batch, relations, 0)
        else:
            step.in_parts(batch, relations, 0, len(batch.rows) // parts)
    named = step.model.named_parameters()
    return {name: one.grad.cpu() for name, one in named if one.grad is not None}
