"""Read Swin tensors (Liu et al. 2021) as transformers or timm names them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tier_cli.model.convert.assemble import split_rows

if TYPE_CHECKING:
    from torch import Tensor

    from tier_cli.model.convert.files import ForeignTensors

# Index tables that older versions saved; they follow from the size of the window.
SWIN_INDEXES = ("relative_position_index", "attn_mask")
_STAGE = re.compile(r"encoder\.layers\.(\d+)\.blocks\.0\.attention\.self\.relative_position_bias_table")
_TIMM = re.compile(r"layers\.(\d+)\.(blocks\.\d+\.|downsample\.)(.+)")
_TIMM_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "attn.relative_position_bias_table": "attention.self.relative_position_bias_table",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_TIMM_OUTSIDE = {
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "patch_embed.norm.": "embeddings.norm.",
    "norm.": "layernorm.",
}


def swin_config(foreign: ForeignTensors, prefix: str, image_size: int) -> dict[str, Any]:
    """Return the configuration of a Swin, derived from the shapes of tensors that transformers named.

    `image_size` is not in the tensors.
    """
    width, _, patch, _ = foreign.shape(prefix + "embeddings.patch_embeddings.projection.weight")
    names = (name.removeprefix(prefix) for name in foreign.names if name.startswith(prefix))
    stages = range(len({name for name in names if _STAGE.fullmatch(name)}))
    table = prefix + "encoder.layers.{}.blocks.0.attention.self.relative_position_bias_table"
    # One row for every offset within a window, -(w - 1) to w - 1 in both directions.
    window = (round(foreign.shape(table.format(0))[0] ** 0.5) + 1) // 2
    hidden = foreign.shape(prefix + "encoder.layers.0.blocks.0.intermediate.dense.weight")[0]
    return {
        "model_type": "swin",
        "image_size": image_size,
        "patch_size": patch,
        "embed_dim": width,
        "depths": [foreign.layers(f"{prefix}encoder.layers.{stage}.blocks.{{}}.") for stage in stages],
        "num_heads": [foreign.shape(table.format(stage))[1] for stage in stages],
        "window_size": window,
        "mlp_ratio": hidden / width,
    }


def from_timm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of timm's Swin as in transformers' public Swin checkpoints.

    Since timm 0.9, a stage begins with the merging of patches that ended the stage before.
    """
    later = "layers.0.downsample.reduction.weight" not in tensors
    renamed = {_renamed(name, later): tensor for name, tensor in tensors.items()}
    for name in [name for name in renamed if ".attn.qkv." in name]:
        split_rows(
            renamed, name, {f"attention.self.{part}": "attn.qkv" for part in ("query", "key", "value")}
        )
    return renamed


def _renamed(name: str, later: bool) -> str:
    """Return transformers' name; an unknown name is kept, and later reported as unused."""
    if found := _TIMM.fullmatch(name):
        stage, place, rest = found.groups()
        if place == "downsample.":
            return f"encoder.layers.{int(stage) - later}.downsample.{rest}"
        part = next((old for old in _TIMM_BLOCK if rest == old or rest.startswith(f"{old}.")), None)
        new = _TIMM_BLOCK[part] + rest.removeprefix(part) if part else rest
        return f"encoder.layers.{stage}.{place}{new}"
    for old, new in _TIMM_OUTSIDE.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
