"""Teach the text tower which prompts state the same, before it meets images."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from tier_cli.training.progress import Stage
from tier_cli.training.seeds import STATEMENTS, derive

if TYPE_CHECKING:
    from torch import Tensor

    from tier_cli.model.modeling import TierModel
    from tier_cli.model.tokens import TextTokenizer
    from tier_cli.training.data.prompts import Prompts
    from tier_cli.training.progress import TrainingProgress
    from tier_cli.training.settings import TrainSettings

_TEMPERATURE = 0.1
# The tower learns more slowly than its fresh projection.
_TOWER_SHARE = 1 / 3


def learn_statements(
    model: TierModel,
    prompts: Prompts,
    tokenizer: TextTokenizer,
    settings: TrainSettings,
    device: torch.device,
    progress: TrainingProgress,
) -> None:
    """Train the text tower and its projection on the prompts alone, in place.

    A text tower that was trained on general texts hardly tells a finding from its denial. Until it does, the
    prompt term gives images no direction, and the image tower may learn to give all images one embedding.

    Parameters
    ----------
    model
        The model, with its parameters frozen as set.
    prompts, tokenizer
        The prompts to draw, and what makes tokens of them.
    settings
        `prompt_steps`, the learning rate, and the seed.
    device
        Where to compute.
    progress
        Shows how far it is.
    """
    steps, rate = settings.prompt_steps, settings.learning_rate * settings.head_rate_factor
    tower = [p for p in model.text_tower.parameters() if p.requires_grad]
    groups = [
        {"params": tower, "lr": rate * _TOWER_SHARE},
        {"params": list(model.text_projection.parameters()), "lr": rate},
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=settings.weight_decay)
    # Several of each kind, or nothing is the same as anything.
    several = replace(prompts, count=max(prompts.count, 2))
    for step in range(steps):
        torch.manual_seed(derive(settings.seed, STATEMENTS, step))
        texts, columns = several.draw(step, STATEMENTS)
        ids, mask = (torch.from_numpy(array).to(device) for array in tokenizer(texts))
        kinds = torch.arange(2 * len(columns), device=device).repeat_interleave(several.count)
        loss = statement_loss(model.encode_texts(ids, mask).pooled, kinds)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], settings.clip_norm or math.inf
        )
        optimizer.step()
        progress(Stage.LEARNING_PROMPTS, step + 1, steps)


def statement_loss(embeddings: Tensor, kinds: Tensor) -> Tensor:
    """Return the supervised contrastive loss of texts that state the same or not.

    Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, the sum outside the logarithm.

    Parameters
    ----------
    embeddings
        (N, D) text embeddings.
    kinds
        (N,) what each states; every kind occurs at least twice.
    """
    unit = functional.normalize(embeddings.float(), dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.T / _TEMPERATURE).masked_fill(itself, float("-inf"))
    same = (kinds[:, None] == kinds[None, :]) & ~itself
    shares = functional.log_softmax(logits, 1).masked_fill(~same, 0.0)
    return -(shares.sum(1) / same.sum(1)).mean()
