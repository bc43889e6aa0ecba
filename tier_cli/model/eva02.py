"""Define EVA-02 (Fang et al. 2023) in the form of EVA-X (Yao et al. 2024), which transformers lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput

from tier_cli.model.configuration import Eva02Config

if TYPE_CHECKING:
    from torch import Tensor

_THETA = 10000.0


class Eva02Model(PreTrainedModel):  # type: ignore[misc]
    """A vision transformer with rotary positions and gated MLPs; its first token is the class token."""

    config_class = Eva02Config
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: Eva02Config):
        super().__init__(config)
        width, patch = config.hidden_size, config.patch_size
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (config.image_size // patch) ** 2, width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.post_init()

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> BaseModelOutput:
        """Encode normalised pixels (N, 3, H, W) as (N, 1 + patches, C)."""
        patches = self.patch_embed(pixel_values)
        h, w = patches.shape[-2:]
        x = torch.cat(
            [self.cls_token.expand(len(patches), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1
        )
        x = x + (self._positions(h, w) if interpolate_pos_encoding else self.pos_embed)
        angles = self._angles(h, w, x)
        for block in self.blocks:
            x = block(x, angles)
        return BaseModelOutput(last_hidden_state=self.norm(x))

    def _positions(self, h: int, w: int) -> Tensor:
        """Return the position embeddings (1, 1 + h w, C), interpolated to another grid."""
        side = self.config.image_size // self.config.patch_size
        first, grid = self.pos_embed[:, :1], self.pos_embed[:, 1:].transpose(1, 2)
        grid = grid.reshape(1, -1, side, side)
        grid = functional.interpolate(grid, (h, w), mode="bicubic", antialias=True)
        return torch.cat([first, grid.flatten(2).transpose(1, 2)], dim=1)

    def _angles(self, h: int, w: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (h w, head width) of the angles that rotate queries and keys.

        One half of each head depends on the row, the other on the column, counted in patches of the size in
        training.
        """
        half = self.config.hidden_size // self.config.num_attention_heads // 2
        side = self.config.image_size // self.config.patch_size
        exponents = torch.arange(0, half, 2, device=like.device, dtype=torch.float32) / half
        rows, columns = (
            torch.arange(count, device=like.device, dtype=torch.float32)[:, None] * (side / count)
            / _THETA**exponents
            for count in (h, w)
        )  # fmt: skip
        both = torch.cat([rows[:, None].expand(-1, w, -1), columns[None].expand(h, -1, -1)], dim=-1)
        angles = both.flatten(0, 1).repeat_interleave(2, dim=-1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


class _Block(GradientCheckpointingLayer):  # type: ignore[misc]
    def __init__(self, config: Eva02Config):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.attn = _Attention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = _GatedMlp(config)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attn(self.norm1(x), angles)
        mixed: Tensor = self.mlp(self.norm2(x))
        return x + mixed


class _Attention(nn.Module):
    def __init__(self, config: Eva02Config):
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.q_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = (
            of(x).reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for of in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(_rotated(q, *angles), _rotated(k, *angles), v)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class _GatedMlp(nn.Module):
    def __init__(self, config: Eva02Config):
        super().__init__()
        width, hidden = config.hidden_size, config.intermediate_size
        self.gate, self.up = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.norm: nn.Module = (
            nn.LayerNorm(hidden, config.layer_norm_eps) if config.mlp_norm else nn.Identity()
        )
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        down: Tensor = self.down(self.norm(functional.silu(self.gate(x)) * self.up(x)))
        return down


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring channels of the patches (N, heads, 1 + P, C); the class token has no place."""
    first, patches = x[:, :, :1], x[:, :, 1:]
    even, odd = patches[..., ::2], patches[..., 1::2]
    turned = torch.stack([-odd, even], dim=-1).flatten(-2)
    return torch.cat([first, patches * cos + turned * sin], dim=2)
