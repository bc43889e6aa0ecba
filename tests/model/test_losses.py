"""The loss against the numbers of the method's closed form, and against first principles."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tier_cli.errors import UsageError
from tier_cli.model.losses import TierObjective, contrastive_loss, patch_entropy, token_entropy
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


def test_excluded_pairs_are_no_negatives_but_the_diagonal_stays() -> None:
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
