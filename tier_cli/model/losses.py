"""Define the training objectives: a contrastive term and two entropies of token-patch similarities.

Source: Palepu & Beam, "TIER: Text-Image Entropy Regularization for Medical CLIP-style models", MLHC 2023.
Entropies are in nats and use ``H = logsumexp(s) - sum softmax(s) * s``, which needs no epsilon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch.nn import functional

from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from tier_cli.model.modeling import TierOutput


class LossParts(NamedTuple):
    """The objective and its terms, scalars; `total` carries the gradient."""

    total: Tensor
    contrastive: Tensor
    prompt: Tensor
    patch_entropy: Tensor
    token_entropy: Tensor
    region: Tensor


def patch_entropy_sum(similarities: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum over valid tokens of the entropy of each token's softmax over patches, and their number.

    Several processes add up both before dividing: a mean of their means would weigh short reports more.
    """
    s = similarities.float()
    entropy = _entropy(s, dim=2)
    if mask is None:
        return entropy.sum(), torch.tensor(float(entropy.numel()), device=s.device)
    valid = mask.bool()
    return entropy.masked_fill(~valid, 0.0).sum(), valid.sum().float()


def token_entropy_sum(similarities: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum over patches of the entropy of each patch's softmax over valid tokens, and their number."""
    s = similarities.float()
    entropy = _entropy(s, dim=1, valid=None if mask is None else mask.bool()[:, :, None])
    return entropy.sum(), torch.tensor(float(entropy.numel()), device=s.device)


def patch_entropy(similarities: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean entropy of each token over the patches, in nats.

    Parameters
    ----------
    similarities
        (N, T, P) cosines of the tokens and patches of matched pairs.
    mask
        (N, T), true where a token is not padding; None counts every position.
    """
    total, count = patch_entropy_sum(similarities, mask)
    return total / count


def token_entropy(similarities: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean entropy of each patch over the tokens, in nats; arguments as for `patch_entropy`."""
    total, count = token_entropy_sum(similarities, mask)
    return total / count


def contrastive_loss(
    logits_per_image: Tensor, excluded: Tensor | None = None, partners: Tensor | None = None
) -> Tensor:
    """Return the mean cross-entropy over rows and columns of (N, N) logits, matched pairs on the diagonal.

    Parameters
    ----------
    logits_per_image
        Rows are images, columns texts.
    excluded
        (N, N) boolean: off-diagonal pairs that are not negatives (views of one study, equal texts).
    partners
        (N, N) in [0, 1]: how well each text fits each image. The targets of a row or a column are in
        proportion to it (Yang et al., "Unified Contrastive Learning in Image-Text-Label Space", CVPR 2022;
        Wang et al., "MedCLIP", EMNLP 2022). None: only matched pairs are partners.
    """
    logits = _square(logits_per_image)
    matched = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    if excluded is not None:
        outside = excluded.bool() & ~matched
        if partners is not None:
            outside &= partners <= 0
        logits = logits.masked_fill(outside, float("-inf"))
    targets = _targets(matched, partners)
    return (_soft_cross_entropy(logits, targets) + _soft_cross_entropy(logits.T, targets.T)) / 2


def _soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of rows whose targets are in proportion to the given weights."""
    shares = targets / targets.sum(1, keepdim=True)
    # 0 * -inf would be NaN, so pairs that do not take part are left out of the product.
    return -(shares * functional.log_softmax(logits, 1).masked_fill(shares == 0, 0.0)).sum(1).mean()


def prompt_directions(prompts: Tensor) -> Tensor:
    """Return the positive vector of each finding less its negative one (F, D), both of length 1.

    Parameters
    ----------
    prompts
        (F, 2, K, D) embeddings of K positive and K negative prompts of each finding, averaged as for scoring.
    """
    vectors = functional.normalize(functional.normalize(prompts.float(), dim=-1).mean(2), dim=-1)
    return vectors[:, 0] - vectors[:, 1]


def prompt_loss(
    images: Tensor, directions: Tensor, labels: Tensor, scale: Tensor, prior: Tensor | None = None
) -> Tensor:
    """Return the mean binary cross-entropy of zero-shot scores against the known labels.

    Parameters
    ----------
    images
        (N, D) image embeddings.
    directions
        (F, D) what `prompt_directions` returns.
    labels
        (N, F): 1 present, 0 absent, NaN unknown; without a known label the loss is 0.
    scale
        Factor of the score, which is the cosine with the positive vector less that with the negative one.
    prior
        (F,) log odds of each finding, added to the logits so that the embeddings need not hold how common a
        finding is (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021). None adds nothing.
    """
    logits = scale * (functional.normalize(images.float(), dim=-1) @ directions.T)
    if prior is not None:
        logits = logits + prior
    known = ~labels.isnan()
    losses = functional.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num().to(logits), reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp_min(1)


def region_loss(patches: Tensor, directions: Tensor, cover: Tensor, scale: Tensor) -> Tensor:
    """Return the cross-entropies between where a finding is and where its similarities are, summed.

    The softmax of a finding's similarities over the patches of its image is to be spread as its region is:
    the patch entropy asks for few patches, this term says which.

    Parameters
    ----------
    patches
        (R, P, D) patches of the image of each region.
    directions
        (R, D) positive vector of the finding of each region less its negative one.
    cover
        (R, P) how much of each patch the region covers, in [0, 1]; not all 0.
    scale
        Factor of the similarities in the softmax.
    """
    similarities = torch.einsum("rpd,rd->rp", functional.normalize(patches.float(), dim=-1), directions)
    wanted = cover / cover.sum(1, keepdim=True)
    return -(wanted * functional.log_softmax(scale * similarities, 1)).sum()


class EntropySums(NamedTuple):
    """Both entropies before they are divided: sums and numbers of positions, scalars.

    Processes and chunks of a batch add these up; a mean of their means would weigh short reports more.
    """

    patch: Tensor
    patch_count: Tensor
    token: Tensor
    token_count: Tensor


@dataclass(frozen=True)
class Objective:
    """The training objective: a contrastive term over all pairs plus entropies of the matched pairs.

    A third term compares images with the prompts of labelled findings, a fourth one their patches with the
    regions of findings.

    Parameters
    ----------
    lambda_patch, lambda_token
        Weights of the patch and token entropies; 0.2 and 0.1 in the paper.
    entropy
        ``masked`` excludes padding; ``paper`` includes padded positions, as published.
    entropy_temperature
        Divides the cosines in the softmax of the entropies; 1 in the paper.
    contrast_weight, prompt_weight, region_weight
        Weights of the contrastive term, of `prompt_loss` and of `region_loss`; 1, 0 and 0 in the paper.
    """

    lambda_patch: float = 0.2
    lambda_token: float = 0.1
    entropy: str = "masked"
    entropy_temperature: float = 1.0
    contrast_weight: float = 1.0
    prompt_weight: float = 0.0
    region_weight: float = 0.0

    # What the model's scale (after the exponential) and bias start at; None for a model without a bias.
    starting_scale: ClassVar[float] = 1 / 0.07
    starting_bias: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if self.entropy not in ("masked", "paper"):
            raise UsageError(f"unknown entropy mode '{self.entropy}'", remedy="use 'masked' or 'paper'")

    def contrast(
        self, logits_per_image: Tensor, excluded: Tensor | None = None, partners: Tensor | None = None
    ) -> Tensor:
        """Return the contrastive term of (N, N) logits; see `contrastive_loss` for the arguments."""
        raise NotImplementedError

    def entropies(self, similarities: Tensor, mask: Tensor) -> EntropySums:
        """Return both entropies of (n, T, P) cosines of matched pairs, possibly only part of the batch."""
        used = mask if self.entropy == "masked" else None
        similarities = similarities / self.entropy_temperature
        # A term of weight zero is only logged: without its graph the backward pass is cheaper.
        patch = patch_entropy_sum(similarities if self.lambda_patch else similarities.detach(), used)
        token = token_entropy_sum(similarities if self.lambda_token else similarities.detach(), used)
        return EntropySums(*patch, *token)

    def counts(self, mask: Tensor, patches: int) -> Tensor:
        """Return the numbers of tokens and patches (2,) by which the sums of `entropies` are divided."""
        tokens = mask.sum() if self.entropy == "masked" else torch.tensor(mask.numel(), device=mask.device)
        return torch.stack([tokens.float(), torch.tensor(float(len(mask) * patches), device=mask.device)])

    def penalty(self, patch_entropy: Tensor, token_entropy: Tensor, region: Tensor) -> Tensor:
        """Return the weighted sum of the terms of each image by itself: both entropies, and regions."""
        return (
            self.lambda_patch * patch_entropy
            + self.lambda_token * token_entropy
            + self.region_weight * region
        )

    def agreement(self, contrastive: Tensor, prompt: Tensor) -> Tensor:
        """Return the weighted sum of the two terms that compare whole images with texts."""
        return self.contrast_weight * contrastive + self.prompt_weight * prompt

    def parts(
        self, contrastive: Tensor, prompt: Tensor, patch: Tensor, token: Tensor, region: Tensor
    ) -> LossParts:
        """Return the weighted sum of all terms, with the terms."""
        total = self.agreement(contrastive, prompt) + self.penalty(patch, token, region)
        return LossParts(total, contrastive, prompt, patch, token, region)

    def loss(self, output: TierOutput, excluded: Tensor | None = None) -> LossParts:
        """Return the loss of N matched pairs, without prompts and regions, from the output of the model."""
        contrastive = self.contrast(output.logits_per_image, excluded)
        sums = self.entropies(output.similarities, output.attention_mask)
        patch, token = sums.patch / sums.patch_count, sums.token / sums.token_count
        nothing = torch.zeros_like(contrastive)
        return self.parts(contrastive, nothing, patch, token, nothing)


class TierObjective(Objective):
    """Cross-entropies over rows and columns plus weighted entropies, as published."""

    def contrast(
        self, logits_per_image: Tensor, excluded: Tensor | None = None, partners: Tensor | None = None
    ) -> Tensor:
        """See `contrastive_loss`."""
        return contrastive_loss(logits_per_image, excluded, partners)


class SigmoidObjective(Objective):
    """A decision about every pair by itself plus the same entropies; the model has a learned bias.

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023.
    """

    starting_scale = 10.0
    starting_bias = -10.0

    def contrast(
        self, logits_per_image: Tensor, excluded: Tensor | None = None, partners: Tensor | None = None
    ) -> Tensor:
        """See `sigmoid_loss`."""
        return sigmoid_loss(logits_per_image, excluded, partners)


OBJECTIVES: Mapping[str, type[Objective]] = {"tier": TierObjective, "sigmoid": SigmoidObjective}


def sigmoid_loss(
    logits_per_image: Tensor, excluded: Tensor | None = None, partners: Tensor | None = None
) -> Tensor:
    """Return the sum over pairs of -log sigmoid(logit), of -logit if they do not match, divided by N.

    Arguments as for `contrastive_loss`; the logits hold the bias, and a partner matches to its degree.
    """
    logits = _square(logits_per_image)
    matched = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    targets = _targets(matched, partners)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if excluded is not None:
        losses = losses.masked_fill(excluded.bool() & (targets <= 0), 0.0)
    return losses.sum() / len(logits)


def _targets(matched: Tensor, partners: Tensor | None) -> Tensor:
    """Return how well each text fits each image (N, N); matched pairs fit wholly."""
    return matched.float() if partners is None else partners.float().masked_fill(matched, 1.0)


def _square(logits: Tensor) -> Tensor:
    if logits.shape[0] != logits.shape[1]:
        raise UsageError(f"contrastive loss needs matched pairs, got logits of shape {tuple(logits.shape)}")
    return logits.float()


def _entropy(s: Tensor, dim: int, valid: Tensor | None = None) -> Tensor:
    if valid is None:
        return torch.logsumexp(s, dim) - (torch.softmax(s, dim) * s).sum(dim)
    masked = s.masked_fill(~valid, float("-inf"))
    # 0 * -inf would be NaN, so the product takes zeros where the softmax is zero.
    return torch.logsumexp(masked, dim) - (torch.softmax(masked, dim) * s.masked_fill(~valid, 0.0)).sum(dim)
