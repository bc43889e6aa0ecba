"""Freeze parts of the towers, cut the image tower for cached features, and checkpoint activations."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from tier_cli.errors import UsageError
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.loading import read_tower_config
from tier_cli.model.towers import build_tower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from tier_cli.model.modeling import ImageFeatures, TextFeatures, TierModel


_FROZEN_BY_DEFAULT, _LEARNING_AT_LEAST = 4, 2


class Encoders(nn.Module):
    """Run both encoders in one forward pass, as sharing between processes requires.

    Parameters
    ----------
    model
        The whole model.
    frozen_blocks
        How many blocks of the image tower are already applied to the inputs.
    checkpointed
        Recompute activations in the backward pass to save memory.
    """

    def __init__(self, model: TierModel, frozen_blocks: int = 0, checkpointed: bool = False):
        super().__init__()
        self.model = model
        self.checkpointed = checkpointed
        stem, stages, end = _blocks(model.image_tower)
        self._blocks = [*stem, *stages, *end]
        self._first = len(stem) + frozen_blocks if frozen_blocks else 0
        if checkpointed:
            for tower in (model.text_tower, *(() if self._blocks else (model.image_tower,))):
                _checkpoint_layers(tower)

    def forward(
        self, inputs: Tensor, ids: Tensor, mask: Tensor, prompts: tuple[Tensor, Tensor] | None = None
    ) -> tuple[ImageFeatures, TextFeatures, Tensor | None]:
        """Encode inputs (n, ...) and token ids and mask (n, T) into image and text features.

        Prompts, also ids and mask, become embeddings (p, D). They have a pass of their own: padded to the
        length of the captions, they would cost as much as the images.
        """
        images, texts = self._images(inputs), self.model.encode_texts(ids, mask)
        return images, texts, None if prompts is None else self.model.encode_texts(*prompts).pooled

    def _images(self, inputs: Tensor) -> ImageFeatures:
        if not self._first and not (self.checkpointed and self._blocks):
            return self.model.encode_images(inputs)
        for block in self._blocks[self._first :]:
            inputs = _checkpoint_block(block, inputs) if self.checkpointed else block(inputs)
        return self.model.project_grid(inputs)

    @property
    def all_parameters_used(self) -> bool:
        """Return whether the features are known to depend on every learning parameter.

        Towers of other families have layers behind the patch grid that is used, such as ConvNeXt's last norm.
        """
        return bool(self._blocks) and self.model.config.image_pooling == "mean"

    def start(self) -> nn.Module:
        """Return the frozen blocks of the image tower; their output is the input of `forward`."""
        return nn.Sequential(*self._blocks[: self._first])

    def freeze(self, text_layers: int) -> None:
        """Freeze all but the later image blocks, the last text layers, the heads and the scale."""
        self.model.requires_grad_(True)
        for block in self._blocks[: self._first]:
            block.requires_grad_(False)
        for module in self._frozen_texts(text_layers):
            module.requires_grad_(False)
        for name, parameter in self.model.named_parameters():
            # Left from masked pre-training: it gets no gradient here, and the processes would wait for one.
            if name.endswith("mask_token"):
                parameter.requires_grad_(False)

    def train_mode(self, text_layers: int, statistics: bool) -> None:
        """Put dropout and normalisation into training mode, except where parameters are frozen.

        Parameters
        ----------
        text_layers
            How many text layers are frozen.
        statistics
            Let BatchNorm use and update the statistics of the batch; False where batches are split into
            parts.
        """
        self.train()
        # Frozen parts stay in eval mode: their BatchNorm statistics belong to the starting weights.
        for module in (*self._blocks[: self._first], *self._frozen_texts(text_layers)):
            module.eval()
        if not statistics:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def _frozen_texts(self, count: int) -> list[nn.Module]:
        return (
            [*_before_layers(self.model.text_tower), *text_layers(self.model.text_tower)[:count]]
            if count
            else []
        )


def check_freezing(model: TierModel, image_blocks: int, layers: int) -> None:
    """Check the requested freezing before anything is computed.

    Raises
    ------
    UsageError
        The family's blocks or layers are not known, or there are fewer than are to be frozen.
    """
    _, stages, _ = _blocks(model.image_tower)
    if image_blocks and (not stages or model.config.image_pooling != "mean"):
        raise UsageError(
            f"blocks of a '{model.image_tower.config.model_type}' image tower cannot be frozen",
            where="--freeze-image-blocks",
            remedy="use 0, or a mobilenet_v2 or resnet tower",
        )
    if image_blocks > len(stages):
        raise UsageError(
            f"the image tower has {len(stages)} blocks, not {image_blocks}",
            where="--freeze-image-blocks",
            remedy=f"use 0 to {len(stages)}",
        )
    count = len(text_layers(model.text_tower)) if layers else layers
    if layers > count:
        raise UsageError(
            f"the text tower has {count} layers, not {layers}",
            where="--freeze-text-layers",
            remedy=f"use 0 to {count}",
        )


def default_frozen_layers(init: str | None, text_tower: Path | None) -> int:
    """Return how many text layers are frozen by default: 4, or all but two of a smaller tower.

    It is 0 where the family's layers are not known.

    Parameters
    ----------
    init, text_tower
        The checkpoint, or the folder, that the text tower is taken from.

    Raises
    ------
    CheckpointError
        The checkpoint or folder does not exist.
    """
    config = read_tower_config(text_tower or "") if init is None else open_checkpoint(init).config
    with torch.device("meta"):
        tower = build_tower(config if init is None else config["text_tower"], takes="input_ids")
    try:
        return min(_FROZEN_BY_DEFAULT, max(len(text_layers(tower)) - _LEARNING_AT_LEAST, 0))
    except UsageError:
        return 0


def text_layers(tower: Any) -> nn.ModuleList:
    """Return the layers of a text tower, whatever the family calls them.

    Raises
    ------
    UsageError
        The tower has no list of as many layers as its configuration states.
    """
    wanted = getattr(tower.config, "num_hidden_layers", None)
    for module in tower.modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return module
    raise UsageError(
        f"the layers of a '{tower.config.model_type}' text tower cannot be frozen one by one",
        where="--text-tower",
        remedy="use a BERT-like encoder, such as bert, roberta or distilbert, or --freeze-text-layers 0",
    )


def _before_layers(tower: Any) -> list[nn.Module]:
    """Return the modules before a text tower's layers: the embeddings, whatever their name."""
    layers, found, inside = text_layers(tower), [], tower
    while inside is not layers:
        for child in inside.children():
            if any(module is layers for module in child.modules()):
                inside = child
                break
            found.append(child)
    return found


def _blocks(tower: Any) -> tuple[list[nn.Module], list[nn.Module], list[nn.Module]]:
    """Return stem, blocks and end of a convolutional tower in running order; empty lists for other towers."""
    kind = tower.config.model_type
    if kind == "mobilenet_v2":
        return [tower.conv_stem], list(tower.layer), [tower.conv_1x1]
    if kind == "resnet":
        return [tower.embedder], list(tower.encoder.stages), []
    return [], [], []


def _checkpoint_layers(tower: Any) -> None:
    """Let every layer of a tower store only its inputs during training and recompute the rest."""
    layers = [module for module in tower.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise UsageError(
            f"a '{tower.config.model_type}' tower cannot recompute activations",
            where="--checkpoint-activations",
            remedy="leave the option out",
        )
    for layer in layers:
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)


def _checkpoint_block(block: nn.Module, inputs: Tensor) -> Tensor:
    """Run a block, store only its inputs, and run it again in the backward pass."""

    def contexts() -> tuple[Any, Any]:
        return contextlib.nullcontext(), _statistics_unchanged(block)

    result: Tensor = checkpoint(block, inputs, use_reentrant=False, context_fn=contexts)
    return result


@contextlib.contextmanager
def _statistics_unchanged(block: nn.Module) -> Iterator[None]:
    """Let BatchNorm use the statistics of a batch without counting that batch a second time."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm) and module.training]
    kept = [
        (norm.momentum, None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone())
        for norm in norms
    ]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)
