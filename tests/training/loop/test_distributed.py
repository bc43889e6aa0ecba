"""Several processes: an error in one reaches all, so that none waits forever."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradients import assert_same, gradients_of
from little import SETTINGS, silent, trainer
from torch.multiprocessing.spawn import spawn
from unreadable import Unreadable

from tier_cli.errors import ManifestError, TierError, UsageError
from tier_cli.model.checkpoint import write_checksums
from tier_cli.model.verify import require_unaltered
from tier_cli.training.distributed import join_world, leave_world
from tier_cli.training.settings import RunOptions

# Masked and paper entropies, both objectives, at once and in parts, with and without frozen blocks.
CASES = [
    (replace(SETTINGS, objective="tier", entropy="masked"), 1),
    (replace(SETTINGS, objective="tier", entropy="paper"), 1),
    (replace(SETTINGS, objective="sigmoid", entropy="masked"), 1),
    (replace(SETTINGS, objective="tier", entropy="paper"), 2),
    (replace(SETTINGS, freeze_image_blocks=1, freeze_text_layers=1), 1),
    (replace(SETTINGS, freeze_image_blocks=1), 2),
    (replace(SETTINGS, partners="labels", prompt_weight=2.0, contrast_weight=0.5, region_weight=3.0), 1),
    (replace(SETTINGS, partners="labels", prompt_weight=2.0, contrast_weight=0.5, region_weight=3.0), 2),
]


def _train(world, folder, pixels, allowed):
    made = trainer(folder, world=world, epochs=1)
    images: Any = made.task.batches.images
    images._pixels = pixels
    object.__setattr__(made.task, "max_bad", allowed)
    try:
        made.run(silent)
    except TierError as error:
        return type(error), str(error)
    return made.bad


def _diverge(world, folder):
    made = trainer(folder, world=world, epochs=1)
    made.model.logit_scale.data.fill_(float("nan"))
    try:
        made.run(silent)
    except TierError as error:
        return str(error)


def _fail(world):
    def work():
        raise ValueError("text of a file")

    try:
        world.first_does(work)
    except Exception as error:  # noqa: BLE001
        return type(error)


def _command(arguments):
    """Run `tier`, without tracing graphs; gives its exit code and messages."""
    from tier_cli.app import main

    def weights_only(folder, *rest):
        write_checksums(folder)
        return {}

    told = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(told):
        patch.setattr("tier_cli.model.save.complete", weights_only)
        return main(arguments), told.getvalue()


def _process(rank, ports, folder, command):
    # As torchrun sets it.
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports[0]),
    }  # fmt: skip
    torch.set_num_threads(1)
    world, _ = join_world("cpu")
    found = [
        _train(world, folder, Unreadable(5), 0),
        _train(world, folder, Unreadable(5, 6), 2),
        _train(world, folder, Unreadable(*range(24)), 99),
        _fail(world),
        _diverge(world, folder),
    ]
    gradients = [gradients_of(folder, settings, world, parts) for settings, parts in CASES]
    leave_world()
    os.environ["MASTER_PORT"] = str(ports[1])
    torch.save((found, gradients, _command(command)), folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def together(boxed, towers, tmp_path_factory):
    """Start two processes once for all tests; gives what one process computes, and what each of two found."""
    folder = tmp_path_factory.mktemp("together")
    # Written first: two processes would write the squares and the features at the same time.
    whole = [gradients_of(folder, settings) for settings, _ in CASES]
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        ports = [free.getsockname()[1] for free in (one, other)]
    small = ["--image-size", "64", "--batch-size", "16", "--freeze-text-layers", "0", "--epochs", "2"]
    to = ["--output", str(folder / "model"), "--device", "cpu"]
    terms = ["--prompt-weight", "1", "--region-weight", "1"]
    command = ["train", "--data", str(boxed), *to, *towers, *small, *terms]
    spawn(_process, (ports, folder, command), nprocs=2)
    found, gradients, commands = zip(
        *(torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)), strict=True
    )
    return whole, found, gradients, commands, folder / "model"


@pytest.fixture(scope="module")
def heard(together):
    """What each of two processes was told."""
    return together[1]


def test_two_processes_are_as_one(together):
    whole, _, gradients, _, _ = together
    learning = {name.split(".")[3] for name in whole[4] if name.startswith("image_tower.encoder.stages")}
    assert learning == {"1"}, "of two blocks the first was to be frozen"
    for process in gradients:
        for one, found in zip(whole, process, strict=True):
            assert_same(one, found)


def test_two_processes_write_one_checkpoint(together):
    *_, commands, model = together
    assert [code for code, _ in commands] == [0, 0]
    assert [told.count("Wrote") for _, told in commands] == [1, 0]
    require_unaltered(model)
    assert json.loads((model / "training.json").read_text())["processes"] == 2
    # One line per step, and one per epoch: each is written once, not once per process.
    log = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 2, 3, 4, 4]
    # Similarities are nearly alike at first: each of the images with a box adds about the log of 64 patches.
    assert 0.2 * np.log(64) < log[0]["region"] < 0.8 * np.log(64)


def test_an_image_that_one_process_cannot_read_counts_for_all(heard):
    kind, message = heard[0][0]
    assert heard[1][0] == (kind, message)
    assert kind is ManifestError
    assert message.startswith("1 images could not be read, one of them: 5.png")
    assert sorted(heard[0][1]) == sorted(heard[1][1]) == [5, 6]


def test_a_batch_that_one_process_cannot_make_ends_all(heard):
    assert heard[0][2] == heard[1][2]
    assert heard[0][2][0] is UsageError


def test_an_error_in_the_first_process_ends_the_others(heard):
    assert [each[3] for each in heard] == [ValueError, TierError]


def test_a_non_finite_loss_lists_the_images_of_all_processes(heard):
    assert heard[0][4] == heard[1][4]
    assert "and 5 more images" in heard[0][4]
    file = Path(heard[0][4].split("all listed in ")[1])
    assert len(file.read_text().splitlines()) == 8


def test_an_error_in_a_worker_process_is_one_line(tmp_path):
    made = trainer(tmp_path, run_options=RunOptions(device="cpu", workers=1), epochs=1)
    images: Any = made.task.batches.images
    images._pixels = Unreadable(*range(24))
    with pytest.raises(UsageError) as told:
        made.run(silent)
    assert "images in a row cannot be read" in str(told.value)
    assert "\n" not in str(told.value)
    # A loading process that stayed would keep this one from ending.
    assert not active_children()
