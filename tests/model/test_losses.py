"""The loss against the numbers of the method's closed form, and against first principles."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tier_cli.errors import UsageError
from tier_cli.model.losses import (
    SigmoidObjective,
    TierObjective,
    contrastive_loss,
    patch_entropy,
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
