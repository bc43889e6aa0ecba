"""What a TIER model is made of, as data: two towers, two heads, a scale."""

from __future__ import annotations

import math
from typing import Any

from transformers import PretrainedConfig

from tier_cli.errors import CheckpointError

ENTROPY_MODES = ("masked", "paper")
# What each field may say; `TierConfig` tells what it means.
CHOICES = {
    "entropy": ENTROPY_MODES,
    "image_pooling": ("mean", "class", "pooler"),
    "image_head": ("mlp", "linear", "none"),
    "text_pooling": ("first", "end", "last"),
    "text_head": ("mlp", "linear", "two_layer", "none"),
    "text_padding": ("longest", "fixed"),
    "prompt_average": ("unit", "projection"),
}

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
    image_pooling
        The image's embedding: ``mean`` of the projected patches; the projected ``class`` token, the first of
        the tower's; or what the tower's own ``pooler`` gives (CLIP, SigLIP), projected.
    image_head, text_head
        The projections: ``mlp`` is the paper's, ``linear`` and ``two_layer`` (linear, GELU, linear) have no
        biases, ``none`` takes the tower's features as they are.
    text_pooling
        The text's embedding: the projected ``first`` ([CLS]) token; the token at the ``end`` of the text (the
        first `end_token`, or the greatest id where that is None); or the ``last``, padding included.
    text_padding, text_mask
        Pad to the ``longest`` text of a call, or to a ``fixed`` `max_tokens`; whether the tower is kept from
        looking at padding.
    strip
        Characters taken off the end of every text before it is cut into tokens.
    prompt_average
        Prompts of one finding are averaged as ``unit`` vectors, or as the plain ``projection`` (BioViL).
    logit_bias_init
        Starting value of the bias that SigLIP adds to its logits; None for a model without one.
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
        image_pooling: str = "mean",
        image_head: str = "mlp",
        text_pooling: str = "first",
        text_head: str = "mlp",
        end_token: int | None = None,
        text_padding: str = "longest",
        text_mask: bool = True,
        strip: str = "",
        prompt_average: str = "unit",
        logit_bias_init: float | None = None,
        **kwargs: Any,
    ):
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
        self.image_pooling = image_pooling
        self.image_head = image_head
        self.text_pooling = text_pooling
        self.text_head = text_head
        self.end_token = end_token
        self.text_padding = text_padding
        self.text_mask = text_mask
        self.strip = strip
        self.prompt_average = prompt_average
        self.logit_bias_init = logit_bias_init
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise CheckpointError(
                    f"{name} is {getattr(self, name)!r}",
                    where="config.json",
                    remedy=f"it must be one of {', '.join(known)}",
                )
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
