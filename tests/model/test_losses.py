"""The loss against the numbers of the method's closed form, and against first principles."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from scipy.special import softmax
from torch.nn import functional

from tier_cli.errors import UsageError
from tier_cli.model.losses import (
    SigmoidObjective,
    TierObjective,
    contrastive_loss,
    patch_entropy,
    prompt_directions,
    prompt_loss,
    region_loss,
    sigmoid_loss,
    token_entropy,
)
from tier_cli.model.modeling import TierOutput

P = 49


def _case(name: str) -> torch.Tensor:
    s = torch.zeros(1, 5 if name == "diagonal" else 16 if name == "padded" else 4, P, dtype=torch.float64)
    if name in ("one_cell", "padded"):
        s[0, 0, 0] = 1
    elif name == "ten_patches":
        s[:] = -1
        s[:, :, :10] = 1
    elif name == "diagonal":
        s[0, range(5), range(5)] = 1
    return s


@pytest.mark.parametrize(
    ("name", "patch", "token"),
    [
        ("zero", 3.891820, 1.386294),
        ("one_cell", 3.887038, 1.383886),
        ("ten_patches", 3.417354, 1.386294),
        ("diagonal", 3.872691, 1.598294),
        ("padded", 3.890625, 2.771540),
    ],
)
def test_entropies_of_the_method_page(name: str, patch: float, token: float) -> None:
    s = _case(name)
    assert patch_entropy(s).item() == pytest.approx(patch, abs=1e-6)
    assert token_entropy(s).item() == pytest.approx(token, abs=1e-6)


def test_masked_padding_changes_nothing() -> None:
    short, padded = _case("one_cell"), _case("padded")
    padded[0, 4:] = torch.randn(12, P)
    mask = torch.arange(16)[None] < 4
    assert patch_entropy(padded, mask).item() == pytest.approx(patch_entropy(short).item(), abs=1e-6)
    assert token_entropy(padded, mask).item() == pytest.approx(token_entropy(short).item(), abs=1e-6)


def test_masked_mean_is_over_valid_positions_of_the_whole_batch() -> None:
    s = torch.randn(2, 6, P).clamp(-1, 1)
    mask = torch.tensor([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    q = torch.softmax(s, dim=2)
    expected = (-(q * q.log()).sum(2))[mask.bool()].mean()
    assert patch_entropy(s, mask).item() == pytest.approx(expected.item(), abs=1e-6)


def test_padding_gets_no_gradient() -> None:
    s = torch.randn(2, 6, P, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    (patch_entropy(s, mask) + token_entropy(s, mask)).backward()
    assert s.grad is not None
    assert torch.isfinite(s.grad).all()
    assert s.grad[mask == 0].abs().max() == 0


def test_contrastive_is_the_mean_of_both_directions() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    rows = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-2))) / 2
    columns = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    assert contrastive_loss(logits).item() == pytest.approx((rows + columns) / 2, abs=1e-6)


def test_excluded_pairs_are_not_negatives_but_the_diagonal_stays() -> None:
    logits = torch.randn(3, 3)
    excluded = torch.zeros(3, 3, dtype=torch.bool)
    excluded[0, 1] = True
    excluded[2, 2] = True
    row = functional.cross_entropy(logits[0, [0, 2]][None], torch.tensor([0]))
    others = [functional.cross_entropy(logits[i][None], torch.tensor([i])) for i in (1, 2)]
    rows = torch.stack([row, *others]).mean()
    column = functional.cross_entropy(logits[[1, 2], 1][None], torch.tensor([0]))
    others = [functional.cross_entropy(logits[:, j][None], torch.tensor([j])) for j in (0, 2)]
    columns = torch.stack([column, *others]).mean()
    assert contrastive_loss(logits, excluded).item() == pytest.approx(((rows + columns) / 2).item(), abs=1e-6)


def test_partners_share_the_target_as_torch_has_it() -> None:
    """`cross_entropy` of torch takes probabilities as targets."""
    logits, fit = torch.randn(4, 4), torch.rand(4, 4).sub(0.4).clamp(min=0)
    both = fit.masked_fill(torch.eye(4, dtype=torch.bool), 1.0)
    rows = functional.cross_entropy(logits, both / both.sum(1, keepdim=True))
    columns = functional.cross_entropy(logits.T, (both / both.sum(0)).T)
    assert contrastive_loss(logits, None, fit).item() == pytest.approx(
        ((rows + columns) / 2).item(), abs=1e-6
    )
    assert contrastive_loss(logits, fit > 2, torch.zeros(4, 4)).item() == pytest.approx(
        contrastive_loss(logits).item(), abs=1e-6
    )
    # A pair that is neither partner nor negative takes no part, whatever its logit.
    excluded = fit == 0
    other = torch.where(excluded & ~torch.eye(4, dtype=torch.bool), logits + 50, logits)
    assert contrastive_loss(other, excluded, fit).item() == pytest.approx(
        contrastive_loss(logits, excluded, fit).item(), abs=1e-5
    )


def test_prompt_loss_is_the_log_loss_of_scikit_learn() -> None:
    """The score is the one that `classify` gives; unknown labels take no part."""
    from sklearn.metrics import log_loss

    images, prompts, prior = torch.randn(6, 5), torch.randn(3, 2, 4, 5), torch.tensor([-2.0, 0.0, 1.0])
    labels = torch.tensor([[1, 0, 1], [0, 1, torch.nan], [1, 1, 0], [0, 0, 1], [torch.nan, 1, 0], [1, 0, 0]])
    unit = functional.normalize(functional.normalize(prompts, dim=-1).mean(2), dim=-1)
    score = functional.normalize(images, dim=-1) @ (unit[:, 0] - unit[:, 1]).T
    probabilities = torch.sigmoid(3.0 * score.double() + prior)
    known = ~labels.isnan()
    expected = log_loss(labels[known].numpy(), probabilities[known].numpy())
    directions, scale = prompt_directions(prompts), torch.tensor(3.0)
    assert prompt_loss(images, directions, labels, scale, prior).item() == pytest.approx(expected, rel=1e-5)
    assert prompt_loss(images, directions, torch.full((6, 3), torch.nan), scale).item() == 0


def test_region_loss_is_the_cross_entropy_of_scipy() -> None:
    """Cross-entropy is the entropy of where the finding is plus the divergence of where the model sees it."""
    patches, directions = torch.randn(3, 6, 5), torch.randn(3, 5)
    cover = torch.tensor([[0, 0, 1, 0, 0, 0], [0.5, 1, 0.2, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    cosines = (functional.normalize(patches, dim=-1) * directions[:, None]).sum(-1).double().numpy()
    expected = 0.0
    for own, wanted in zip(softmax(4.0 * cosines, axis=1), cover.double().numpy(), strict=True):
        expected += stats.entropy(wanted) + stats.entropy(wanted, own)
    assert region_loss(patches, directions, cover, torch.tensor(4.0)).item() == pytest.approx(
        expected, rel=1e-5
    )
    nothing = region_loss(patches[:0], directions[:0], cover[:0], torch.tensor(4.0))
    assert nothing.item() == 0


def test_a_low_temperature_lets_the_patch_entropy_speak() -> None:
    """At 1 the patch entropy of 49 cosines is at least 3.417, whatever they are; at 0.1 it nears 0."""
    s = torch.full((1, 4, 49), -1.0)
    s[..., 7] = 1.0
    mask = torch.ones(1, 4)

    def entropy(temperature: float) -> float:
        sums = TierObjective(entropy_temperature=temperature).entropies(s, mask)
        return (sums.patch / sums.patch_count).item()

    p = math.exp(2 / 0.1) / (math.exp(2 / 0.1) + 48)
    rest = (1 - p) / 48
    assert entropy(0.1) == pytest.approx(-p * math.log(p) - 48 * rest * math.log(rest), abs=1e-5)
    assert entropy(1.0) > 3.4


@pytest.mark.parametrize("entropy", ["masked", "paper"])
def test_objective_adds_its_weighted_parts(entropy: str) -> None:
    s = torch.randn(3, 7, P).clamp(-1, 1)
    mask = torch.ones(3, 7)
    mask[0, 3:] = 0
    output = TierOutput(logits_per_image=torch.randn(3, 3), similarities=s, attention_mask=mask)
    parts = TierObjective(0.2, 0.1, entropy).loss(output)
    used = mask if entropy == "masked" else None
    assert parts.patch_entropy.item() == pytest.approx(patch_entropy(s, used).item())
    assert parts.token_entropy.item() == pytest.approx(token_entropy(s, used).item())
    expected = parts.contrastive + 0.2 * parts.patch_entropy + 0.1 * parts.token_entropy
    assert parts.total.item() == pytest.approx(expected.item())


def test_unknown_entropy_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="entropy mode"):
        TierObjective(entropy="other")


def test_sigmoid_loss_is_that_of_transformers() -> None:
    from transformers import SiglipConfig, SiglipModel

    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": 20, "max_position_embeddings": 4, "projection_size": 8}
    vision = {**sizes, "image_size": 8, "patch_size": 4}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    with torch.no_grad():
        model.logit_bias.fill_(-1.5)
        output = model(
            input_ids=torch.randint(3, 20, (5, 4)), pixel_values=torch.rand(5, 3, 8, 8), return_loss=True
        )
    assert sigmoid_loss(output.logits_per_image).item() == pytest.approx(output.loss.item(), rel=1e-6)


def test_sigmoid_decides_each_pair_separately_and_skips_excluded_ones() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 1.0]])
    excluded = torch.tensor([[True, False], [True, True]])
    pairs = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-1))
    assert sigmoid_loss(logits, excluded).item() == pytest.approx(pairs / 2, abs=1e-6)
    both = pairs + math.log(1 + math.exp(0.5))
    assert SigmoidObjective().contrast(logits).item() == pytest.approx(both / 2, abs=1e-6)


def test_parts_of_a_batch_add_up_to_its_entropies() -> None:
    s, mask = torch.randn(4, 7, P).clamp(-1, 1), torch.ones(4, 7)
    mask[0, 3:] = 0
    for mode in ("masked", "paper"):
        objective = TierObjective(0.2, 0.1, mode)
        parts = [objective.entropies(s[rows], mask[rows]) for rows in (slice(0, 1), slice(1, 4))]
        counts = objective.counts(mask, P)
        whole = objective.loss(TierOutput(logits_per_image=torch.eye(4), similarities=s, attention_mask=mask))
        assert (sum(part.patch for part in parts) / counts[0]).item() == pytest.approx(
            whole.patch_entropy.item()
        )
        assert (sum(part.token for part in parts) / counts[1]).item() == pytest.approx(
            whole.token_entropy.item()
        )
