"""How weights move: parameter groups, the rate over time, and the average of the weights."""

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
    """AdamW or Adam over what learns; no decay for biases, norms and the scale.

    Parameters
    ----------
    model, settings
        The learning parameters, and how they are to move.
    fresh_heads
        The projections start from nothing and learn faster.
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
    """Set the learning rates of a step, counted from 0; returns that of the towers."""
    factor = rate_factor(step, steps, settings)
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor
    return settings.learning_rate * factor


def rate_factor(step: int, steps: int, settings: TrainSettings) -> float:
    """Share of the full rate at a step: a linear warm-up, then a half cosine down to 0 or nothing else."""
    warmup = max(int(steps * settings.warmup_share), 1)
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))


class WeightAverage:
    """Exponential average over steps of all that changes in a model: weights that learn, and statistics.

    Parameters
    ----------
    decay
        0 averages nothing: the last step's weights are the average.
    """

    def __init__(self, model: TierModel, decay: float):
        self._model, self._decay = model, decay
        self._average = {name: value.clone() for name, value in changing(model).items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        if not self._average:
            return
        # The average starts short, so that the random heads of the first steps do not linger in it.
        decay = min(self._decay, (1 + step) / (10 + step)) if step > 1 else 0.0
        now = changing(self._model)
        floating = [name for name in self._average if now[name].is_floating_point()]
        average: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average([self._average[n] for n in floating], [now[n] for n in floating], step)
        for name in self._average.keys() - floating:
            self._average[name].copy_(now[name])

    def state(self) -> dict[str, Tensor]:
        """What `load` takes."""
        return self._average

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        for name, value in state.items():
            self._average[name].copy_(value)

    def averaged(self) -> TierModel:
        """A copy of the model with the averaged weights, in eval mode."""
        model = copy.deepcopy(self._model)
        set_changing(model, self._average)
        model.eval()
        return model

    def settle(self) -> None:
        """Give the model itself the averaged weights and leave it in eval mode."""
        set_changing(self._model, self._average)
        self._model.eval()


def changing(model: TierModel) -> dict[str, Tensor]:
    """The parts of the state that training changes, by name, not copied."""
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    fixed = {name for name, _ in model.named_parameters()} - learning
    return {name: value for name, value in model.state_dict().items() if name not in fixed}


@torch.no_grad()
def set_changing(model: TierModel, values: Mapping[str, Tensor]) -> None:
    """Copy values into the parts of the state that they name."""
    state = model.state_dict()
    for name, value in values.items():
        state[name].copy_(value)
