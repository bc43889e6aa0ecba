"""Leftovers of an interrupted run: images read are kept, partial files never look complete."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from tiny import tiny_checkpoint

from tier_cli.app import main
from tier_cli.model.verify import verify
from tier_cli.training.loop.loop import Trainer
from tier_cli.training.progress import Stage
from tier_cli.training.run.run import train
from tier_cli.training.run.work_folder import delete_work, describe_state, prepare_folder


def run(manifest, output, towers, *more):
    return main(["train", "--data", str(manifest), "--output", str(output), *towers, "--image-size", "64",
                 "--batch-size", "16", "--freeze-text-layers", "0", "--epochs", "1", *more])  # fmt: skip


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def stage(monkeypatch):
    """Ends a run by Ctrl-C the first time that a stage is told of, and says how often each was."""
    told: dict[Stage, int] = {}
    real = sys.modules[train.__module__]._stoppable

    def build(name):
        def wrap(progress, stop):
            inner = real(progress, stop)

            def ending(stage, done, total, figures=None, epoch=None):
                told[stage] = told.get(stage, 0) + 1
                inner(stage, done, total, figures, epoch)
                if stage is name and told[stage] == 1:
                    raise KeyboardInterrupt

            return ending

        monkeypatch.setattr("tier_cli.training.run.run._stoppable", wrap)
        return told

    return build


@pytest.mark.parametrize("at", [Stage.COMPUTING_FEATURES, Stage.TRAINING])
def test_images_that_were_read_are_not_read_again(
    at, stage, manifest, towers, tmp_path, without_graphs, capsys
):
    told = stage(at)
    more = ("--freeze-image-blocks", "1")
    assert run(manifest, tmp_path / "a", towers, *more) == 130
    assert "No training state was saved yet" in describe_state(tmp_path / "a")
    capsys.readouterr()
    assert run(manifest, tmp_path / "a", towers, *more) == 2
    refused = said(capsys)
    assert "continue it with --resume" in refused
    assert "training state was saved" not in refused, "no word of a run that never began"
    assert run(manifest, tmp_path / "a", towers, *more, "--resume") == 0
    assert told[Stage.READING_IMAGES] == 48
    assert not (tmp_path / "a" / ".training").exists()


def test_a_partial_file_of_a_killed_run_is_deleted(tmp_path):
    prepare_folder(tmp_path, resume=False)
    half = tmp_path / ".training" / ".features-0123.npy.89abcdef.partial"
    half.write_bytes(b"half")
    prepare_folder(tmp_path, resume=True)
    assert not half.exists()


def test_an_error_keeps_what_was_read(manifest, towers, tmp_path, monkeypatch, without_graphs, stage, capsys):
    import torch

    def full(*given, **named):
        raise torch.cuda.OutOfMemoryError

    told = stage(None)
    with monkeypatch.context() as patched:
        patched.setattr("tier_cli.training.loop.step.Gradients.whole", full)
        assert run(manifest, tmp_path / "a", towers) == 2
    read = told[Stage.READING_IMAGES]
    assert run(manifest, tmp_path / "a", towers, "--resume", "--batch-size", "8") == 0
    assert told[Stage.READING_IMAGES] == read


def test_a_failed_plot_does_not_lose_the_weights(manifest, towers, tmp_path, monkeypatch, capsys):
    def broken(folder, synthetic):
        raise json.JSONDecodeError("Expecting value", "", 0)

    monkeypatch.setattr("tier_cli.training.run.run.draw_curves", broken)
    assert run(manifest, tmp_path / "a", towers) == 0
    assert verify(tmp_path / "a") == []


def test_tensorboard_that_is_not_installed_is_reported_before_an_image_is_read(
    manifest, towers, tmp_path, monkeypatch, stage, capsys
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    told = stage(None)
    assert run(manifest, tmp_path / "a", towers, "--tensorboard", str(tmp_path / "board")) == 2
    refused = said(capsys)
    assert "needs tensorboard, which is not installed" in refused
    assert "pip install 'tier-cli[tensorboard]'" in refused
    assert told == {}
    assert not (tmp_path / "a" / ".training").exists()


def test_a_kill_while_the_folder_is_removed_leaves_no_state(tmp_path, monkeypatch):
    """A state whose squares and log are gone would start the run from nothing, over its own checkpoint."""
    prepare_folder(tmp_path, resume=False)
    (tmp_path / ".training" / "state.pt").write_bytes(b"state")
    monkeypatch.setattr("tier_cli.training.run.work_folder.shutil.rmtree", lambda *given, **named: None)
    delete_work(tmp_path)
    assert not (tmp_path / ".training").exists()
    monkeypatch.undo()
    prepare_folder(tmp_path, resume=False)
    delete_work(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_not_repeated(manifest, towers, tmp_path, capsys, without_graphs):
    """Scripts of a queue always pass --resume: the job after the last must end well, and change nothing."""
    assert run(manifest, tmp_path / "a", towers, "--resume") == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    said(capsys)
    assert run(manifest, tmp_path / "a", towers, "--resume", "--tensorboard", str(tmp_path / "board")) == 0
    assert "finished: nothing to do" in said(capsys)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == before
    assert not (tmp_path / "board").exists()
    assert run(manifest, tmp_path / "a", towers, "--resume", "--seed", "4") == 2
    assert "--seed was 0, now 4" in said(capsys)
    assert run(manifest, tmp_path / "a", towers) == 2
    assert run(manifest, tmp_path / "a", towers, "--resume", "--sweep", "seed=1,2") == 2
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == before


def test_a_checkpoint_from_elsewhere_is_not_taken_for_a_run(manifest, towers, tmp_path, capsys):
    tiny_checkpoint(tmp_path)
    assert run(manifest, tmp_path, towers, "--resume") == 2
    assert "already holds a checkpoint" in said(capsys)


def stop_after(steps, monkeypatch):
    """Ends a run after so many steps, with its state saved."""
    asked, real = iter(range(1000)), Trainer._synchronise

    def synchronise(self, batch):
        return real(self, batch)[0], next(asked) == steps

    monkeypatch.setattr(Trainer, "_synchronise", synchronise)


@pytest.fixture
def unreadable(manifest, tmp_path):
    """A manifest with an image to train on that is not there yet, and the name it has to get."""
    lines = manifest.read_text().splitlines()
    rows = [lines[0], *(str(manifest.parent / line) for line in lines[1:])]
    text = "\n".join(rows).replace(str(manifest.parent / "6.png"), str(tmp_path / "late.png"))
    (tmp_path / "manifest.csv").write_text(text + "\n")
    return tmp_path / "manifest.csv", tmp_path / "late.png"


@pytest.mark.parametrize("images", ["memory-map", "stream"])
def test_an_image_that_becomes_readable_does_not_change_a_resumed_run(
    images, unreadable, manifest, towers, tmp_path, monkeypatch, without_graphs, capsys
):
    broken, late = unreadable
    more = ("--images", images, "--max-bad", "1", "--epochs", "3", "--workers", "0")
    assert run(broken, tmp_path / "whole", towers, *more) == 0
    with monkeypatch.context() as patched:
        stop_after({"memory-map": 2, "stream": 5}[images], patched)
        assert run(broken, tmp_path / "a", towers, *more) == 130
    late.write_bytes((manifest.parent / "6.png").read_bytes())
    other = {"memory-map": "stream", "stream": "memory-map"}[images]
    assert run(broken, tmp_path / "a", towers, *more, "--resume", "--images", other) == 2
    assert f"started with {images}" in said(capsys)
    # The free space is not what it was, for the squares lie there.
    monkeypatch.setattr("tier_cli.training.inputs.sources.store_fits", lambda *given: images == "stream")
    assert run(broken, tmp_path / "a", towers, *more, "--resume", "--images", "auto") == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "a")]
    assert weights[0] == weights[1]
    records = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "a")]
    assert records[0]["unreadable_images"] == records[1]["unreadable_images"] == 1


def test_an_image_lost_meanwhile_ends_a_resumed_run(
    manifest, towers, tmp_path, monkeypatch, without_graphs, capsys
):
    data = shutil.copytree(manifest.parent, tmp_path / "data") / "manifest.csv"
    more = ("--images", "memory-map", "--max-bad", "1")
    with monkeypatch.context() as patched:
        stop_after(1, patched)
        assert run(data, tmp_path / "a", towers, *more) == 130
    for file in (tmp_path / "a" / ".training").glob("images-*.npy"):
        file.unlink()
    (data.parent / "6.png").unlink()
    assert run(data, tmp_path / "a", towers, *more, "--resume") == 2
    assert "can no longer be read" in said(capsys)
