"""Build a trainer for a tiny model, without image files or a final checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tiny import tiny_model, tiny_tokenizer

from tier_cli.datasets.manifest import Manifest
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.losses import OBJECTIVES
from tier_cli.model.tokens import TextTokenizer
from tier_cli.training.data.labels import label_training_rows
from tier_cli.training.data.pairs import Pairs
from tier_cli.training.distributed import World
from tier_cli.training.inputs.images import AugmentedImages, StoredPixels
from tier_cli.training.inputs.loader import Batches, Plan
from tier_cli.training.loop.freezing import Encoders
from tier_cli.training.loop.loop import Trainer
from tier_cli.training.loop.task import Task
from tier_cli.training.progress import no_progress
from tier_cli.training.settings import RunOptions, TrainSettings

ROWS = 24
SETTINGS = TrainSettings(
    epochs=3, batch_size=8, learning_rate=1e-2, freeze_text_layers=0, lambda_patch=0.3, lambda_token=0.4
)
REPORTS = (
    "effusion is present",
    "no effusion",
    "lungs are clear",
    "no evidence of pneumothorax, lungs are clear",
)


def batches(folder: Path, settings: TrainSettings, world: World = World()) -> Batches:
    """Squares of noise with reports of different lengths; four images after each other are of one study."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "squares.npy"
    if not file.exists():
        np.save(file, np.random.default_rng(0).integers(0, 255, (ROWS, 36, 36), dtype=np.uint8))
        tiny_tokenizer(folder)
    frame = pd.DataFrame(
        {
            "path": [f"{row}.png" for row in range(ROWS)],
            "study": [f"s{row // 4}" for row in range(ROWS)],
            "text": [f"{REPORTS[row % 4]} {row}" for row in range(ROWS)],
        }
    )
    rows = label_training_rows(Manifest(frame, "table"), load_findings("nih14"))
    pairs = Pairs(rows, settings.seed)
    pixels = StoredPixels(file, np.arange(ROWS))
    images = AugmentedImages(pixels, Preprocessing(resize_short=36, crop=32), settings.seed, pairs.after)
    plan = Plan(pairs, settings.batch_size, ROWS // settings.batch_size, world.rank, world.size)
    return Batches(plan, images, TextTokenizer(folder, 48))


def encoders(settings: TrainSettings) -> Encoders:
    """A tiny model, frozen as the settings want."""
    built = Encoders(tiny_model(), settings.freeze_image_blocks, settings.checkpoint_activations)
    built.freeze(settings.freeze_text_layers)
    return built


def trainer(
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
    run_options: RunOptions | None = None,
    world: World = World(),
    **changes: Any,
) -> Trainer:
    """A trainer that writes metrics.jsonl and state.pt into `folder`."""
    settings = replace(SETTINGS, **changes)
    objective = OBJECTIVES[settings.objective](settings.lambda_patch, settings.lambda_token, settings.entropy)
    run_options = run_options or RunOptions(device="cpu", workers=0)
    task = Task(
        encoders(settings), objective, batches(folder, settings, world), settings, run_options, {"seed": 0},
        folder, folder / "state.pt", fresh_heads=True, max_bad=0, left_out=0,
        paths=[f"{row}.png" for row in range(ROWS)],
    )  # fmt: skip
    return Trainer(task, world, torch.device("cpu"), stop)


silent = no_progress
