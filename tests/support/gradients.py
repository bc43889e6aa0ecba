"""Compute the loss and the gradients of one batch over a tiny model, in any number of parts or processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from little import ROWS, batches, encoders, silent

from tier_cli.model.losses import LossParts
from tier_cli.training.distributed import World
from tier_cli.training.inputs.features import FrozenFeatures, write_features
from tier_cli.training.inputs.images import AugmentedImages
from tier_cli.training.inputs.loader import Batch
from tier_cli.training.inputs.regions import RegionBatch
from tier_cli.training.loop.freezing import Encoders
from tier_cli.training.loop.step import Gradients, PromptBatch, Relations, comparison_parameters
from tier_cli.training.run.start import build_objective
from tier_cli.training.settings import TrainSettings


def prepared(
    folder: Path, settings: TrainSettings, world: World = World(), train: bool = False
) -> tuple[Gradients, Batch, Relations]:
    """Return what computes gradients, this process's first batch, and how its images and texts relate."""
    built = encoders(settings)
    if train:
        built.train_mode(0, statistics=False)
    else:
        built.eval()
    objective = build_objective(settings)
    if objective.starting_bias is not None:
        built.model.logit_bias = torch.nn.Parameter(torch.tensor(objective.starting_bias))
    made = batches(folder, settings, world)
    if settings.freeze_image_blocks:
        assert isinstance(made.images, AugmentedImages)
        made.images = _frozen(folder / "features.npy", made.images, built)
    shared = world.shared(built, torch.device("cpu"), comparison_parameters(built.model))
    step = Gradients(shared, built.model, objective, world, settings.precision, settings.seed, pad_id=0)
    batch = made[0]
    rows = world.gather(batch.rows)
    excluded = torch.from_numpy(made.plan.pairs.excluded(rows.numpy(), made.plan.all_places(0)))
    assert excluded.sum() > len(rows), "views of one study should be left out of the negatives"
    partners = fit(len(rows)) if settings.partners == "labels" else None
    prompts = prompt_batch(len(rows)) if settings.prompt_weight else None
    if settings.region_weight:
        batch = batch._replace(regions=region_batch(len(rows)).within(made.plan.part))
    return step, batch, Relations(excluded, partners, prompts)


def fit(rows: int) -> torch.Tensor:
    """Return how well texts fit images: some not at all, some in part."""
    return torch.rand(rows, rows, generator=torch.Generator().manual_seed(1)).sub(0.5).clamp(min=0)


def prompt_batch(rows: int) -> PromptBatch:
    """Return two prompts of each kind for three findings, longer than the texts, and labels."""
    draws = torch.Generator().manual_seed(2)
    ids = torch.randint(5, 20, (12, 40), generator=draws)
    mask = (torch.arange(40) < torch.randint(3, 41, (12, 1), generator=draws)).long()
    labels = torch.randint(0, 3, (rows, 3), generator=draws).float()
    labels = torch.where(labels == 2, torch.nan, labels)
    return PromptBatch(ids * mask, mask, labels, torch.tensor([-1.0, 0.0, 0.5]))


def region_batch(images: int) -> RegionBatch:
    """Return regions in some images of a batch: two in one, none in the last."""
    draws = torch.Generator().manual_seed(3)
    numbers = torch.tensor([0, *range(images - 1)])
    findings = torch.randint(0, 3, (images,), generator=draws)
    return RegionBatch(numbers, findings, torch.rand(images, 16, generator=draws).round())


def gradients_of(
    folder: Path, settings: TrainSettings, world: World = World(), parts: int = 1, train: bool = False
) -> dict[str, torch.Tensor]:
    """Return what `found_in` gives for the first batch."""
    step, batch, relations = prepared(folder, settings, world, train)
    if parts > 1:
        outcome = step.in_parts(batch, relations, 0, len(batch.rows) // parts)
    else:
        outcome = step.whole(batch, relations, 0)
    return found_in(step, outcome.parts, outcome.sparsity)


def found_in(step: Gradients, parts: LossParts, sparsity: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the loss, its terms, the sparsity of the similarities and the gradient of every parameter."""
    gradients = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    return {**parts._asdict(), **gradients, "sparsity": sparsity}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare two results of `found_in`."""
    assert one.keys() == other.keys()
    for name, value in one.items():

        def message(text: str, name: str = name) -> str:
            return f"{name}: {text}"

        torch.testing.assert_close(other[name], value, atol=1e-5, rtol=1e-5, msg=message)


def _frozen(file: Path, images: AugmentedImages, built: Encoders) -> FrozenFeatures:
    """Features of the frozen blocks, written by the first process that needs them."""
    if not file.exists():
        write_features(images, ROWS, built.start(), 2, file, torch.device("cpu"), silent, lambda bad: None)
    return FrozenFeatures(file, np.arange(ROWS), seed=0)
