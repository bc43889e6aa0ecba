"""Define the configuration of a TIER model: towers, heads, pooling, scale."""

from __future__ import annotations

import math
from typing import Any

from transformers import PretrainedConfig

from tier_cli.errors import CheckpointError
from tier_cli.model.fields import check_config

# Properties of a saved file or a program, not of the architecture. `auto_map` names code, which is never run.
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
        Texts are truncated to this many tokens, including special tokens.
    image_pooling
        The image's embedding: ``mean`` of the projected patches; the projected ``class`` token, the tower's
        first; the ``first`` token even where it is a patch (CXR-CLIP's Swin); or the output of the tower's
        own ``pooler`` (CLIP, SigLIP), projected.
    image_head, text_head
        The projections: ``mlp`` is the paper's, ``linear`` and ``two_layer`` (linear, GELU, linear) have no
        biases, ``affine`` is linear with a bias, ``none`` uses the features of the tower unchanged.
    text_pooling
        The text's embedding: the projected ``first`` ([CLS]) token; the token at the ``end`` of the text (the
        first `end_token`, or the greatest id where that is None); the ``last``, padding included; or the
        ``mean`` of all tokens, padding excluded.
    text_layers
        Text layers whose outputs are averaged before the projection, counted from 1, or from the last, -1
        (MedCLIP); None takes the tower's output.
    text_padding, text_mask
        Pad to the ``longest`` text of a call or to a ``fixed`` `max_tokens`; whether it is masked.
    strip
        Characters removed from the end of every text before tokenisation.
    text_cleaning
        Texts are tokenised as written (``none``), or cleaned first as OpenAI's CLIP and open_clip do
        (``clip``), see `tier_cli.model.tokens.clean_text`.
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
        text_layers: list[int] | None = None,
        end_token: int | None = None,
        text_padding: str = "longest",
        text_mask: bool = True,
        strip: str = "",
        prompt_average: str = "unit",
        text_cleaning: str = "none",
        logit_bias_init: float | None = None,
        **kwargs: Any,
    ):
        # transformers builds configurations without arguments to determine their defaults.
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
        self.text_layers = text_layers
        self.end_token = end_token
        self.text_padding = text_padding
        self.text_mask = text_mask
        self.strip = strip
        self.prompt_average = prompt_average
        self.text_cleaning = text_cleaning
        self.logit_bias_init = logit_bias_init
        check_config(vars(self))
        super().__init__(**kwargs)


class Eva02Config(PretrainedConfig):  # type: ignore[misc]
    """Configuration of a `tier_cli.model.eva02.Eva02Model`; the defaults are those of EVA-X-S.

    Parameters
    ----------
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size
        Sizes of the blocks.
    image_size, patch_size
        In pixels; other sizes of images interpolate the position embeddings.
    mlp_norm
        Whether a norm precedes the last layer of each MLP (EVA-X-B).
    layer_norm_eps
        Of all norms.
    """

    model_type = "eva02"

    def __init__(
        self,
        hidden_size: int = 384,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 6,
        intermediate_size: int = 1024,
        image_size: int = 224,
        patch_size: int = 16,
        mlp_norm: bool = False,
        layer_norm_eps: float = 1e-6,
        **kwargs: Any,
    ):
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.image_size = image_size
        self.patch_size = patch_size
        self.mlp_norm = mlp_norm
        self.layer_norm_eps = layer_norm_eps
        super().__init__(**kwargs)


def tower_config(tower: dict[str, Any]) -> Any:
    """Build the configuration of a tower, using only classes of transformers and of this package."""
    from transformers import CONFIG_MAPPING

    tower = dict(tower)
    model_type = tower.pop("model_type", None)
    if model_type == Eva02Config.model_type:
        return Eva02Config(**tower)
    if model_type not in CONFIG_MAPPING:
        raise CheckpointError(
            f"the tower's model_type '{model_type}' is unknown to transformers",
            remedy="use a model_type of the transformers library; other code is never run",
        )
    return CONFIG_MAPPING[model_type](**tower)


def _architecture(tower: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tower.items() if key not in _NOT_ARCHITECTURE}
