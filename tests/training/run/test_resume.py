"""A run that is killed anywhere and resumed ends with the same result."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from little import silent, trainer

from tier_cli.app import main
from tier_cli.errors import TierError, UsageError
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.training.loop.state import load_state, save_state
from tier_cli.training.run.record import check_identity
from tier_cli.training.settings import RunOptions

STEPS = 9


def stopping_after(steps):
    """Ask to stop once so many steps have been asked for."""
    asked = iter(range(1000))
    return lambda: next(asked) == steps


def log(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def weights(trained):
    return trained.model.state_dict()


@pytest.mark.parametrize(
    ("changes", "stops"),
    [
        ({"accumulate": 2}, (1, 4, 6)),
        ({"precision": "fp16"}, (4,)),
        ({"precision": "bf16", "accumulate": 2}, (6,)),
        ({"average_decay": 0.0, "optimizer": "adam"}, (1,)),
    ],
)
def test_a_run_stopped_anywhere_ends_with_the_same_bits(changes, stops, tmp_path, monkeypatch):
    monkeypatch.setattr("tier_cli.training.loop.loop._LOG_EVERY", 2)
    measure = {"after_epoch": lambda model: {"mean_auc": model.logit_scale.item()}}
    whole = trainer(tmp_path / "whole", **changes)
    # Dropout, so that what it depends on is put to the test.
    for module in whole.model.modules():
        if isinstance(module, torch.nn.Dropout):
            assert module.p > 0
    whole.run(silent, **measure)
    for stop in stops:
        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            trainer(folder, stopping_after(stop), **changes).run(silent, **measure)
        resumed = trainer(folder, **changes)
        resumed.resume(load_state(folder / "state.pt"))
        resumed.run(silent, **measure)
        assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
        assert log(folder) == log(tmp_path / "whole")
        assert resumed.measured == whole.measured


def test_steps_after_the_last_state_are_made_again_and_logged_once(tmp_path, monkeypatch):
    monkeypatch.setattr("tier_cli.training.loop.loop._LOG_EVERY", 1)

    def killed(stage, done, total, figures=None, epoch=None):
        if done == 5:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        trainer(tmp_path, run_options=RunOptions(device="cpu", workers=0, save_steps=2)).run(killed)
    assert [line["step"] for line in log(tmp_path)] == [1, 2, 3, 4, 5]
    resumed = trainer(tmp_path)
    resumed.resume(load_state(tmp_path / "state.pt"))
    resumed.run(silent)
    assert [line["step"] for line in log(tmp_path)] == list(range(1, STEPS + 1))


def test_a_log_survives_a_kill_and_a_stop_before_its_next_line(tmp_path, monkeypatch):
    """A length that the log does not have would fill it with zeros, and no curve could be drawn."""
    monkeypatch.setattr("tier_cli.training.loop.loop._LOG_EVERY", 4)
    run_options = RunOptions(device="cpu", workers=0, save_steps=3)

    def killed(stage, done, total, figures=None, epoch=None):
        if done == 5:
            raise RuntimeError

    trainer(tmp_path / "whole", run_options=run_options).run(silent)
    folder = tmp_path / "stopped"
    with pytest.raises(RuntimeError):
        trainer(folder, run_options=run_options).run(killed)
    again = trainer(folder, lambda: True, run_options=run_options)
    again.resume(load_state(folder / "state.pt"))
    with pytest.raises(KeyboardInterrupt):
        again.run(silent)
    last = trainer(folder, run_options=run_options)
    last.resume(load_state(folder / "state.pt"))
    last.run(silent)
    assert log(folder) == log(tmp_path / "whole")


@pytest.mark.parametrize("left", [None, b'{"step": 1}\n{"st'])
def test_a_missing_or_truncated_log_continues_with_whole_lines(left, tmp_path, monkeypatch):
    monkeypatch.setattr("tier_cli.training.loop.loop._LOG_EVERY", 1)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, stopping_after(5)).run(silent)
    (tmp_path / "metrics.jsonl").unlink()
    if left is not None:
        (tmp_path / "metrics.jsonl").write_bytes(left)
    resumed = trainer(tmp_path)
    resumed.resume(load_state(tmp_path / "state.pt"))
    resumed.run(silent)
    steps = [line["step"] for line in log(tmp_path)]
    assert steps == ([] if left is None else [1]) + list(range(6, STEPS + 1))


def test_tensorboard_shows_a_step_once(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr("tier_cli.training.loop.loop._LOG_EVERY", 1)
    run_options = RunOptions(device="cpu", workers=0, save_steps=2, tensorboard=tmp_path / "board")

    def killed(stage, done, total, figures=None, epoch=None):
        if done == 5:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        trainer(tmp_path / "run", run_options=run_options).run(killed)
    resumed = trainer(tmp_path / "run", run_options=run_options)
    resumed.resume(load_state(tmp_path / "run" / "state.pt"))
    resumed.run(silent)
    shown = EventAccumulator(str(tmp_path / "board"))
    shown.Reload()
    assert [event.step for event in shown.Scalars("total")] == list(range(1, STEPS + 1))


def test_worker_processes_do_not_change_the_result(tmp_path):
    alone, helped = (
        trainer(tmp_path / "a"),
        trainer(tmp_path / "b", run_options=RunOptions(device="cpu", workers=1)),
    )
    alone.run(silent)
    helped.run(silent)
    assert all(torch.equal(value, weights(helped)[name]) for name, value in weights(alone).items())


def test_a_killed_process_is_resumed_to_the_same_checkpoint(manifest, towers, tmp_path, without_graphs):
    options = ["train", "--data", str(manifest), *towers, "--image-size", "64", "--batch-size", "16",
               "--freeze-text-layers", "0", "--epochs", "4", "--threads", "1"]  # fmt: skip
    state = tmp_path / "killed" / ".training" / "state.pt"
    command = [sys.executable, "-c", "import sys; from tier_cli.app import main; sys.exit(main())", *options]
    here = str(Path(__file__).resolve().parents[3])
    process = subprocess.Popen(
        [*command, "--output", str(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": here},
        stderr=subprocess.DEVNULL,
    )
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert main([*options, "--output", str(tmp_path / "killed")]) == 2
    assert main([*options, "--output", str(tmp_path / "killed"), "--resume"]) == 0
    assert main([*options, "--output", str(tmp_path / "whole"), "--resume"]) == 0
    hashes = [open_checkpoint(tmp_path / name).hashes["weights"] for name in ("killed", "whole")]
    assert hashes[0] == hashes[1]
    assert log(tmp_path / "killed") == log(tmp_path / "whole")
    assert not (tmp_path / "killed" / ".training").exists()


def test_other_settings_are_refused_by_name(tmp_path):
    saved = json.dumps({"epochs": 3, "seed": 0, "finding set": "a"})
    check_identity(saved, {"epochs": 3, "seed": 0, "finding set": "a"}, tmp_path)
    with pytest.raises(UsageError) as refused:
        check_identity(saved, {"epochs": 5, "seed": 0, "finding set": "b"}, tmp_path)
    assert "--epochs was 3, now 5; finding set was a, now b" in str(refused.value)


def test_a_full_disk_keeps_the_saved_state(tmp_path):
    file = tmp_path / "state.pt"
    save_state(file, {"step": 1, "weights": {"a": torch.zeros(3)}})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(TierError, match="cannot be saved") as full:
            save_state(file, {"step": 2, "weights": {"a": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "--resume" in str(full.value)
    assert load_state(file)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_an_error_of_the_device_is_not_called_a_full_disk(tmp_path, monkeypatch):
    def broken(state, file):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        save_state(tmp_path / "state.pt", {"step": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_state_is_plain_data_and_a_damaged_one_is_named(tmp_path):
    torch.save({"format": 1, "step": Fraction(1, 2)}, tmp_path / "code.pt")
    (tmp_path / "half.pt").write_bytes(b"half")
    torch.save({"format": 99}, tmp_path / "later.pt")
    for name, message in (("code", "cannot be read"), ("half", "cannot be read"), ("later", "format 99")):
        with pytest.raises(UsageError, match=message):
            load_state(tmp_path / f"{name}.pt")
