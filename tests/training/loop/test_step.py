"""In parts, in several processes, or at once: the loss and the gradients of the whole batch are the same."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.multiprocessing as processes
from little import ROWS, SETTINGS, batches, encoders, silent

from tier_cli.model.losses import OBJECTIVES
from tier_cli.model.modeling import ImageFeatures, TextFeatures
from tier_cli.training.distributed import World, join_world, leave_world
from tier_cli.training.inputs.features import FrozenFeatures, write_features
from tier_cli.training.loop.step import Gradients, alone

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def prepared(folder, settings, world=World(), train=False):
    """What computes gradients, the first batch of this process, and which pairs are no negatives."""
    built = encoders(settings)
    if train:
        built.train_mode(0, statistics=False)
    else:
        built.eval()
    objective = OBJECTIVES[settings.objective](settings.lambda_patch, settings.lambda_token, settings.entropy)
    if objective.starting_bias is not None:
        built.model.logit_bias = torch.nn.Parameter(torch.tensor(objective.starting_bias))
    made = batches(folder, settings, world)
    if settings.freeze_image_blocks:
        made.images = frozen(folder / "features.npy", made.images, built)
    shared = world.shared(built, torch.device("cpu"), alone(built.model))
    step = Gradients(shared, built.model, objective, world, settings.precision, settings.seed, pad_id=0)
    batch = made[0]
    rows = world.gather(batch.rows)
    excluded = torch.from_numpy(made.plan.pairs.excluded(rows.numpy(), made.plan.all_places(0)))
    assert excluded.sum() > len(rows), "views of one study should be left out of the negatives"
    return step, batch, excluded


def frozen(file, images, built):
    """Features of the frozen blocks, written by the first who asks."""
    if not file.exists():
        write_features(images, ROWS, built.start(), 2, file, torch.device("cpu"), silent, lambda bad: None)
    return FrozenFeatures(file, np.arange(ROWS), seed=0)


def found_in(step, parts, sparsity=None):
    """The loss, its terms, how sparse the similarities are and the gradient of every parameter."""
    gradients = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    return parts._asdict() | gradients | ({} if sparsity is None else {"sparsity": sparsity})


def gradients_of(folder, settings, world=World(), parts=1, train=False):
    step, batch, excluded = prepared(folder, settings, world, train)
    if parts > 1:
        outcome = step.in_parts(batch, excluded, 0, len(batch.rows) // parts)
    else:
        outcome = step.whole(batch, excluded, 0)
    return found_in(step, outcome.parts, outcome.sparsity)


def sparsity(similarities, mask):
    """Means over all valid tokens of the batch, one after the other (Hoyer, JMLR 2004, section 3.1)."""
    rows = [
        s.abs().double() for pair, m in zip(similarities.detach(), mask, strict=True) for s in pair[m > 0]
    ]
    root = len(rows[0]) ** 0.5
    hoyer = sum((root - s.sum() / (s * s).sum().sqrt()) / (root - 1) for s in rows) / len(rows)
    return torch.stack([hoyer, sum((s > 0.1).double().mean() for s in rows) / len(rows)]).float()


def the_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            other[name], value, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("entropy", ["masked", "paper"])
@pytest.mark.parametrize("objective", ["tier", "sigmoid"])
def test_parts_add_up_to_the_whole_batch(objective, entropy, tmp_path):
    settings = replace(SETTINGS, objective=objective, entropy=entropy)
    whole = gradients_of(tmp_path, settings)
    assert max(value.abs().max() for name, value in whole.items() if "image_tower" in name) > 1e-3
    assert ("logit_bias" in whole) == (objective == "sigmoid")
    the_same(whole, gradients_of(tmp_path, settings, parts=4))


def test_parts_in_bf16_differ_by_its_rounding_alone(tmp_path):
    """bf16 keeps 8 bits: parts may change a gradient by a few of its roundings, and no more."""
    exact = gradients_of(tmp_path, SETTINGS)
    whole = gradients_of(tmp_path, replace(SETTINGS, precision="bf16"))
    parts = gradients_of(tmp_path, replace(SETTINGS, precision="bf16"), parts=4)
    assert exact.keys() == whole.keys() == parts.keys()
    for name, value in whole.items():
        assert (parts[name] - value).norm() <= 4 * 2**-8 * value.norm(), name
        # A key's bias changes no attention: its gradient is rounding alone.
        if not name.endswith("key.bias"):
            assert (exact[name] - value).norm() <= 0.2 * exact[name].norm(), name
    changed = [name for name, value in whole.items() if (exact[name] - value).norm() > 1e-2 * value.norm()]
    assert len(changed) > 20, "bf16 should show"


def test_parts_drop_out_the_same_both_times(tmp_path):
    """With dropout, against one graph over both parts: each is replayed as it was encoded at first."""
    step, batch, excluded = prepared(tmp_path, SETTINGS, train=True)
    images, texts = zip(
        *(
            step._encode(batch.inputs[p], batch.ids[p], batch.mask[p], 0, number)
            for number, p in enumerate((slice(0, 4), slice(4, 8)))
        ),
        strict=True,
    )
    output = step.model.compare(
        ImageFeatures(*(torch.cat([getattr(i, f) for i in images]) for f in ("patches", "pooled")), (0, 0)),
        TextFeatures(*(torch.cat([getattr(t, f) for t in texts]) for f in ("tokens", "pooled"))),
        batch.mask,
    )
    parts = step.objective.loss(output, excluded)
    parts.total.backward()
    reference = found_in(step, parts, sparsity(output.similarities, batch.mask))
    the_same(reference, gradients_of(tmp_path, SETTINGS, parts=2, train=True))
    still = gradients_of(tmp_path, SETTINGS, parts=2)
    assert abs(still["contrastive"] - reference["contrastive"]) > 1e-4, "there is dropout to speak of"


def _process(rank, port, folder, settings, parts, results):
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    world, _ = join_world("cpu")
    found = [gradients_of(folder, s, world, parts=p) for s, p in zip(settings, parts, strict=True)]
    torch.save(found, results / f"{rank}.pt")
    leave_world()


def test_two_processes_are_as_one(tmp_path):
    """Masked and paper entropies, both objectives, at once and in parts, with and without frozen blocks."""
    cases = [
        (replace(SETTINGS, objective="tier", entropy="masked"), 1),
        (replace(SETTINGS, objective="tier", entropy="paper"), 1),
        (replace(SETTINGS, objective="sigmoid", entropy="masked"), 1),
        (replace(SETTINGS, objective="tier", entropy="paper"), 2),
        (replace(SETTINGS, freeze_image_blocks=1, freeze_text_layers=1), 1),
        (replace(SETTINGS, freeze_image_blocks=1), 2),
    ]
    wholes = [gradients_of(tmp_path, settings) for settings, _ in cases]
    learning = {name.split(".")[3] for name in wholes[4] if name.startswith("image_tower.encoder.stages")}
    assert learning == {"1"}, "of two blocks the first was to be frozen"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings, parts = zip(*cases, strict=True)
    processes.spawn(_process, (port, tmp_path, settings, parts, tmp_path), nprocs=2)
    for rank in range(2):
        for whole, found in zip(wholes, torch.load(tmp_path / f"{rank}.pt"), strict=True):
            the_same(whole, found)
