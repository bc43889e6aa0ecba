"""Read ResNet tensors as torchvision names them, and the projection of BioViL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from tier_cli.model.convert.files import ForeignTensors

# The 3x3 convolution of a block has the stride (v1.5), as in torchvision and, by default, transformers.
_STYLE = {"downsample_in_bottleneck": False, "downsample_in_first_stage": False, "hidden_act": "relu"}
_STAGES = 4
_PROJECTOR = {
    "model.0.weight": "conv_in.weight",
    **{f"model.1.{kind}": f"norm.{kind}" for kind in ("weight", "bias", "running_mean", "running_var")},
    **{f"model.3.{kind}": f"conv_out.{kind}" for kind in ("weight", "bias")},
}
_STEM = re.compile(r"(conv|bn)1\.(\w+)")
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.(conv|bn)([1-3])\.(\w+)")
_SHORTCUT = re.compile(r"layer([1-4])\.(\d+)\.downsample\.([01])\.(\w+)")
_STEM_HERE = re.compile(r"embedder\.embedder\.(\w+)\.(\w+)")
_BLOCK_HERE = re.compile(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:layer\.(\d+)|shortcut)\.(\w+)\.(\w+)")
_KIND = {"conv": "convolution", "0": "convolution", "bn": "normalization", "1": "normalization"}


def resnet_config(foreign: ForeignTensors, prefix: str) -> dict[str, Any]:
    """Return the configuration of a bottleneck ResNet, derived from the shapes of its tensors."""
    stages = [f"{prefix}layer{number}." for number in range(1, _STAGES + 1)]
    return {
        "model_type": "resnet",
        "embedding_size": foreign.shape(prefix + "conv1.weight")[0],
        "hidden_sizes": [foreign.shape(stage + "0.conv3.weight")[0] for stage in stages],
        "depths": [foreign.layers(stage + "{}.") for stage in stages],
        "layer_type": "bottleneck",
        **_STYLE,
    }


def resnet_tower(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of torchvision's ResNet as in transformers' public ResNet checkpoints."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def public_name(name: str) -> str:
    """Return torchvision's name for a tensor of the tower, for messages."""
    if found := _STEM_HERE.fullmatch(name):
        kind, rest = found.groups()
        return f"{'conv' if kind == 'convolution' else 'bn'}1.{rest}"
    if found := _BLOCK_HERE.fullmatch(name):
        stage, block, number, kind, rest = found.groups()
        begin = f"layer{int(stage) + 1}.{block}"
        if number is None:
            return f"{begin}.downsample.{0 if kind == 'convolution' else 1}.{rest}"
        return f"{begin}.{'conv' if kind == 'convolution' else 'bn'}{int(number) + 1}.{rest}"
    return name


def projector(foreign: ForeignTensors, prefix: str) -> dict[str, Tensor]:
    """Return BioViL's projection, named as in `tier_cli.model.heads`."""
    head = {new: foreign.take(prefix + old) for old, new in _PROJECTOR.items()}
    counted = prefix + "model.1.num_batches_tracked"
    if counted in foreign.names:
        head["norm.num_batches_tracked"] = foreign.take(counted)
    return head


def _renamed(name: str) -> str:
    """Return transformers' name; a name unknown to torchvision is kept, and later reported as unused."""
    if found := _STEM.fullmatch(name):
        kind, rest = found.groups()
        return f"embedder.embedder.{_KIND[kind]}.{rest}"
    if found := _BLOCK.fullmatch(name):
        stage, block, kind, number, rest = found.groups()
        return f"{_place(stage, block)}.layer.{int(number) - 1}.{_KIND[kind]}.{rest}"
    if found := _SHORTCUT.fullmatch(name):
        stage, block, kind, rest = found.groups()
        return f"{_place(stage, block)}.shortcut.{_KIND[kind]}.{rest}"
    return name


def _place(stage: str, block: str) -> str:
    return f"encoder.stages.{int(stage) - 1}.layers.{block}"
