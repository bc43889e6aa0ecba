# ruff: noqa: TID253
"""What a TIER model is made of, as data: two towers, two heads, a scale."""

from __future__ import annotations

import math
from typing import Any

from transformers import PretrainedConfig

from tier_cli.errors import CheckpointError

ENTROPY_MODES = ("masked", "paper")

# Facts of one saved file or one program, not of the architecture. `auto_map` names code to run: never.
_NOT_ARCHITECTURE = {
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "torch_dtype",
    "transformers_version",
}


class TierConfig(PretrainedConfig):  # type: ignore[misc]
    """Configuration of a `TierModel`.

    Parameters
    ----------
    image_tower, text_tower
        transformers configurations as dicts, ``model_type`` included.
    projection_dim
        Width D of the joint space.
    image_hidden_dim, text_hidden_dim
        Width inside each projection head; `projection_dim` when None, as in the paper.
    entropy
        How padding was treated in training: ``masked`` or, as published, ``paper``.
    logit_scale_init
        Starting value of the learned scale, before the exponential.
    max_logit_scale
        Upper bound of the scale after the exponential; None leaves it free, as the paper does.
    scoring
        Name of the rule that turns embeddings into scores.
    max_tokens
        Texts are cut at this many tokens, special tokens included.
    """

    model_type = "tier"

    def __init__(
        self,
        image_tower: dict[str, Any] | None = None,
        text_tower: dict[str, Any] | None = None,
        projection_dim: int = 128,
        image_hidden_dim: int | None = None,
        text_hidden_dim: int | None = None,
        entropy: str = "masked",
        logit_scale_init: float = math.log(1 / 0.07),
        max_logit_scale: float | None = 100.0,
        scoring: str = "cosine_difference",
        max_tokens: int = 128,
        **kwargs: Any,
    ):
        if entropy not in ENTROPY_MODES:
            raise CheckpointError(f"unknown entropy mode '{entropy}'", remedy=f"use one of {ENTROPY_MODES}")
        # transformers builds configurations without arguments to learn their defaults.
        self.image_tower = _architecture(image_tower or {"model_type": "resnet"})
        self.text_tower = _architecture(text_tower or {"model_type": "bert"})
        self.projection_dim = projection_dim
        self.image_hidden_dim = image_hidden_dim
        self.text_hidden_dim = text_hidden_dim
        self.entropy = entropy
        self.logit_scale_init = logit_scale_init
        self.max_logit_scale = max_logit_scale
        self.scoring = scoring
        self.max_tokens = max_tokens
        super().__init__(**kwargs)


def tower_config(tower: dict[str, Any]) -> Any:
    """The transformers configuration a tower's dict describes; classes of the library only."""
    from transformers import CONFIG_MAPPING

    tower = dict(tower)
    model_type = tower.pop("model_type", None)
    if model_type not in CONFIG_MAPPING:
        raise CheckpointError(
            f"the tower's model_type '{model_type}' is not known to transformers",
            remedy="name a model_type of the transformers library; code from elsewhere is never run",
        )
    return CONFIG_MAPPING[model_type](**tower)


def _architecture(tower: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tower.items() if key not in _NOT_ARCHITECTURE}
