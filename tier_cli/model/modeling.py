"""Define the TIER model: an image tower, a text tower and their projections into one space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from tier_cli.model.configuration import TierConfig
from tier_cli.model.heads import image_head, text_head
from tier_cli.model.towers import (
    build_tower,
    image_width,
    read_text,
    run_image_tower,
    run_pooling_image_tower,
    text_width,
)

if TYPE_CHECKING:
    from torch import Tensor

    from tier_cli.model.loading import Tower


class ImageFeatures(NamedTuple):
    """Projected, not L2-normalised: patches (N, P, D), pooled (N, D), grid (h, w) with P = h * w.

    Without a grid of patches, P = h = w = 0.
    """

    patches: Tensor
    pooled: Tensor
    grid: tuple[int, int]


class TextFeatures(NamedTuple):
    """Projected, not L2-normalised: tokens (N, T, D), pooled (N, D)."""

    tokens: Tensor
    pooled: Tensor


@dataclass
class TierOutput(ModelOutput):  # type: ignore[misc]
    """Output of a forward pass for N images and N texts.

    Attributes
    ----------
    logits_per_image
        (N, N) scaled cosines, plus the bias where the model has one; rows images, columns texts.
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


class TierModel(PreTrainedModel):  # type: ignore[misc]
    """Image and text encoders with a joint space, after Palepu & Beam (MLHC 2023)."""

    config_class = TierConfig
    base_model_prefix = ""
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: TierConfig):
        super().__init__(config)
        self.image_tower = build_tower(config.image_tower, takes="pixel_values")
        self.text_tower = build_tower(config.text_tower, takes="input_ids")
        self.image_projection = image_head(config, image_width(config.image_tower, config.image_pooling))
        self.text_projection = text_head(config, text_width(self.text_tower))
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init)))
        bias = config.logit_bias_init
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, TierModel):
            nn.init.constant_(module.logit_scale, self.config.logit_scale_init)
            if module.logit_bias is not None:
                nn.init.constant_(module.logit_bias, self.config.logit_bias_init)

    def image_grid(self, pixel_values: Tensor) -> Tensor:
        """Return the image tower's last patch features (N, C, h, w) of normalised pixels (N, 3, H, W)."""
        return run_image_tower(self.image_tower, pixel_values)

    def encode_images(self, pixel_values: Tensor) -> ImageFeatures:
        """Encode normalised pixels (N, 3, H, W), pooled as `TierConfig.image_pooling` specifies."""
        if self.config.image_pooling == "mean":
            return self.project_grid(self.image_grid(pixel_values))
        grid, pooled = run_pooling_image_tower(self.image_tower, pixel_values, self.config.image_pooling)
        pooled = self.image_projection(pooled[:, :, None, None]).flatten(1)
        if grid is None:
            return ImageFeatures(pooled[:, None][:, :0], pooled, (0, 0))
        return self.project_grid(grid)._replace(pooled=pooled)

    def project_grid(self, grid: Tensor) -> ImageFeatures:
        """Project features of patches (N, C, h, w); the pooled embedding is the plain mean of the patches."""
        projected = self.image_projection(grid)
        patches = projected.flatten(2).transpose(1, 2)
        return ImageFeatures(patches, patches.mean(dim=1), (projected.shape[2], projected.shape[3]))

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor) -> TextFeatures:
        """Encode ids and mask (N, T), pooled as `TierConfig.text_pooling` specifies."""
        mask = attention_mask if self.config.text_mask else None
        states = read_text(self.text_tower, input_ids, mask, self.config.text_layers)
        tokens = self.text_projection(states)
        if self.config.text_pooling == "mean":
            own = attention_mask[:, :, None].to(tokens.dtype)
            return TextFeatures(tokens, (tokens * own).sum(dim=1) / own.sum(dim=1))
        if self.config.text_pooling == "first":
            return TextFeatures(tokens, tokens[:, 0])
        if self.config.text_pooling == "last":
            return TextFeatures(tokens, tokens[:, -1])
        end = self.config.end_token
        # The first of the largest: texts end before their padding, which may be the same token.
        last = (input_ids if end is None else input_ids == end).int().argmax(dim=-1)
        return TextFeatures(tokens, tokens[torch.arange(len(tokens), device=tokens.device), last])

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> TierOutput:
        """Compare N images with N texts; see `TierOutput`."""
        images = self.encode_images(pixel_values)
        return self.compare(images, self.encode_texts(input_ids, attention_mask), attention_mask)

    def compare(self, images: ImageFeatures, texts: TextFeatures, attention_mask: Tensor) -> TierOutput:
        """Compare features that are already encoded; the second half of `forward`."""
        cosines = functional.normalize(images.pooled, dim=-1) @ functional.normalize(texts.pooled, dim=-1).T
        tokens = functional.normalize(texts.tokens, dim=-1)
        patches = functional.normalize(images.patches, dim=-1)
        logits = self.scale() * cosines
        return TierOutput(
            logits_per_image=logits if self.logit_bias is None else logits + self.logit_bias,
            similarities=tokens @ patches.transpose(1, 2),
            attention_mask=attention_mask,
            image_pooled=images.pooled,
            text_pooled=texts.pooled,
        )

    def scale(self) -> Tensor:
        """Return the factor of the logits: the exponential of `logit_scale`, bounded by the configuration."""
        bound = self.config.max_logit_scale
        return self.logit_scale.exp() if bound is None else self.logit_scale.clamp(max=math.log(bound)).exp()

    @torch.no_grad()
    def clamp_logit_scale(self) -> None:
        """Clamp `logit_scale` to its bound; without this after each step it can get stuck above."""
        if self.config.max_logit_scale is not None:
            self.logit_scale.clamp_(max=math.log(self.config.max_logit_scale))

    @classmethod
    def from_pretrained(
        cls, path: str | Path, dtype: torch.dtype = torch.float32, **kwargs: Any
    ) -> TierModel:
        """Open a checkpoint folder in fp32; every tensor must be present and none unused.

        Raises
        ------
        CheckpointError
            Names the tensors that are missing, unexpected or of a different shape; or the weights are int8.
        """
        from tier_cli.model.checkpoint import CONFIG, read_json, refuse_quantised
        from tier_cli.model.loading import load_strictly

        if (config := Path(path) / CONFIG).is_file():
            refuse_quantised(Path(path), read_json(config))

        def build(folder: Path) -> TierModel:
            return cls(TierConfig.from_pretrained(folder, local_files_only=True))

        model: TierModel = load_strictly(super().from_pretrained, path, dtype, build, **kwargs)
        return model

    @classmethod
    def from_towers(cls, image: str | Path | Tower, text_dir: str | Path, **config: Any) -> TierModel:
        """Build a model from two pretrained towers and new heads, fp32.

        Parameters
        ----------
        image
            A Hugging Face folder with config.json and safetensors, or a tower that is already loaded.
        text_dir
            A Hugging Face folder.
        config
            Other fields of `TierConfig`.
        """
        from tier_cli.model.loading import Tower, load_tower, read_tower_config

        given = image.config if isinstance(image, Tower) else read_tower_config(image)
        model = cls(TierConfig(given, read_tower_config(text_dir), **config))
        if isinstance(image, Tower):
            model.image_tower = image.model
        else:
            model.image_tower = load_tower(image, model.config.image_tower)
        model.text_tower = load_tower(text_dir, model.config.text_tower)
        model.eval()
        return model
