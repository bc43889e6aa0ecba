# ruff: noqa: TID253
"""The TIER model: an image tower, a text tower and their projections into one space."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import MODEL_MAPPING, PreTrainedModel
from transformers.utils import ModelOutput

from tier_cli.errors import CheckpointError
from tier_cli.model.configuration import TierConfig, tower_config

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


class ImageFeatures(NamedTuple):
    """Projected, not L2-normalised: patches (N, P, D), pooled (N, D), grid (h, w) with P = h * w."""

    patches: Tensor
    pooled: Tensor
    grid: tuple[int, int]


class TextFeatures(NamedTuple):
    """Projected, not L2-normalised: tokens (N, T, D), pooled (N, D)."""

    tokens: Tensor
    pooled: Tensor


@dataclass
class TierOutput(ModelOutput):  # type: ignore[misc]
    """What a forward pass gives for N images and N texts.

    Attributes
    ----------
    logits_per_image
        (N, N) scaled cosines, rows images, columns texts.
    similarities
        (N, T, P) cosines of tokens and patches of matched pairs.
    attention_mask
        (N, T), as given.
    """

    logits_per_image: Tensor = None  # type: ignore[assignment]
    similarities: Tensor = None  # type: ignore[assignment]
    attention_mask: Tensor = None  # type: ignore[assignment]
    image_pooled: Tensor = None  # type: ignore[assignment]
    text_pooled: Tensor = None  # type: ignore[assignment]


class ImageProjection(nn.Module):
    """(N, C, h, w) -> (N, D, h, w), the same map at every patch."""

    def __init__(self, channels: int, hidden: int, dim: int):
        super().__init__()
        self.conv_in = nn.Conv2d(channels, hidden, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(hidden)
        self.conv_out = nn.Conv2d(hidden, dim, kernel_size=1)

    def forward(self, grid: Tensor) -> Tensor:
        """Project every patch."""
        projected: Tensor = self.conv_out(functional.relu(self.norm(self.conv_in(grid))))
        return projected


class TextProjection(nn.Module):
    """(..., C) -> (..., D), the same map at every token."""

    def __init__(self, channels: int, hidden: int, dim: int):
        super().__init__()
        self.linear_in = nn.Linear(channels, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.linear_out = nn.Linear(hidden, dim)

    def forward(self, states: Tensor) -> Tensor:
        """Project every token."""
        projected: Tensor = self.linear_out(self.norm(functional.gelu(self.linear_in(states))))
        return projected


class TierModel(PreTrainedModel):  # type: ignore[misc]
    """Image and text encoders with a joint space, after Palepu & Beam (MLHC 2023)."""

    config_class = TierConfig
    base_model_prefix = ""
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: TierConfig):
        super().__init__(config)
        dim = config.projection_dim
        self.image_tower = build_tower(config.image_tower, takes="pixel_values")
        self.text_tower = build_tower(config.text_tower, takes="input_ids")
        channels = _image_channels(config.image_tower)
        self.image_projection = ImageProjection(channels, config.image_hidden_dim or dim, dim)
        width = self.text_tower.config.hidden_size
        self.text_projection = TextProjection(width, config.text_hidden_dim or dim, dim)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init)))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, TierModel):
            nn.init.constant_(module.logit_scale, self.config.logit_scale_init)

    def image_grid(self, pixel_values: Tensor) -> Tensor:
        """(N, 3, H, W) normalised pixels -> (N, C, h, w), the image tower's last patch features."""
        return run_image_tower(self.image_tower, pixel_values)

    def encode_images(self, pixel_values: Tensor) -> ImageFeatures:
        """(N, 3, H, W) normalised pixels -> `ImageFeatures`; pooled is the plain mean of the patches."""
        projected = self.image_projection(self.image_grid(pixel_values))
        patches = projected.flatten(2).transpose(1, 2)
        return ImageFeatures(patches, patches.mean(dim=1), (projected.shape[2], projected.shape[3]))

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor) -> TextFeatures:
        """(N, T) ids and mask -> `TextFeatures`; pooled is the projected first ([CLS]) token."""
        states = self.text_tower(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        tokens = self.text_projection(states)
        return TextFeatures(tokens, tokens[:, 0])

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> TierOutput:
        """Compare N images with N texts; see `TierOutput`."""
        images = self.encode_images(pixel_values)
        return self.compare(images, self.encode_texts(input_ids, attention_mask), attention_mask)

    def compare(self, images: ImageFeatures, texts: TextFeatures, attention_mask: Tensor) -> TierOutput:
        """The forward pass after the encoders, for callers that have the features already."""
        cosines = functional.normalize(images.pooled, dim=-1) @ functional.normalize(texts.pooled, dim=-1).T
        tokens = functional.normalize(texts.tokens, dim=-1)
        patches = functional.normalize(images.patches, dim=-1)
        return TierOutput(
            logits_per_image=self.scale() * cosines,
            similarities=tokens @ patches.transpose(1, 2),
            attention_mask=attention_mask,
            image_pooled=images.pooled,
            text_pooled=texts.pooled,
        )

    def scale(self) -> Tensor:
        """The factor of the logits: the exponential of `logit_scale`, bounded by the configuration."""
        bound = self.config.max_logit_scale
        return self.logit_scale.exp() if bound is None else self.logit_scale.clamp(max=math.log(bound)).exp()

    @torch.no_grad()
    def clamp_logit_scale(self) -> None:
        """Bring `logit_scale` back under its bound; without this after each step it can get stuck above."""
        if self.config.max_logit_scale is not None:
            self.logit_scale.clamp_(max=math.log(self.config.max_logit_scale))

    @classmethod
    def from_pretrained(
        cls, path: str | Path, dtype: torch.dtype = torch.float32, **kwargs: Any
    ) -> TierModel:
        """Open a checkpoint folder in fp32; every tensor must be there and none may be left over.

        Raises
        ------
        CheckpointError
            Naming the tensors that are missing, unexpected or of another shape.
        """
        from tier_cli.model.loading import load_strictly

        model: TierModel = load_strictly(super().from_pretrained, path, dtype, **kwargs)
        return model

    @classmethod
    def from_towers(cls, image_dir: str | Path, text_dir: str | Path, **config: Any) -> TierModel:
        """A model with starting weights in both towers and fresh heads, fp32.

        Parameters
        ----------
        image_dir, text_dir
            Hugging Face folders with config.json and safetensors.
        config
            Other fields of `TierConfig`.
        """
        from tier_cli.model.loading import load_tower, read_tower_config

        model = cls(TierConfig(read_tower_config(image_dir), read_tower_config(text_dir), **config))
        model.image_tower = load_tower(image_dir, model.config.image_tower)
        model.text_tower = load_tower(text_dir, model.config.text_tower)
        model.eval()
        return model


def tower_class(tower: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """A tower's class, its configuration and the arguments that leave out an unused pooler with weights."""
    config = tower_config(tower)
    if type(config) not in MODEL_MAPPING:
        raise CheckpointError(f"transformers has no base model for '{config.model_type}'")
    model_class = MODEL_MAPPING[type(config)]
    pooler = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return model_class, config, {"add_pooling_layer": False} if pooler else {}


def build_tower(tower: dict[str, Any], takes: str) -> Any:
    """A tower with random weights from its configuration dict; nothing is downloaded."""
    model_class, config, arguments = tower_class(tower)
    if model_class.main_input_name != takes:
        raise CheckpointError(
            f"'{config.model_type}' takes {model_class.main_input_name}, where the tower takes {takes}",
            remedy="name an image encoder as image_tower and a text encoder as text_tower",
        )
    return model_class._from_config(config, **arguments)


def run_image_tower(tower: Any, pixel_values: Tensor) -> Tensor:
    """Run any transformers image encoder and arrange its last features as (N, C, h, w).

    Encoders that give tokens put class, distillation and register tokens first; these are dropped.
    """
    arguments = {}
    if "interpolate_pos_encoding" in inspect.signature(tower.forward).parameters:
        # Only when the size differs: exporters would otherwise put a bicubic resize into every graph.
        size = getattr(tower.config, "image_size", None)
        size = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        arguments = {"interpolate_pos_encoding": tuple(pixel_values.shape[-2:]) != size}
    states: Tensor = tower(pixel_values=pixel_values, **arguments).last_hidden_state
    if states.ndim == 4:
        return states
    stride = _token_stride(tower.config)
    h, w = pixel_values.shape[-2] // stride[0], pixel_values.shape[-1] // stride[1]
    extra = states.shape[1] - h * w
    if extra < 0:
        raise CheckpointError(
            f"the image tower '{tower.config.model_type}' gives {states.shape[1]} tokens for a {h}x{w} grid",
            remedy="use an encoder whose tokens are patches (ViT, DINOv2, Swin) or a convolutional one",
        )
    return states[:, extra:].transpose(1, 2).reshape(states.shape[0], states.shape[2], h, w)


def _token_stride(config: Any) -> tuple[int, int]:
    patch = config.patch_size
    h, w = patch if isinstance(patch, (list, tuple)) else (patch, patch)
    # Hierarchical encoders halve the grid between stages.
    factor = 2 ** (len(config.depths) - 1) if hasattr(config, "depths") else 1
    return h * factor, w * factor


def _image_channels(tower: dict[str, Any]) -> int:
    # Every family names its width differently, and some compute it: a pass on the meta device asks the model.
    with torch.device("meta"), torch.no_grad():
        probe = build_tower(tower, takes="pixel_values").eval()
        size = getattr(probe.config, "image_size", None) or 224
        h, w = size if isinstance(size, (list, tuple)) else (size, size)
        return run_image_tower(probe, torch.zeros(1, 3, h, w, device="meta")).shape[1]
