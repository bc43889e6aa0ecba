"""What a run that ended before its end leaves: hours of reading, and never a half that looks whole."""

from __future__ import annotations

import json
import sys

import pytest

from tier_cli.app import main
from tier_cli.model.checkpoint import verify
from tier_cli.training.run import train
from tier_cli.training.unfinished import discard, kept, take


def run(manifest, output, towers, *more):
    return main(["train", "--data", str(manifest), "--output", str(output), *towers, "--image-size", "64",
                 "--batch-size", "16", "--freeze-text-layers", "0", "--epochs", "1", *more])  # fmt: skip


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def stage(monkeypatch):
    """Ends a run by Ctrl-C the first time that a stage is told of, and says how often each was."""
    told = {}
    real = sys.modules[train.__module__]._stoppable

    def build(name):
        def watch(progress, stop):
            inner = real(progress, stop)

            def watched(what, done, total, figures=None):
                told[what] = told.get(what, 0) + 1
                inner(what, done, total, figures)
                if what.startswith(name) and told[what] == 1:
                    raise KeyboardInterrupt

            return watched

        monkeypatch.setattr("tier_cli.training.run._stoppable", watch)
        return told

    return build


@pytest.mark.parametrize("at", ["computing frozen features", "epoch 1/1"])
def test_images_that_were_read_are_not_read_again(
    at, stage, manifest, towers, tmp_path, without_graphs, capsys
):
    told = stage(at)
    more = ("--freeze-image-blocks", "1")
    assert run(manifest, tmp_path / "a", towers, *more) == 130
    assert "Nothing of the training was saved yet" in kept(tmp_path / "a")
    assert run(manifest, tmp_path / "a", towers, *more) == 2
    assert "go on with --resume" in said(capsys)
    assert run(manifest, tmp_path / "a", towers, *more, "--resume") == 0
    assert told["reading images"] == 48
    assert not (tmp_path / "a" / ".training").exists()


def test_an_error_keeps_what_was_read(manifest, towers, tmp_path, monkeypatch, without_graphs, stage, capsys):
    import torch

    def full(*given, **named):
        raise torch.cuda.OutOfMemoryError

    told = stage("nothing")
    with monkeypatch.context() as patched:
        patched.setattr("tier_cli.training.step.Gradients.whole", full)
        assert run(manifest, tmp_path / "a", towers) == 2
    read = told["reading images"]
    assert run(manifest, tmp_path / "a", towers, "--resume", "--batch-size", "8") == 0
    assert told["reading images"] == read


def test_a_picture_that_cannot_be_drawn_costs_no_weights(manifest, towers, tmp_path, monkeypatch, capsys):
    def broken(folder, synthetic):
        raise json.JSONDecodeError("Expecting value", "", 0)

    monkeypatch.setattr("tier_cli.training.run.draw_curves", broken)
    assert run(manifest, tmp_path / "a", towers) == 0
    assert verify(tmp_path / "a") == []


def test_tensorboard_that_is_not_installed_is_told_before_an_image_is_read(
    manifest, towers, tmp_path, monkeypatch, stage, capsys
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    told = stage("nothing")
    assert run(manifest, tmp_path / "a", towers, "--tensorboard", str(tmp_path / "board")) == 2
    assert "TensorBoard is not installed" in said(capsys)
    assert told == {}
    assert not (tmp_path / "a" / ".training").exists()


def test_a_kill_while_the_folder_is_removed_leaves_no_state(tmp_path, monkeypatch):
    """A state whose squares and log are gone would start the run from nothing, over its own checkpoint."""
    take(tmp_path, resume=False)
    (tmp_path / ".training" / "state.pt").write_bytes(b"state")
    monkeypatch.setattr("tier_cli.training.unfinished.shutil.rmtree", lambda *given, **named: None)
    discard(tmp_path)
    assert not (tmp_path / ".training").exists()
    monkeypatch.undo()
    take(tmp_path, resume=False)
    discard(tmp_path)
    assert list(tmp_path.iterdir()) == []
