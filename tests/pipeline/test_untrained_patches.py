"""Maps of models whose patches were not trained to be compared with texts exist, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LEVIT, tiny_config, tiny_tokenizer
from xrays import write_png

from tier_cli.errors import CheckpointError
from tier_cli.findings.load import builtin
from tier_cli.imaging.discover import Source
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.checkpoint import FINDINGS, PREPROCESSING, write_checksums, write_json
from tier_cli.model.configuration import TierConfig
from tier_cli.model.modeling import TierModel
from tier_cli.model.save import save_weights
from tier_cli.pipeline.explanations import finding_maps
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import StreamOptions

VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 8,
}
SWIN = {"model_type": "swin", "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": 32}


def job_of(folder: Path, tower: dict[str, Any], pooling: str) -> ScoringJob:
    """Write a checkpoint with an image tower of random weights, and open it."""
    config = TierConfig(
        tower,
        tiny_config().text_tower,
        projection_dim=12,
        max_tokens=80,
        image_pooling=pooling,
        image_head="linear",
    )
    torch.manual_seed(0)
    tiny_tokenizer(folder)
    save_weights(folder, TierModel(config).eval())
    write_json(folder / PREPROCESSING, Preprocessing(resize_short=None, crop=32).to_dict())
    (folder / FINDINGS).write_text(builtin("chexpert5").to_toml(), encoding="utf-8")
    write_checksums(folder)
    return open_job(str(folder), "effusion", engine="torch", device="cpu")


@pytest.mark.parametrize(
    ("tower", "pooling", "why"),
    [
        ({"model_type": "vit", **VIT}, "mean", ""),  # TIER
        ({"model_type": "vit", **VIT}, "class", "class token"),  # BiomedCLIP
        ({"model_type": "clip_vision_model", **VIT}, "pooler", "own pooling"),  # CLIP, CheXzero
        ({"model_type": "siglip_vision_model", **VIT}, "pooler", "own pooling"),  # SigLIP
        ({**SWIN, "window_size": 4}, "first", "first patch alone"),  # CXR-CLIP
    ],
    ids=["tier", "biomedclip", "clip", "siglip", "cxr-clip"],
)
def test_maps_have_a_note(tmp_path: Path, tower: dict[str, Any], pooling: str, why: str) -> None:
    maps = finding_maps(job_of(tmp_path / "model", tower, pooling))
    source = Source(str(write_png(tmp_path / "a.png")))
    (image,) = maps.explain([source], StreamOptions(workers=0))
    assert image.explanation is not None
    assert image.explanation.maps[0].values.shape == (4, 4)
    said = [note for note in image.explanation.notes if "patches were not trained for maps" in note]
    assert len(said) == bool(why)
    assert all(why in note for note in said)


def test_a_tower_without_a_grid_is_refused_before_any_image_is_read(tmp_path: Path) -> None:
    job = job_of(tmp_path / "model", LEVIT, "pooler")
    with pytest.raises(CheckpointError, match="no grid of patches: it can classify, but not localise"):
        finding_maps(job)
