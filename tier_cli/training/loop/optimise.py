"""Build the optimiser, schedule its learning rate, and average the weights."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tier_cli.model.modeling import TierModel
    from tier_cli.training.settings import TrainSettings


def build_optimizer(model: TierModel, settings: TrainSettings, fresh_heads: bool) -> torch.optim.Optimizer:
    """Build AdamW or Adam over the learning parameters, without decay for biases, norms and the scale.

    Parameters
    ----------
    model, settings
        The model, and the settings of the optimiser.
    fresh_heads
        The projections start from random weights and learn faster.
    """
    s = settings
    heads = [*model.image_projection.parameters(), *model.text_projection.parameters()]
    head_ids = {id(p) for p in heads}
    towers = [p for p in model.parameters() if p.requires_grad and id(p) not in head_ids]
    head_rate = s.learning_rate * (s.head_rate_factor if fresh_heads else 1.0)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in towers if p.ndim > 1], "lr": s.learning_rate},
        {"params": [p for p in towers if p.ndim <= 1], "lr": s.learning_rate, "weight_decay": 0.0},
        {"params": [p for p in heads if p.ndim > 1], "lr": head_rate},
        {"params": [p for p in heads if p.ndim <= 1], "lr": head_rate, "weight_decay": 0.0},
    ]
    kind: Any = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[s.optimizer]
    optimizer: torch.optim.Optimizer = kind(
        [group for group in groups if group["params"]], weight_decay=s.weight_decay
    )
    for group in optimizer.param_groups:
        group["full_rate"] = group["lr"]
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, step: int, steps: int, settings: TrainSettings) -> float:
    """Set the learning rates of a step, counted from 0; returns the rate of the towers."""
    factor = rate_factor(step, steps, settings)
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor
    return settings.learning_rate * factor


def rate_factor(step: int, steps: int, settings: TrainSettings) -> float:
    """Return the share of the full rate at a step: linear warm-up, then a half cosine to 0, or constant."""
    warmup = max(int(steps * settings.warmup_share), 1)
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))


class WeightAverage:
    """Average the learning weights and the statistics of a model exponentially over the steps.

    Parameters
    ----------
    model
        The model whose state is averaged.
    decay
        Weight of the previous average; 0 turns averaging off.
    """

    def __init__(self, model: TierModel, decay: float):
        self._model, self._decay = model, decay
        self._average = (
            {name: value.clone() for name, value in changing_state(model).items()} if decay else {}
        )

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Include the weights after a step, counted from 1."""
        if not self._average:
            return
        # A short average at first: otherwise the random heads of the first steps linger in it.
        decay = min(self._decay, (1 + step) / (10 + step)) if step > 1 else 0.0
        now = changing_state(self._model)
        floating = [name for name in self._average if now[name].is_floating_point()]
        average: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average([self._average[n] for n in floating], [now[n] for n in floating], step)
        for name in self._average.keys() - floating:
            self._average[name].copy_(now[name])

    def state(self) -> dict[str, Tensor]:
        """Return the state that `load` accepts."""
        return self._average

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved state."""
        for name, value in state.items():
            self._average[name].copy_(value)

    def averaged(self) -> TierModel:
        """Return a copy of the model with the averaged weights, in eval mode."""
        model = copy.deepcopy(self._model)
        load_changing_state(model, self._average)
        model.eval()
        return model

    def apply(self) -> None:
        """Copy the averaged weights into the model itself and put it into eval mode."""
        load_changing_state(self._model, self._average)
        self._model.eval()


def changing_state(model: TierModel) -> dict[str, Tensor]:
    """Return the parts of the model's state that training changes, by name, without copying them."""
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    fixed = {name for name, _ in model.named_parameters()} - learning
    return {name: value for name, value in model.state_dict().items() if name not in fixed}


@torch.no_grad()
def load_changing_state(model: TierModel, values: Mapping[str, Tensor]) -> None:
    """Copy values into the parts of the model's state that they name."""
    state = model.state_dict()
    for name, value in values.items():
        state[name].copy_(value)
