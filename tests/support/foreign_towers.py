"""Rebuild EVA-X and Ark+ in plain torch from their descriptions, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from foreign import Holder
from foreign_biovil import random_weights
from torch import Tensor, nn
from torch.nn.functional import pad, silu, softmax


class EvaBlock(nn.Module):
    """A block of EVA-02; `fused` as in the files of EVA-X-Ti and -S, else as in that of EVA-X-B."""

    def __init__(self, width: int, hidden: int, fused: bool):
        super().__init__()
        self.heads = width // 64
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Holder(), Holder()
        if fused:
            self.attn.qkv = nn.Linear(width, 3 * width, bias=False)
            self.attn.q_bias = nn.Parameter(torch.zeros(width))
            self.attn.v_bias = nn.Parameter(torch.zeros(width))
            self.mlp.w12 = nn.Linear(width, 2 * hidden)
        else:
            self.attn.q_proj, self.attn.v_proj = nn.Linear(width, width), nn.Linear(width, width)
            self.attn.k_proj = nn.Linear(width, width, bias=False)
            self.mlp.w1, self.mlp.w2 = nn.Linear(width, hidden), nn.Linear(width, hidden)
            self.mlp.ffn_ln = nn.LayerNorm(hidden, eps=1e-6)
        self.attn.proj, self.mlp.w3 = nn.Linear(width, width), nn.Linear(hidden, width)

    def forward(self, x: Tensor, turn: Any) -> Tensor:
        """(N, L, C) -> (N, L, C)."""
        y, attn, mlp = self.norm1(x), self.attn, self.mlp
        if hasattr(attn, "qkv"):
            bias = torch.cat([attn.q_bias, torch.zeros_like(attn.q_bias), attn.v_bias])
            q, k, v = (attn.qkv(y) + bias).chunk(3, dim=-1)
        else:
            q, k, v = attn.q_proj(y), attn.k_proj(y), attn.v_proj(y)
        q, k, v = (part.reshape(*part.shape[:2], self.heads, 64).transpose(1, 2) for part in (q, k, v))
        q, k = turn(q), turn(k)
        mixed = softmax(q @ k.transpose(-2, -1) / 8, dim=-1) @ v
        x = x + attn.proj(mixed.transpose(1, 2).reshape(x.shape))
        y = self.norm2(x)
        if hasattr(mlp, "w12"):
            gate, up = mlp.w12(y).chunk(2, dim=-1)
            inner = silu(gate) * up
        else:
            inner = mlp.ffn_ln(silu(mlp.w1(y)) * mlp.w2(y))
        added: Tensor = mlp.w3(inner)
        return x + added


class EvaX(nn.Module):
    """EVA-X as its pretraining saved it: with the head of masked image modelling, which is unused."""

    def __init__(self, fused: bool, side: int = 4, width: int = 128):
        super().__init__()
        # Patches per side, and by how much their places are scaled for images of another size.
        self.side, self.scale = side, 1.0
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side**2, width))
        self.patch_embed = Holder()
        self.patch_embed.proj = nn.Conv2d(3, width, 16, 16)
        self.blocks = nn.ModuleList(EvaBlock(width, 88, fused) for _ in range(2))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.lm_head = nn.Linear(width, 8)
        self.rope = Holder()
        self.rope.register_buffer("freqs_cos", torch.zeros(side**2, 64))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 1 + P, C)."""
        x = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x, self._turn)
        states: Tensor = self.norm(x)
        return states

    def _turn(self, x: Tensor) -> Tensor:
        """Turn pairs of channels of each patch by its row (first half of a head) and column (second)."""
        turned = x.clone()
        for number in range(self.side**2):
            for start, place in ((0, number // self.side), (32, number % self.side)):
                for pair in range(16):
                    angle = torch.tensor(place * self.scale / 10000 ** (pair / 16))
                    even, odd = (
                        x[:, :, 1 + number, start + 2 * pair],
                        x[:, :, 1 + number, start + 2 * pair + 1],
                    )
                    turned[:, :, 1 + number, start + 2 * pair] = even * angle.cos() - odd * angle.sin()
                    turned[:, :, 1 + number, start + 2 * pair + 1] = odd * angle.cos() + even * angle.sin()
        return turned


class SwinBlock(nn.Module):
    """A block of Swin as timm 0.5 names it, on a grid of whole windows."""

    def __init__(self, width: int, heads: int, window: int, shift: int):
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = Holder(), Holder()
        self.attn.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.attn.qkv, self.attn.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        # Index tables that the files hold.
        self.attn.register_buffer("relative_position_index", torch.zeros(window**2, window**2).long())
        if shift:
            self.register_buffer("attn_mask", torch.zeros(4, window**2, window**2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, h, w, C) -> (N, h, w, C)."""
        y, out = self.norm1(x), torch.zeros_like(x)
        h, w, size = x.shape[1], x.shape[2], self.window
        region = torch.arange(h)[:, None].div(1, rounding_mode="floor"), torch.arange(w)[None]
        rows, columns = ((part - self.shift) // size for part in region)
        # Each patch attends to those of its window of the shifted grid; none across the border of the image.
        place = (rows * 100 + columns).flatten()
        where = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"), -1).reshape(
            -1, 2
        )
        offset = where[:, None] - where[None] + size - 1
        inside = place[:, None] == place[None]
        index = (offset[..., 0] * (2 * size - 1) + offset[..., 1]).where(inside, torch.tensor(0))
        bias = self.attn.relative_position_bias_table[index].permute(2, 0, 1)
        bias = bias.masked_fill(~inside, float("-inf"))
        qkv = self.attn.qkv(y.flatten(1, 2)).reshape(len(x), h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv
        weights = softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + bias, dim=-1)
        out = self.attn.proj((weights @ v).transpose(1, 2).reshape(x.shape))
        x = x + out
        mixed: Tensor = self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))
        return x + mixed


class ArkSwin(nn.Module):
    """The Swin of Ark+ with its projector and heads, which are unused."""

    def __init__(self, window: int = 7, width: int = 8, depths: tuple[int, int] = (2, 1)):
        super().__init__()
        self.patch_embed = Holder()
        self.patch_embed.proj, self.patch_embed.norm = nn.Conv2d(3, width, 4, 4), nn.LayerNorm(width)
        self.layers = nn.ModuleList()
        for stage, depth in enumerate(depths):
            part, channels = Holder(), width * 2**stage
            part.blocks = nn.ModuleList(
                SwinBlock(channels, 1 + stage, window, window // 2 if number % 2 else 0)
                for number in range(depth)
            )
            if stage < len(depths) - 1:
                part.downsample = Holder()
                part.downsample.norm = nn.LayerNorm(4 * channels)
                part.downsample.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
            self.layers.append(part)
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, 10)
        self.projector = nn.Linear(channels, 12)
        self.omni_heads = nn.ModuleList([nn.Linear(12, 14), nn.Linear(12, 3)])

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, P, C)."""
        x = self.patch_embed.norm(self.patch_embed.proj(pixels).movedim(1, -1))
        part: Any
        for part in self.layers:
            for block in part.blocks:
                x = block(x)
            if hasattr(part, "downsample"):
                x = pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
                four = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
                x = part.downsample.reduction(part.downsample.norm(torch.cat(four, dim=-1)))
        states: Tensor = self.norm(x).flatten(1, 2)
        return states


def save_eva_x(path: Path, fused: bool = True) -> EvaX:
    """Write what EVA-X publishes."""
    model: EvaX = random_weights(EvaX(fused))
    torch.save({"module": model.state_dict()} if fused else model.state_dict(), path)
    return model


def save_ark(path: Path) -> ArkSwin:
    """Write what Ark's training program saves: the student, and the teacher that is used."""
    student: ArkSwin = random_weights(ArkSwin(), seed=1)
    teacher: ArkSwin = random_weights(ArkSwin(), seed=2)
    named = {f"module.{name}": tensor for name, tensor in teacher.state_dict().items()}
    content = {
        "epoch": 50,
        "lossMIN": [0.5, 0.25],
        "state_dict": {f"module.{name}": tensor for name, tensor in student.state_dict().items()},
        "teacher": named,
        "optimizer": {"state": {}, "param_groups": []},
        "scheduler": {"t_in_epochs": True},
    }
    torch.save(content, path)
    return teacher
