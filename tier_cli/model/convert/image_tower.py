"""Read image towers that their authors publish as one file.

EVA-X (Yao et al. 2024) is an EVA-02; Ark+ (Ma et al. 2025) a Swin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError
from tier_cli.model.convert.assemble import assemble_tower, split_rows
from tier_cli.model.convert.detect import image_tower_of
from tier_cli.model.convert.files import ForeignTensors, read_json, read_weight_file
from tier_cli.model.convert.processor import three_numbers
from tier_cli.model.convert.swin import SWIN_INDEXES, from_timm, swin_config
from tier_cli.model.loading import Tower

if TYPE_CHECKING:
    from torch import Tensor

Three = tuple[float, float, float]
# The width of an attention head in all published sizes of EVA-X.
_HEAD = 64
_EVA_PARTS = {
    "mlp.w1.": "mlp.gate.",
    "mlp.fc1_g.": "mlp.gate.",
    "mlp.w2.": "mlp.up.",
    "mlp.fc1_x.": "mlp.up.",
    "mlp.w3.": "mlp.down.",
    "mlp.fc2.": "mlp.down.",
    "mlp.ffn_ln.": "mlp.norm.",
    "attn.q_bias": "attn.q_proj.bias",
    "attn.v_bias": "attn.v_proj.bias",
    "patch_embed.proj.": "patch_embed.",
}
# Side of the images by side of the window, in Ark's two kinds of Swin.
_ARK_SIDES = {7: 224, 12: 768}


@dataclass(frozen=True)
class _Reader:
    """Read one kind: from tensors to configuration and renamed tensors; mean and std of its pixels."""

    read: Callable[[ForeignTensors], tuple[dict[str, Any], dict[str, Tensor]]]
    mean: Three
    std: Three


def read_image_tower(path: Path) -> Tower:
    """Read the image tower of a file in fp32.

    Raises
    ------
    CheckpointError
        It is of no known kind, or its tensors do not fit.
    """
    foreign, reader = _open(path)
    config, tensors = reader.read(foreign)
    return Tower(config, assemble_tower(config, foreign, tensors))


def tower_normalisation(path: Path) -> tuple[Three, Three] | None:
    """Return mean and standard deviation of the pixels that a tower was trained with, for values in [0, 1].

    Parameters
    ----------
    path
        A folder of transformers, whose preprocessor_config.json states them, or a file.

    Returns
    -------
    None where a folder does not state them.
    """
    if path.is_file():
        reader = _open(path)[1]
        return reader.mean, reader.std
    file = path / "preprocessor_config.json"
    stated = read_json(file) if file.is_file() else {}
    if not stated.get("do_normalize", True) or "image_mean" not in stated or "image_std" not in stated:
        return None
    return three_numbers(stated["image_mean"], str(file)), three_numbers(stated["image_std"], str(file))


def _open(path: Path) -> tuple[ForeignTensors, _Reader]:
    # Ark+ is the teacher; the student beside it is only used in training.
    tensors = read_weight_file(path, "teacher").tensors
    kind = image_tower_of(tensors)
    if kind not in _READERS:
        raise CheckpointError(
            "not an image tower of a known kind",
            where=str(path),
            remedy="name a file of EVA-X or Ark+, or a folder of transformers (config.json, safetensors)",
        )
    return ForeignTensors(tensors, str(path)), _READERS[kind]


def _eva_x(foreign: ForeignTensors) -> tuple[dict[str, Any], dict[str, Tensor]]:
    foreign.drop("rope.freqs_cos", "rope.freqs_sin", "mask_token")
    foreign.leave("lm_head.", "head.")
    width, _, patch, _ = foreign.shape("patch_embed.proj.weight")
    tensors = {_eva_name(name): tensor for name, tensor in foreign.section("").items()}
    for name in [name for name in tensors if name.endswith("attn.qkv.weight")]:
        split_rows(tensors, name, {f"attn.{part}_proj": "attn.qkv" for part in "qkv"})
    for packed in ("mlp.w12.", "mlp.fc1."):
        for name in [name for name in tensors if packed in name]:
            split_rows(tensors, name, {f"mlp.{part}.": packed for part in ("gate", "up")})
    down = tensors.get("blocks.0.mlp.down.weight")
    config = {
        "model_type": "eva02",
        "hidden_size": width,
        "num_hidden_layers": len({name.split(".")[1] for name in tensors if name.startswith("blocks.")}),
        "num_attention_heads": max(1, width // _HEAD),
        "intermediate_size": width if down is None else down.shape[1],
        "image_size": round((tensors["pos_embed"].shape[1] - 1) ** 0.5) * patch,
        "patch_size": patch,
        "mlp_norm": "blocks.0.mlp.norm.weight" in tensors,
    }
    return config, tensors


def _eva_name(name: str) -> str:
    for old, new in _EVA_PARTS.items():
        if old in name:
            return name.replace(old, new)
    return name


def _ark(foreign: ForeignTensors) -> tuple[dict[str, Any], dict[str, Tensor]]:
    foreign.drop(*SWIN_INDEXES)
    foreign.leave("omni_heads.", "projector.", "head.")
    renamed = ForeignTensors(from_timm(foreign.section("")), foreign.where)
    config = swin_config(renamed, "", 0)
    return {**config, "image_size": _ARK_SIDES.get(config["window_size"], 224)}, renamed.section("")


_IMAGENET: tuple[Three, Three] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_READERS: Mapping[str | None, _Reader] = {
    "EVA-X": _Reader(_eva_x, (0.49185243,) * 3, (0.28509309,) * 3),
    "Ark+": _Reader(_ark, *_IMAGENET),
}
