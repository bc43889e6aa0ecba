"""Define the projections into the joint space, applied to every patch or token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from tier_cli.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from tier_cli.model.configuration import TierConfig


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


class LinearImageProjection(nn.Module):
    """(N, C, h, w) -> (N, D, h, w), one matrix, as CLIP's; CXR-CLIP's has a bias."""

    def __init__(self, channels: int, dim: int, *, bias: bool = False):
        super().__init__()
        self.linear = nn.Linear(channels, dim, bias=bias)

    def forward(self, grid: Tensor) -> Tensor:
        """Project every patch."""
        projected: Tensor = self.linear(grid.movedim(1, -1)).movedim(-1, 1)
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


class LinearTextProjection(nn.Module):
    """(..., C) -> (..., D), one matrix, as CLIP's; CXR-CLIP's has a bias."""

    def __init__(self, channels: int, dim: int, *, bias: bool = False):
        super().__init__()
        self.linear = nn.Linear(channels, dim, bias=bias)

    def forward(self, states: Tensor) -> Tensor:
        """Project every token."""
        projected: Tensor = self.linear(states)
        return projected


class TwoLayerTextProjection(nn.Module):
    """(..., C) -> (..., D), two matrices without biases and a GELU between them, as open_clip's `mlp`."""

    def __init__(self, channels: int, hidden: int, dim: int):
        super().__init__()
        self.linear_in = nn.Linear(channels, hidden, bias=False)
        self.linear_out = nn.Linear(hidden, dim, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """Project every token."""
        projected: Tensor = self.linear_out(functional.gelu(self.linear_in(states)))
        return projected


def image_head(config: TierConfig, channels: int) -> nn.Module:
    """Build the image projection named in the configuration for a tower with `channels` channels."""
    dim = config.projection_dim
    if config.image_head in ("linear", "affine"):
        return LinearImageProjection(channels, dim, bias=config.image_head == "affine")
    if config.image_head == "none":
        return _identity("image_head", channels, dim)
    return ImageProjection(channels, config.image_hidden_dim or dim, dim)


def text_head(config: TierConfig, channels: int) -> nn.Module:
    """Build the text projection named in the configuration for a tower with `channels` channels."""
    dim = config.projection_dim
    if config.text_head in ("linear", "affine"):
        return LinearTextProjection(channels, dim, bias=config.text_head == "affine")
    if config.text_head == "two_layer":
        return TwoLayerTextProjection(channels, config.text_hidden_dim or dim, dim)
    if config.text_head == "none":
        return _identity("text_head", channels, dim)
    return TextProjection(channels, config.text_hidden_dim or dim, dim)


def _identity(name: str, channels: int, dim: int) -> nn.Module:
    if channels != dim:
        raise CheckpointError(
            f"{name} is none, but the tower has {channels} channels and projection_dim is {dim}",
            where="config.json",
            remedy="make the two equal, or choose another head",
        )
    return nn.Identity()
