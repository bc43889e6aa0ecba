"""Build and run image and text encoders of transformers with uniform outputs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import MODEL_MAPPING, SiglipTextConfig, SiglipTextModel

from tier_cli.errors import CheckpointError
from tier_cli.model.configuration import Eva02Config, tower_config
from tier_cli.model.eva02 import Eva02Model

if TYPE_CHECKING:
    from torch import Tensor

# Base models that transformers does not list among those.
_UNLISTED = {SiglipTextConfig: SiglipTextModel, Eva02Config: Eva02Model}


class PooledImage(NamedTuple):
    """Output of an image tower that pools by itself: patches (N, C, h, w) or None, pooled (N, C)."""

    grid: Tensor | None
    pooled: Tensor


def tower_class(tower: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Return the class, the configuration and the arguments that omit an unused pooler of a tower."""
    config = tower_config(tower)
    model_class = _UNLISTED.get(type(config)) or MODEL_MAPPING.get(type(config), None)
    if model_class is None:
        raise CheckpointError(
            f"transformers has no base model for '{config.model_type}'",
            remedy="use an encoder of the transformers library",
        )
    pooler = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return model_class, config, {"add_pooling_layer": False} if pooler else {}


def is_image_tower(kind: str) -> bool:
    """Return whether a ``model_type`` of transformers is an encoder of images alone."""
    from transformers import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING or "text_config" in CONFIG_MAPPING[kind].sub_configs:
        return False
    model_class = MODEL_MAPPING.get(CONFIG_MAPPING[kind], None)
    return model_class is not None and model_class.main_input_name == "pixel_values"


def build_tower(tower: dict[str, Any], takes: str) -> Any:
    """Build a tower with random weights from its configuration; nothing is downloaded."""
    model_class, config, arguments = tower_class(tower)
    if model_class.main_input_name != takes:
        raise CheckpointError(
            f"'{config.model_type}' takes {model_class.main_input_name}, where the tower takes {takes}",
            remedy="name an image encoder as image_tower and a text encoder as text_tower",
        )
    return model_class._from_config(config, **arguments)


def image_width(tower: dict[str, Any], pooling: str) -> int:
    """Return the channels of an image tower, measured on the meta device: families name them differently."""
    with torch.device("meta"), torch.no_grad():
        probe = build_tower(tower, takes="pixel_values").eval()
        size = getattr(probe.config, "image_size", None) or 224
        h, w = size if isinstance(size, (list, tuple)) else (size, size)
        pixels = torch.zeros(1, 3, h, w, device="meta")
        if pooling == "mean":
            return run_image_tower(probe, pixels).shape[1]
        return run_pooling_image_tower(probe, pixels, pooling).pooled.shape[1]


def text_width(tower: Any) -> int:
    """Return the number of channels per token that `read_text` returns."""
    head = _token_head(tower)
    return int(tower.config.hidden_size if head is None else head.out_features)


def run_image_tower(tower: Any, pixel_values: Tensor) -> Tensor:
    """Run an image encoder and arrange its last features as (N, C, h, w).

    Class, distillation and register tokens, which come first, are dropped.

    Raises
    ------
    CheckpointError
        The features of the encoder do not form a grid.
    """
    states = _run(tower, pixel_values).last_hidden_state
    grid = _arrange(tower, states, pixel_values)
    if grid is None:
        raise CheckpointError(
            f"features {tuple(states.shape)} of the image tower '{tower.config.model_type}' form no grid",
            remedy="use an encoder whose tokens are patches (ViT, DINOv2, Swin) or a convolutional one",
        )
    return grid


def run_pooling_image_tower(tower: Any, pixel_values: Tensor, pooling: str) -> PooledImage:
    """Run an image encoder that pools by itself: by its ``class`` or ``first`` token, or its ``pooler``.

    The grid holds, for every patch, the result of the tower's own pooling applied to that patch alone; it is
    None if the tower has no grid.
    """
    output = _run(tower, pixel_values)
    states: Tensor = output.last_hidden_state
    grid = _arrange(tower, states, pixel_values)
    if pooling == "first":
        pooled = states[:, 0] if states.ndim == 3 else None
    elif pooling == "class":
        # Without a class token, the first token is a patch.
        with_class = states.ndim == 3 and (grid is None or states.shape[1] > grid.shape[2] * grid.shape[3])
        pooled = states[:, 0] if with_class else None
    else:
        pooled = getattr(output, "pooler_output", None)
        pooled = None if pooled is None else pooled.flatten(1)
    if pooled is None:
        raise CheckpointError(
            f"the image tower '{tower.config.model_type}' has no {pooling} output",
            where="config.json",
            remedy="choose another image_pooling",
        )
    if grid is not None and pooling == "pooler":
        grid = _pool_each_patch(tower, grid.movedim(1, -1)).movedim(-1, 1)
    return PooledImage(grid, pooled)


def read_text(
    tower: Any, input_ids: Tensor, attention_mask: Tensor | None, layers: list[int] | None = None
) -> Tensor:
    """Run a text encoder: (N, T) ids -> (N, T, C), through the head of the tower if it has one.

    `layers` names the layers whose outputs are averaged, see `TierConfig`.
    """
    if layers is None:
        states: Tensor = tower(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    else:
        every = tower(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        # The first of the hidden states is the input of the first layer.
        states = torch.stack([every.hidden_states[layer] for layer in layers]).mean(dim=0)
    head = _token_head(tower)
    return states if head is None else head(states)


def _token_head(tower: Any) -> nn.Linear | None:
    # SigLIP's text model ends in a linear layer of its own, which its base output leaves out.
    head = getattr(tower, "head", None)
    return head if isinstance(head, nn.Linear) else None


def _run(tower: Any, pixel_values: Tensor) -> Any:
    arguments = {}
    if "interpolate_pos_encoding" in inspect.signature(tower.forward).parameters:
        # Only when the size differs: exporters would otherwise put a bicubic resize into every graph.
        size = getattr(tower.config, "image_size", None)
        size = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        arguments = {"interpolate_pos_encoding": tuple(pixel_values.shape[-2:]) != size}
    return tower(pixel_values=pixel_values, **arguments)


def _arrange(tower: Any, states: Tensor, pixel_values: Tensor) -> Tensor | None:
    if states.ndim == 4:
        return states
    stride = _token_stride(tower.config)
    if states.ndim != 3 or stride is None:
        return None
    h, w = pixel_values.shape[-2] // stride[0], pixel_values.shape[-1] // stride[1]
    # Class, distillation and register tokens; more tokens than these have no known meaning.
    extra = states.shape[1] - h * w
    if h * w == 0 or not 0 <= extra <= 2 + getattr(tower.config, "num_register_tokens", 0):
        return None
    return states[:, extra:].transpose(1, 2).reshape(states.shape[0], states.shape[2], h, w)


def _token_stride(config: Any) -> tuple[int, int] | None:
    patch = getattr(config, "patch_size", None)
    if patch is None:
        return None
    h, w = patch if isinstance(patch, (list, tuple)) else (patch, patch)
    # Hierarchical encoders halve the grid between stages.
    factor = 2 ** (len(config.depths) - 1) if hasattr(config, "depths") else 1
    return h * factor, w * factor


def _pool_each_patch(tower: Any, patches: Tensor) -> Tensor:
    """Apply the pooler of a tower to each patch alone: (..., C) -> (..., C)."""
    kind = tower.config.model_type
    if kind == "clip_vision_model":
        normed: Tensor = tower.post_layernorm(patches)
        return normed
    if kind == "siglip_vision_model":
        # Attention over a single patch has weight 1: the patch's value, then the rest of the head.
        attention, width = tower.head.attention, patches.shape[-1]
        weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
        value = attention.out_proj(functional.linear(patches, weight, bias))
        alone: Tensor = value + tower.head.mlp(tower.head.layernorm(value))
        return alone
    return patches
