"""Train the image tower with a linear layer instead of texts: the yardstick for training with labels.

    python models/recipes/tier-small/supervised.py MANIFEST.csv OUTPUT --image-tower DIR --squares DIR

With --soft-labels, the probabilities that `tier train --soft-labels` reads take the place of labels. Rows,
draws, augmentation and the schedule of the learning rate are those of `tier train`; the loss is the
binary cross-entropy of every known label. The moving average has no shorter memory at its start, and weight
decay also takes biases and norms. OUTPUT becomes a folder of starting weights, with the AUCs of the
validation images after each epoch in metrics.jsonl and the scores of held-out images in CSV files.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import AutoModel

from tier_cli.datasets.manifest import read_manifest
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.metrics.ranking import auc
from tier_cli.training.data.labels import TrainingRows, label_training_rows
from tier_cli.training.data.pairs import Pairs
from tier_cli.training.data.soft_labels import read_soft_labels
from tier_cli.training.inputs.images import AugmentedImages, StoredPixels, centre_crops, read_images
from tier_cli.training.inputs.loader import Plan
from tier_cli.training.loop.memory import keep_freed_memory
from tier_cli.training.loop.optimise import rate_factor
from tier_cli.training.progress import no_progress
from tier_cli.training.settings import TrainSettings

DECAY, CLIP = 0.995, 1.0


class Classifier(nn.Module):
    """A tower with one logit per finding, from the mean over its grid."""

    def __init__(self, folder: Path, findings: int):
        super().__init__()
        self.tower = AutoModel.from_pretrained(folder, dtype=torch.float32)
        self.tower.to(memory_format=torch.channels_last)
        self.head = nn.Linear(self.tower.config.to_dict().get("hidden_size", 1280), findings)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (n, F) of inputs (n, 3, S, S)."""
        grid = self.tower(inputs.contiguous(memory_format=torch.channels_last)).last_hidden_state
        logits: Tensor = self.head(grid.mean((2, 3)))
        return logits


def main() -> None:
    """Train, validate after each epoch, and score the test images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--image-tower", type=Path, required=True)
    parser.add_argument("--findings", default="nih14")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images-per-epoch", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--squares", type=Path, required=True)
    parser.add_argument("--soft-labels", type=Path)
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(arguments.seed)
    side = arguments.image_size
    spec = Preprocessing(resize_short=round(side * 8 / 7), crop=side)
    findings = load_findings(arguments.findings)
    rows = label_training_rows(read_manifest(arguments.manifest), findings)
    arguments.output.mkdir(parents=True, exist_ok=True)
    arguments.squares.mkdir(parents=True, exist_ok=True)

    def part(name: str) -> tuple[TrainingRows, StoredPixels]:
        chosen = rows.where(rows.manifest.column("split") == name)
        file, bad = read_images(chosen.paths, spec, arguments.squares, 2, no_progress)
        if bad:
            raise bad[0][1]
        return chosen, StoredPixels(file, np.arange(len(chosen)))

    training, pixels = part("train")
    pairs = Pairs(training, arguments.seed)
    plan = Plan(pairs, arguments.batch_size, arguments.images_per_epoch // arguments.batch_size)
    images = AugmentedImages(pixels, spec, arguments.seed, pairs.after)
    model = Classifier(arguments.image_tower, len(findings.ids))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
    optimiser = torch.optim.AdamW(
        [
            {"params": list(model.tower.parameters()), "full": arguments.learning_rate},
            {"params": list(model.head.parameters()), "full": 3 * arguments.learning_rate},
        ],
        weight_decay=arguments.weight_decay,
    )
    steps = plan.steps_per_epoch * arguments.epochs
    settings = TrainSettings()
    if arguments.soft_labels is not None:
        training = replace(training, soft=read_soft_labels(arguments.soft_labels, None, training).values)
    targets = torch.from_numpy(training.targets()).float()
    with (arguments.output / "metrics.jsonl").open("w") as log:
        for step in range(steps):
            model.train()
            inputs, used, _ = images.batch(plan.rows(step), plan.places(step))
            for group in optimiser.param_groups:
                group["lr"] = group["full"] * rate_factor(step, steps, settings)
            truth = targets[torch.from_numpy(used)]
            known = ~truth.isnan()
            loss = functional.binary_cross_entropy_with_logits(model(inputs)[known], truth[known])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            average.update_parameters(model)
            if (step + 1) % plan.steps_per_epoch == 0:
                measured = {"epoch": (step + 1) // plan.steps_per_epoch, "loss": loss.item()}
                if (rows.manifest.column("split") == "valid").any():
                    measured |= areas(
                        scores(average, *part("valid"), spec), part("valid")[0].values, findings.ids
                    )
                log.write(json.dumps(measured) + "\n")
                log.flush()
    average.module.tower.save_pretrained(arguments.output)
    for name in ("valid", "test"):
        if (rows.manifest.column("split") == name).any():
            chosen, stored = part(name)
            table = pd.DataFrame(scores(average, chosen, stored, spec), columns=list(findings.ids))
            table.insert(0, "file", [Path(path).name for path in chosen.paths])
            table.to_csv(arguments.output / f"{name}-scores.csv", index=False)


@torch.no_grad()
def scores(
    model: nn.Module, rows: TrainingRows, pixels: StoredPixels, spec: Preprocessing
) -> NDArray[np.float64]:
    """Return the logits (N, F) of images without augmentation."""
    model.eval()
    parts = []
    for first in range(0, len(rows), 16):
        squares = np.stack([pixels.read(row) for row in range(first, min(first + 16, len(rows)))])
        parts.append(model(centre_crops(squares, spec)).double().numpy())
    return np.concatenate(parts)


def areas(
    values: NDArray[np.float64], labels: NDArray[np.float64], names: tuple[str, ...]
) -> dict[str, float]:
    """Return the AUC of every finding that has both classes, and their mean."""
    found = {}
    for column, name in enumerate(names):
        known = np.isin(labels[:, column], (0, 1))
        if len(set(labels[known, column])) == 2:
            found[name] = auc(labels[known, column], values[known, column])
    return {"mean_auc": float(np.mean(list(found.values()))), **found}


if __name__ == "__main__":
    main()
