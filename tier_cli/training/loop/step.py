"""Compute the gradients of a whole batch, at once or in parts, in one process or several."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

from tier_cli.model.losses import EntropySums, LossParts, prompt_directions, prompt_loss, region_loss
from tier_cli.model.modeling import ImageFeatures, TextFeatures
from tier_cli.training.seeds import STEP, derive

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tier_cli.model.losses import Objective
    from tier_cli.model.modeling import TierModel
    from tier_cli.training.distributed import World
    from tier_cli.training.inputs.loader import Batch
    from tier_cli.training.inputs.regions import RegionBatch

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


class PromptBatch(NamedTuple):
    """Hold the prompts of a step and the labels of its images.

    Token ids and mask (2FK, T): K positive and K negative prompts of one finding after the other. Labels
    (N, F) of the images of all processes: 1, 0, or NaN where unknown. Log odds (F,) of the findings.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    prior: Tensor


class Relations(NamedTuple):
    """Hold how the N images and texts of all processes belong together; see `contrastive_loss`.

    Which pairs (N, N) are not negatives, how well they fit (N, N) or None, and the step's prompts or None.
    """

    excluded: Tensor
    partners: Tensor | None = None
    prompts: PromptBatch | None = None


@dataclass
class Gradients:
    """Compute the gradients of the whole batch and leave them in the parameters.

    Every process computes the contrastive loss from all features. Its gradient with respect to a process's
    own features is summed over the processes, so averaging the parameter gradients over the processes gives
    the gradient of the whole batch. Entropies and regions need only matched pairs: each process computes them
    for its own pairs and divides them by the number of positions, or images, in all processes.

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

    def whole(self, batch: Batch, relations: Relations, step: int, scaling: float = 1.0) -> Outcome:
        """Process the batch at once; the gradients are those of the loss times `scaling`."""
        ids, mask = self._padded(batch)
        images, texts, prompts = self._encode(batch.inputs, ids, mask, step, 0, relations.prompts)
        gathered = (
            images._replace(pooled=self.world.gather(images.pooled)),
            texts._replace(pooled=self.world.gather(texts.pooled)),
        )
        output = self.model.compare(*gathered, mask)
        contrastive = self.objective.contrast(output.logits_per_image, relations.excluded, relations.partners)
        prompt = self._prompt_loss(gathered[0].pooled, prompts, relations)
        sums = self.objective.entropies(output.similarities, mask)
        counts = self.world.total(self.objective.counts(mask, images.patches.shape[1]))
        region = self._region_sum(images, prompts, relations, batch.regions) / len(gathered[0].pooled)
        own = self._penalty(sums, counts, region) * self.world.size
        ((self.objective.agreement(contrastive, prompt) + own) * scaling).backward()  # type: ignore[no-untyped-call]
        self._average_complete_gradients()
        sparsity = sparsity_sums(output.similarities, mask)
        return self._outcome(contrastive, prompt, sums, sparsity, counts, region.detach())

    def in_parts(
        self, batch: Batch, relations: Relations, step: int, size: int, scaling: float = 1.0
    ) -> Outcome:
        """Process the batch in parts of `size` images; only the activations of one part need memory.

        The parts are encoded twice: first without gradients, for the contrastive loss of the whole batch;
        then again, with the same dropout, to send the gradient of that loss through them (Gao et al.,
        "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021). BatchNorm
        must not use the statistics of a part: see `Encoders.train_mode`.
        """
        ids, mask = self._padded(batch)
        parts = [slice(first, first + size) for first in range(0, len(ids), size)]
        # The prompts go with the first part.
        prompts_of = [relations.prompts, *[None] * (len(parts) - 1)]
        pooled, prompts = [], None
        with torch.no_grad():
            for number, part in enumerate(parts):
                images, texts, encoded = self._encode(
                    batch.inputs[part], ids[part], mask[part], step, number, prompts_of[number]
                )
                pooled.append((images.pooled, texts.pooled))
                prompts = encoded if number == 0 else prompts
        leaves = [torch.cat(side).requires_grad_() for side in zip(*pooled, strict=True)]
        if prompts is not None:
            leaves.append(prompts.requires_grad_())
        contrastive, prompt, gradients = self._complete_gradients(leaves, relations, scaling)
        counts = self.world.total(self.objective.counts(mask, images.patches.shape[1]))
        sums, sparsities, regions = [], [], []
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            with contextlib.nullcontext() if last else self._without_sync():
                images, texts, encoded = self._encode(
                    batch.inputs[part], ids[part], mask[part], step, number, prompts_of[number]
                )
                similarities = self.model.compare(images, texts, mask[part]).similarities
                sums.append(self.objective.entropies(similarities, mask[part]))
                sparsities.append(sparsity_sums(similarities, mask[part]))
                own_regions = batch.regions and batch.regions.within(part)
                region = self._region_sum(images, prompts, relations, own_regions)
                region = region / (len(ids) * self.world.size)
                regions.append(region.detach())
                own = self._penalty(sums[-1], counts, region) * self.world.size * scaling
                # The inner product whose gradient is the chain rule through the features.
                for_images, for_texts, *for_prompts = gradients
                chained = (images.pooled * for_images[part]).sum() + (texts.pooled * for_texts[part]).sum()
                if encoded is not None:
                    chained = chained + (encoded * for_prompts[0]).sum()
                (own + chained).backward()  # type: ignore[no-untyped-call]
        self._average_complete_gradients()
        together = EntropySums(*(torch.stack(values).sum().detach() for values in zip(*sums, strict=True)))
        sparsity, region = torch.stack(sparsities).sum(0), torch.stack(regions).sum()
        return self._outcome(contrastive, prompt, together, sparsity, counts, region)

    def _encode(
        self,
        inputs: Tensor,
        ids: Tensor,
        mask: Tensor,
        step: int,
        part: int,
        prompts: PromptBatch | None = None,
    ) -> tuple[ImageFeatures, TextFeatures, Tensor | None]:
        """Encode a part into fp32 features, and the prompts (2FK, D) if there are any.

        The same step, process and part give the same dropout.
        """
        torch.manual_seed(derive(self.seed, STEP, step, self.world.rank, part))
        tokens = None if prompts is None else (prompts.ids, prompts.mask)
        with torch.autocast(
            inputs.device.type, dtype=_AUTOCAST.get(self.precision), enabled=self.precision in _AUTOCAST
        ):
            images, texts, encoded = self.encoders(inputs, ids, mask, tokens)
        patches = images.patches.float()
        # Where pooling is the mean of the patches, take that mean in fp32.
        pooled = patches.mean(1) if self.model.config.image_pooling == "mean" else images.pooled.float()
        encoded = None if encoded is None else encoded.float()
        return ImageFeatures(patches, pooled, images.grid), TextFeatures(*(t.float() for t in texts)), encoded

    def _prompt_loss(self, images: Tensor, prompts: Tensor | None, relations: Relations) -> Tensor:
        if prompts is None or relations.prompts is None:
            return images.new_zeros(())
        known = relations.prompts
        directions = prompt_directions(prompts.reshape(known.labels.shape[1], 2, -1, prompts.shape[1]))
        return prompt_loss(images, directions, known.labels, self.model.scale(), known.prior)

    def _region_sum(
        self,
        images: ImageFeatures,
        prompts: Tensor | None,
        relations: Relations,
        regions: RegionBatch | None,
    ) -> Tensor:
        """Return the sum of the region term over some images, which teaches their patches alone."""
        if prompts is None or relations.prompts is None or regions is None:
            return images.patches.new_zeros(())
        numbers, findings, cover = regions.to(images.patches.device)
        columns = relations.prompts.labels.shape[1]
        directions = prompt_directions(prompts.detach().reshape(columns, 2, -1, prompts.shape[1]))
        scale = self.model.scale().detach()
        return region_loss(images.patches[numbers], directions[findings], cover, scale)

    def _complete_gradients(
        self, leaves: list[Tensor], relations: Relations, scaling: float
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Return the terms that need the whole batch and their gradients by the features of this process.

        The gradients of scale and bias are stored in the parameters.

        Parameters
        ----------
        leaves
            Image and text embeddings (n, D) of this process, and those of the prompts if there are any.
        relations, scaling
            As in `in_parts`.
        """
        images, texts, *prompts = leaves
        nothing = images.new_zeros(0, 1, images.shape[1])
        gathered = self.world.gather(images)
        output = self.model.compare(
            ImageFeatures(nothing, gathered, (0, 0)), TextFeatures(nothing, self.world.gather(texts)), nothing
        )
        contrastive = self.objective.contrast(output.logits_per_image, relations.excluded, relations.partners)
        prompt = self._prompt_loss(gathered, prompts[0] if prompts else None, relations)
        own = [*leaves, *(p for p in comparison_parameters(self.model) if p.requires_grad)]
        found = torch.autograd.grad(
            self.objective.agreement(contrastive, prompt) * scaling, own, allow_unused=True
        )
        for parameter, gradient in zip(own[len(leaves) :], found[len(leaves) :], strict=True):
            parameter.grad = gradient
        return contrastive.detach(), prompt.detach(), found[: len(leaves)]

    def _padded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return ids and mask, padded to the longest text of all processes where padding counts."""
        if self.objective.entropy != "paper" or self.world.size == 1:
            return batch.ids, batch.mask
        more = self.world.maximum(batch.ids.shape[1], batch.ids.device) - batch.ids.shape[1]
        return functional.pad(batch.ids, (0, more), value=self.pad_id), functional.pad(batch.mask, (0, more))

    def _penalty(self, sums: EntropySums, counts: Tensor, region: Tensor) -> Tensor:
        return self.objective.penalty(sums.patch / counts[0], sums.token / counts[1], region)

    def _outcome(
        self,
        contrastive: Tensor,
        prompt: Tensor,
        sums: EntropySums,
        sparsity: Tensor,
        counts: Tensor,
        region: Tensor,
    ) -> Outcome:
        """Combine the sums of all processes into the outcome of the whole batch."""
        totals = self.world.total(torch.cat([torch.stack([sums.patch, sums.token, region]), sparsity]))
        patch, token = totals[:2] / counts
        parts = self.objective.parts(contrastive.detach(), prompt.detach(), patch, token, totals[2])
        return Outcome(parts, totals[3:5] / totals[5])

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
