"""In parts or at once: the loss and the gradients of the whole batch are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from gradients import assert_same, found_in, gradients_of, prepared
from little import SETTINGS

from tier_cli.model.modeling import ImageFeatures, TextFeatures


def sparsity(similarities, mask):
    """Means over all valid tokens of the batch, one after the other (Hoyer, JMLR 2004, section 3.1)."""
    rows = [
        s.abs().double() for pair, m in zip(similarities.detach(), mask, strict=True) for s in pair[m > 0]
    ]
    root = len(rows[0]) ** 0.5
    hoyer = sum((root - s.sum() / (s * s).sum().sqrt()) / (root - 1) for s in rows) / len(rows)
    return torch.stack([hoyer, sum((s > 0.1).double().mean() for s in rows) / len(rows)]).float()


@pytest.mark.parametrize("labelled", [False, True], ids=["", "with labels"])
@pytest.mark.parametrize("entropy", ["masked", "paper"])
@pytest.mark.parametrize("objective", ["tier", "sigmoid"])
def test_parts_add_up_to_the_whole_batch(objective, entropy, labelled, tmp_path):
    labels: dict[str, Any] = (
        {"partners": "labels", "prompt_weight": 2.0, "contrast_weight": 0.5, "region_weight": 3.0}
        if labelled
        else {}
    )
    settings = replace(SETTINGS, objective=objective, entropy=entropy, **labels)
    whole = gradients_of(tmp_path, settings)
    assert max(value.abs().max() for name, value in whole.items() if "image_tower" in name) > 1e-3
    assert ("logit_bias" in whole) == (objective == "sigmoid")
    assert_same(whole, gradients_of(tmp_path, settings, parts=4))


def test_the_gradient_of_the_prompt_term_teaches_images_and_texts(tmp_path):
    """Steps against it lower the loss of the scores; without it, nothing does."""
    settings = replace(SETTINGS, prompt_weight=1.0, contrast_weight=0.0, lambda_patch=0, lambda_token=0)
    step, batch, relations = prepared(tmp_path, settings)
    losses = []
    for _ in range(5):
        step.model.zero_grad()
        losses.append(step.whole(batch, relations, 0).parts.prompt.item())
        towers = (step.model.image_tower, step.model.text_tower)
        assert all(max(p.grad.abs().max() for p in t.parameters() if p.grad is not None) > 0 for t in towers)
        with torch.no_grad():
            for parameter in step.model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.02 * parameter.grad
    assert losses == sorted(losses, reverse=True)


def test_the_gradient_of_the_region_term_moves_patches_to_their_regions(tmp_path):
    """Steps against it lower the term, through the images alone: texts must not bend to boxes."""
    settings = replace(
        SETTINGS, prompt_weight=1.0, contrast_weight=0.0, lambda_patch=0, lambda_token=0, region_weight=1.0
    )
    step, batch, relations = prepared(tmp_path, settings)
    assert relations.prompts is not None
    nothing = relations.prompts._replace(labels=torch.full_like(relations.prompts.labels, torch.nan))
    relations = relations._replace(prompts=nothing)
    losses = []
    for _ in range(5):
        step.model.zero_grad()
        losses.append(step.whole(batch, relations, 0).parts.region.item())
        taught = [
            n for n, p in step.model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0
        ]
        assert taught
        assert all(name.startswith("image") for name in taught)
        with torch.no_grad():
            for parameter in step.model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.02 * parameter.grad
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1]


def test_parts_in_bf16_differ_by_its_rounding_alone(tmp_path):
    """bf16 keeps 8 bits: parts may change a gradient by some of its roundings, and no more.

    With one thread they are 3 at most, with two 6: sums are taken in another order.
    """
    exact = gradients_of(tmp_path, SETTINGS)
    whole = gradients_of(tmp_path, replace(SETTINGS, precision="bf16"))
    parts = gradients_of(tmp_path, replace(SETTINGS, precision="bf16"), parts=4)
    assert exact.keys() == whole.keys() == parts.keys()
    for name, value in whole.items():
        assert (parts[name] - value).norm() <= 16 * 2**-8 * value.norm(), name
        # A key's bias changes no attention: its gradient is rounding alone.
        if not name.endswith("key.bias"):
            assert (exact[name] - value).norm() <= 0.2 * exact[name].norm(), name
    changed = [name for name, value in whole.items() if (exact[name] - value).norm() > 1e-2 * value.norm()]
    assert len(changed) > 20, "bf16 should show"


def test_parts_drop_out_the_same_both_times(tmp_path):
    """With dropout, against one graph over both parts: each is replayed as it was encoded at first."""
    step, batch, relations = prepared(tmp_path, SETTINGS, train=True)
    images, texts = zip(
        *(
            step._encode(batch.inputs[p], batch.ids[p], batch.mask[p], 0, number)[:2]
            for number, p in enumerate((slice(0, 4), slice(4, 8)))
        ),
        strict=True,
    )
    output = step.model.compare(
        ImageFeatures(torch.cat([i.patches for i in images]), torch.cat([i.pooled for i in images]), (0, 0)),
        TextFeatures(*(torch.cat([getattr(t, f) for t in texts]) for f in ("tokens", "pooled"))),
        batch.mask,
    )
    parts = step.objective.loss(output, relations.excluded)
    parts.total.backward()
    reference = found_in(step, parts, sparsity(output.similarities, batch.mask))
    assert_same(reference, gradients_of(tmp_path, SETTINGS, parts=2, train=True))
    still = gradients_of(tmp_path, SETTINGS, parts=2)
    assert abs(still["contrastive"] - reference["contrastive"]) > 1e-4, "there is dropout to speak of"
