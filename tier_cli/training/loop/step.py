"""Compute the gradients of a whole batch, at once or in parts, in one process or several."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

from tier_cli.model.losses import EntropySums, LossParts
from tier_cli.model.modeling import ImageFeatures, TextFeatures
from tier_cli.training.seeds import STEP, derive

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tier_cli.model.losses import Objective
    from tier_cli.model.modeling import TierModel
    from tier_cli.training.distributed import World
    from tier_cli.training.inputs.loader import Batch

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Cosine above which a patch counts in the logged share.
_HIGH_SIMILARITY = 0.1


class Outcome(NamedTuple):
    """Hold the loss of a whole batch and the sparsity of its similarities (2,).

    The sparsity is a mean over valid tokens: first Hoyer's measure, 0 where all patches are equally similar
    and 1 where a single patch is; then the share of patches with a cosine above 0.1.
    """

    parts: LossParts
    sparsity: Tensor


@dataclass
class Gradients:
    """Compute the gradients of the whole batch and leave them in the parameters.

    Every process computes the contrastive loss from all features. Its gradient with respect to a process's
    own features is summed over the processes, so averaging the parameter gradients over the processes gives
    the gradient of the whole batch. Entropies need only matched pairs: each process computes them for its
    own pairs and divides them by the number of positions in all processes.

    Parameters
    ----------
    encoders
        `Encoders`, or their wrapper for several processes.
    model, objective
        The model that compares the features, and the objective to minimise.
    world
        The processes.
    precision
        ``fp32``, ``bf16`` or ``fp16``.
    seed
        Together with the step, the process and the part, decides dropout.
    pad_id
        The padding token, for entropies that count padding: all processes then pad to the same length.
    """

    encoders: nn.Module
    model: TierModel
    objective: Objective
    world: World
    precision: str
    seed: int
    pad_id: int

    def whole(self, batch: Batch, excluded: Tensor, step: int, scaling: float = 1.0) -> Outcome:
        """Process the batch at once; the gradients are those of the loss times `scaling`."""
        ids, mask = self._padded(batch)
        images, texts = self._encode(batch.inputs, ids, mask, step, 0)
        gathered = (
            images._replace(pooled=self.world.gather(images.pooled)),
            texts._replace(pooled=self.world.gather(texts.pooled)),
        )
        output = self.model.compare(*gathered, mask)
        contrastive = self.objective.contrast(output.logits_per_image, excluded)
        sums = self.objective.entropies(output.similarities, mask)
        counts = self.world.total(self.objective.counts(mask, images.patches.shape[1]))
        own = self._penalty(sums, counts) * self.world.size
        ((contrastive + own) * scaling).backward()  # type: ignore[no-untyped-call]
        self._average_complete_gradients()
        return self._outcome(contrastive, sums, sparsity_sums(output.similarities, mask), counts)

    def in_parts(self, batch: Batch, excluded: Tensor, step: int, size: int, scaling: float = 1.0) -> Outcome:
        """Process the batch in parts of `size` images; only the activations of one part need memory.

        The parts are encoded twice: first without gradients, for the contrastive loss of the whole batch;
        then again, with the same dropout, to send the gradient of that loss through them (Gao et al.,
        "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021). BatchNorm
        must not use the statistics of a part: see `Encoders.train_mode`.
        """
        ids, mask = self._padded(batch)
        parts = [slice(first, first + size) for first in range(0, len(ids), size)]
        pooled = []
        with torch.no_grad():
            for number, part in enumerate(parts):
                images, texts = self._encode(batch.inputs[part], ids[part], mask[part], step, number)
                pooled.append((images.pooled, texts.pooled))
        image_leaf, text_leaf = (torch.cat(side).requires_grad_() for side in zip(*pooled, strict=True))
        contrastive, feature_gradients = self._contrast(image_leaf, text_leaf, excluded, scaling)
        counts = self.world.total(self.objective.counts(mask, images.patches.shape[1]))
        sums, sparsities = [], []
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            with contextlib.nullcontext() if last else self._without_sync():
                images, texts = self._encode(batch.inputs[part], ids[part], mask[part], step, number)
                similarities = self.model.compare(images, texts, mask[part]).similarities
                sums.append(self.objective.entropies(similarities, mask[part]))
                sparsities.append(sparsity_sums(similarities, mask[part]))
                own = self._penalty(sums[-1], counts) * self.world.size * scaling
                # The inner product whose gradient is the chain rule through the features.
                for_images, for_texts = (gradient[part] for gradient in feature_gradients)
                chained = (images.pooled * for_images).sum() + (texts.pooled * for_texts).sum()
                (own + chained).backward()  # type: ignore[no-untyped-call]
        self._average_complete_gradients()
        together = EntropySums(*(torch.stack(values).sum().detach() for values in zip(*sums, strict=True)))
        return self._outcome(contrastive, together, torch.stack(sparsities).sum(0), counts)

    def _encode(
        self, inputs: Tensor, ids: Tensor, mask: Tensor, step: int, part: int
    ) -> tuple[ImageFeatures, TextFeatures]:
        """Encode a part into fp32 features; the same step, process and part give the same dropout."""
        torch.manual_seed(derive(self.seed, STEP, step, self.world.rank, part))
        with torch.autocast(
            inputs.device.type, dtype=_AUTOCAST.get(self.precision), enabled=self.precision in _AUTOCAST
        ):
            images, texts = self.encoders(inputs, ids, mask)
        patches = images.patches.float()
        # Where pooling is the mean of the patches, take that mean in fp32.
        pooled = patches.mean(1) if self.model.config.image_pooling == "mean" else images.pooled.float()
        return ImageFeatures(patches, pooled, images.grid), TextFeatures(*(t.float() for t in texts))

    def _contrast(
        self, images: Tensor, texts: Tensor, excluded: Tensor, scaling: float
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the batch's contrastive loss and its feature gradients; store those of scale and bias."""
        nothing = images.new_zeros(0, 1, images.shape[1])
        output = self.model.compare(
            ImageFeatures(nothing, self.world.gather(images), (0, 0)),
            TextFeatures(nothing, self.world.gather(texts)),
            nothing,
        )
        contrastive = self.objective.contrast(output.logits_per_image, excluded)
        own = [images, texts, *(p for p in comparison_parameters(self.model) if p.requires_grad)]
        for_images, for_texts, *others = torch.autograd.grad(contrastive * scaling, own, allow_unused=True)
        for parameter, gradient in zip(own[2:], others, strict=True):
            parameter.grad = gradient
        return contrastive.detach(), (for_images, for_texts)

    def _padded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return ids and mask, padded to the longest text of all processes where padding counts."""
        if self.objective.entropy != "paper" or self.world.size == 1:
            return batch.ids, batch.mask
        more = self.world.maximum(batch.ids.shape[1], batch.ids.device) - batch.ids.shape[1]
        return functional.pad(batch.ids, (0, more), value=self.pad_id), functional.pad(batch.mask, (0, more))

    def _penalty(self, sums: EntropySums, counts: Tensor) -> Tensor:
        return self.objective.penalty(sums.patch / counts[0], sums.token / counts[1])

    def _outcome(self, contrastive: Tensor, sums: EntropySums, sparsity: Tensor, counts: Tensor) -> Outcome:
        """Combine the sums of all processes into the outcome of the whole batch."""
        totals = self.world.total(torch.cat([torch.stack([sums.patch, sums.token]), sparsity]))
        patch, token = totals[:2] / counts
        contrastive = contrastive.detach()
        parts = LossParts(contrastive + self.objective.penalty(patch, token), contrastive, patch, token)
        return Outcome(parts, totals[2:4] / totals[4])

    def _average_complete_gradients(self) -> None:
        """Average what every process computed in full, so that rounding does not drive them apart."""
        for parameter in comparison_parameters(self.model):
            if self.world.size > 1 and parameter.grad is not None:
                parameter.grad = self.world.total(parameter.grad) / self.world.size

    def _without_sync(self) -> Any:
        no_sync = getattr(self.encoders, "no_sync", contextlib.nullcontext)
        return no_sync()


def sparsity_sums(similarities: Tensor, mask: Tensor) -> Tensor:
    """Sum Hoyer's sparsity, the share above 0.1, and 1 over the valid tokens of cosines (n, T, P).

    Source: Hoyer, "Non-negative Matrix Factorization with Sparseness Constraints", JMLR 2004.
    """
    s = similarities.detach().abs()
    root = math.sqrt(s.shape[2])
    hoyer = (root - s.sum(2) / s.norm(dim=2).clamp_min(1e-12)) / max(root - 1, 1e-12)
    each = torch.stack([hoyer, (s > _HIGH_SIMILARITY).float().mean(2), torch.ones_like(hoyer)])
    # Multiplied, not indexed by the mask: indexing makes a GPU wait for the number of tokens.
    return (each * mask).sum((1, 2))


def comparison_parameters(model: TierModel) -> tuple[nn.Parameter, ...]:
    """Return scale and bias of the comparison; every process has their complete gradient."""
    return tuple(p for p in (model.logit_scale, getattr(model, "logit_bias", None)) if p is not None)
