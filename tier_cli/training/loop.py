# ruff: noqa: TID253
"""The training loop: draw pairs, encode both sides, apply the objective, average the weights."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from tier_cli.errors import TierError, UsageError
from tier_cli.model.losses import LossParts, TierObjective
from tier_cli.model.modeling import ImageFeatures, TextFeatures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from tier_cli.model.modeling import TierModel, TierOutput
    from tier_cli.model.tokens import TextTokenizer
    from tier_cli.training.pairs import Pairs
    from tier_cli.training.settings import TrainSettings


_LOG_EVERY = 20


class ImageSource(Protocol):
    """Gives the trained part of the image tower its inputs."""

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """Inputs of these rows."""


@dataclass
class Trainer:
    """One run over a model that is changed in place.

    Parameters
    ----------
    model
        Starting weights.
    rest
        The trained part of the image tower: inputs of `images` -> (N, C, h, w).
    images, pairs, tokenizer
        Where inputs and texts come from; the tokenizer truncates and pads to the longest of a batch.
    settings
        The run.
    log
        File that gets one JSON line a logged step and epoch.
    """

    model: TierModel
    rest: nn.Module
    images: ImageSource
    pairs: Pairs
    tokenizer: TextTokenizer
    settings: TrainSettings
    log: Path
    _average: dict[str, Tensor] = field(default_factory=dict)

    def run(
        self,
        progress: Callable[[str, int, int], None],
        after_epoch: Callable[[TierModel], dict[str, float]] | None = None,
    ) -> tuple[float, dict[str, float]]:
        """Train; the model ends with the averaged weights and in eval mode.

        Parameters
        ----------
        progress
            Called with what is going on, the step and the number of steps.
        after_epoch
            Given a model with the averaged weights; what it measures is logged.

        Returns
        -------
        tuple
            The seconds it took, and what `after_epoch` measured of the final weights.

        Raises
        ------
        TierError
            When the loss is not a number, naming the rows.
        """
        s = self.settings
        torch.manual_seed(s.seed)
        freeze(self.model, self.rest, s)
        epoch_images = s.images_per_epoch or len(self.pairs)
        per_epoch = max(epoch_images // s.batch_size, 1)
        optimiser = self._optimiser()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _cosine(per_epoch * s.epochs, s.warmup_share))
        objective = TierObjective(s.lambda_patch, s.lambda_token, s.entropy)
        step, began = 0, time.monotonic()
        measured: dict[str, float] = {}
        for epoch in range(s.epochs):
            self._train_mode()
            rows = self.pairs.draw(per_epoch * s.batch_size)
            for first in range(0, len(rows), s.batch_size):
                batch = rows[first : first + s.batch_size]
                parts, output = self._step(batch, objective, optimiser)
                schedule.step()
                step += 1
                self._update_average(step)
                if step % _LOG_EVERY == 0 or step == 1:
                    rate = {
                        "learning_rate": schedule.get_last_lr()[0],
                        "images_per_second": step * s.batch_size / (time.monotonic() - began),
                    }
                    self._write({"step": step, "epoch": epoch, **_measures(parts, output), **rate})
                progress(f"epoch {epoch + 1}/{s.epochs}", step, per_epoch * s.epochs)
            if after_epoch is not None:
                measured = after_epoch(self.averaged())
                self._write({"epoch_end": epoch, "step": step, **measured})
        self.model.load_state_dict(self._average)
        self.model.eval()
        return time.monotonic() - began, measured

    def averaged(self) -> TierModel:
        """A copy of the model with the averaged weights, in eval mode."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(self._average)
        model.eval()
        return model

    def _step(
        self, rows: NDArray[np.int64], objective: TierObjective, optimiser: torch.optim.Optimizer
    ) -> tuple[LossParts, TierOutput]:
        texts, excluded = self.pairs.texts(rows)
        ids, mask = (torch.from_numpy(array) for array in self.tokenizer(texts))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.settings.precision == "bf16"):
            projected = self.model.image_projection(self.rest(self.images.batch(rows)))
            texts_encoded = self.model.encode_texts(ids, mask)
        patches = projected.float().flatten(2).transpose(1, 2)
        features = ImageFeatures(patches, patches.mean(1), (projected.shape[2], projected.shape[3]))
        output = self.model.compare(features, TextFeatures(*(t.float() for t in texts_encoded)), mask)
        parts = objective.loss(output, torch.from_numpy(excluded))
        if not math.isfinite(parts.total.item()):
            raise TierError(
                f"the loss is {parts.total.item()} for manifest rows {rows[:8].tolist()} ...",
                remedy="lower --learning-rate, or look at these rows",
            )
        optimiser.zero_grad(set_to_none=True)
        parts.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
        optimiser.step()
        self.model.clamp_logit_scale()
        return parts, output

    def _optimiser(self) -> torch.optim.Optimizer:
        s = self.settings
        heads = [*self.model.image_projection.parameters(), *self.model.text_projection.parameters()]
        fresh = {id(p) for p in heads}
        towers = [p for p in self.model.parameters() if p.requires_grad and id(p) not in fresh]
        groups = [
            {
                "params": [p for p in towers if p.ndim > 1],
                "lr": s.learning_rate,
                "weight_decay": s.weight_decay,
            },
            {"params": [p for p in towers if p.ndim <= 1], "lr": s.learning_rate, "weight_decay": 0.0},
            {"params": heads, "lr": s.learning_rate * s.head_rate_factor, "weight_decay": s.weight_decay},
        ]
        return torch.optim.AdamW(groups)

    def _train_mode(self) -> None:
        self.model.eval()
        # Frozen parts stay in eval mode: their BatchNorm statistics belong to the starting weights.
        for module in (self.rest, self.model.image_projection, self.model.text_projection):
            module.train()
        for layer in _text_layers(self.model)[self.settings.freeze_text_layers :]:
            layer.train()

    def _update_average(self, step: int) -> None:
        # The average starts short, so that the random heads of the first steps do not linger in it.
        decay = (
            min(self.settings.average_decay, (1 + step) / (10 + step)) if self.settings.average_decay else 0.0
        )
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                if name not in self._average:
                    self._average[name] = value.clone()
                elif value.is_floating_point():
                    self._average[name].lerp_(value, 1 - decay)
                else:
                    self._average[name].copy_(value)

    def _write(self, record: dict[str, Any]) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def freeze(model: TierModel, rest: nn.Module, settings: TrainSettings) -> None:
    """Let only the rest of the image tower, the last text layers, the heads and the scale learn."""
    model.requires_grad_(False)
    layers = _text_layers(model)
    if settings.freeze_text_layers > len(layers):
        raise UsageError(
            f"the text tower has {len(layers)} layers, not {settings.freeze_text_layers}",
            where="--freeze-text-layers",
            remedy=f"use 0 to {len(layers)}",
        )
    trained = [rest, model.image_projection, model.text_projection, *layers[settings.freeze_text_layers :]]
    for module in trained if settings.freeze_text_layers else [*trained, model.text_tower]:
        module.requires_grad_(True)
    model.logit_scale.requires_grad_(True)


def _text_layers(model: TierModel) -> list[nn.Module]:
    tower = model.text_tower
    # BERT's name for its layers, and DistilBERT's.
    body = getattr(tower, "encoder", None) or getattr(tower, "transformer", None)
    layers = getattr(body, "layer", None)
    if layers is None:
        raise UsageError(
            f"the layers of a '{tower.config.model_type}' text tower cannot be told apart",
            where="--text-tower",
            remedy="use a BERT-like encoder, such as bert, roberta or distilbert",
        )
    return list(layers)


def _cosine(steps: int, warmup_share: float) -> Callable[[int], float]:
    warmup = max(int(steps * warmup_share), 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))

    return factor


def _measures(parts: LossParts, output: TierOutput) -> dict[str, float]:
    """The loss, its terms, and how sparse the similarities of valid tokens are."""
    s = output.similarities.detach()[output.attention_mask.bool()].abs()
    root = math.sqrt(s.shape[1])
    hoyer = (root - s.sum(1) / s.norm(dim=1).clamp_min(1e-12)) / (root - 1)
    return {
        **{name: value.item() for name, value in parts._asdict().items()},
        "similarity_share_above_0.1": (s > 0.1).float().mean().item(),
        "similarity_hoyer": hoyer.mean().item(),
    }
