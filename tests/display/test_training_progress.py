"""The display of a training run: one line of 80 columns, and lines for a log."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console

from tier_cli.display.training_progress import display, figures_line, live, stopping, summarise
from tier_cli.errors import TierError
from tier_cli.signals import exit_code_of
from tier_cli.training.progress import Epoch, Stage

FIGURES = {
    "total": 13.15142, "contrastive": 12.0001, "patch_entropy": 3.88412, "token_entropy": 2.76534,
    "similarity_hoyer": 0.1046, "similarity_share_above_0.1": 0.79, "learning_rate": 3e-4,
    "images_per_second": 1234.4,
}  # fmt: skip


def test_figures_are_short_and_complete():
    line = figures_line(FIGURES)
    assert line == "loss 13.2 c 12 H 3.884/2.77 sp 0.10 lr 3e-4 1234/s"
    assert len(line) < 56


def test_a_terminal_of_80_columns_shows_one_line(capsys):
    console = Console(width=80, force_terminal=True, legacy_windows=False, stderr=True)
    with live(console) as progress:
        progress(Stage.READING_IMAGES, 10, 10)
        progress(Stage.TRAINING, 99_000, 100_000, FIGURES, Epoch(30, 30))
        progress(Stage.TRAINING, 99_001, 100_000, None, Epoch(30, 30))
        progress(Stage.VALIDATION, 99_001, 100_000, {"mean_auc": 0.71249}, Epoch(30, 30))
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    line = written.replace("\r", "\n").splitlines()[-1].rstrip()
    assert line.startswith(f"30/30 {figures_line(FIGURES)}  99% ")
    assert "-:--" not in line
    assert "epoch 30/30: mean zero-shot AUC 0.712" in written
    assert len(line) <= 80


def test_a_log_gets_lines_with_figures_and_the_stages_before(capsys):
    with display() as progress:
        for done in range(1, 11):
            progress(Stage.READING_IMAGES, done, 10)
        progress(Stage.TRAINING, 1, 100, FIGURES, Epoch(1, 2))
        progress(Stage.TRAINING, 2, 100, None, Epoch(1, 2))
        progress(Stage.VALIDATION, 50, 100, {"mean_auc": 0.71249, "effusion": 0.7}, Epoch(1, 2))
    assert capsys.readouterr().err.splitlines() == [
        "reading images: 10",
        f"epoch 1/2 1/100 {figures_line(FIGURES)}",
        "epoch 1/2: mean zero-shot AUC 0.712",
    ]


def test_only_the_first_of_several_processes_prints(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    with display() as progress:
        progress(Stage.TRAINING, 1, 100, FIGURES, Epoch(1, 2))
    summarise({"seconds": 3, "unreadable_images": 0}, Path("out"))
    assert capsys.readouterr().err == ""


def test_the_first_signal_stops_after_the_step_and_the_second_at_once(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tier_cli.display.training_progress._ONE_SIGNAL_SECONDS", 0.0)
    before = signal.getsignal(signal.SIGTERM)
    (tmp_path / ".training").mkdir()
    (tmp_path / ".training" / "state.pt").touch()
    told = []

    def twice():
        with stopping(tmp_path) as stop:
            told.append(stop())
            os.kill(os.getpid(), signal.SIGTERM)
            told.append(stop())
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert told == [False, True]
    assert signal.getsignal(signal.SIGTERM) is before
    assert "--resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("left", "message"),
    [
        ([], "Stopped. Nothing was saved yet."),
        ([".training/images-1.npy"], "The images read so far are kept"),
        ([".training/images-1.npy", ".training/state.pt"], "continue from the last saved state"),
        (["points/seed-0/training.json"], "--resume to continue the sweep"),
    ],
)
def test_a_stopped_run_reports_what_it_kept(left, message, tmp_path, capsys):
    for name in left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def stopped():
        with stopping(tmp_path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_exit_code_names_the_signal(number, code, tmp_path):
    """A scheduler tells by it whether the run ended because it was told to."""

    def stopped():
        with stopping(tmp_path) as stop:
            os.kill(os.getpid(), number)
            assert stop()
            raise KeyboardInterrupt  # the run has saved its state

    with pytest.raises(KeyboardInterrupt) as ended:
        stopped()
    assert exit_code_of(ended.value) == code


def test_an_error_after_reading_says_that_the_images_are_kept(tmp_path, capsys):
    def failed(*, reads):
        with stopping(tmp_path):
            if reads:
                (tmp_path / ".training").mkdir()
                (tmp_path / ".training" / "images-1.npy").touch()
            raise TierError("1 of 9 images cannot be read")

    # The last run finds what the one before it left: its error is not about reading.
    for reads, told in ((False, False), (True, True), (False, False)):
        with pytest.raises(TierError):
            failed(reads=reads)
        assert ("--resume to use them" in " ".join(capsys.readouterr().err.split())) == told


def test_a_finished_run_is_reported_as_finished(capsys, tmp_path):
    summarise({"over": True}, tmp_path)
    assert "finished: nothing to do" in " ".join(capsys.readouterr().err.split())


def test_a_repeated_signal_counts_once(capsys, tmp_path):
    with stopping(tmp_path) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
    assert capsys.readouterr().err.count("Stopping") == 1


def test_passed_over_images_are_reported(capsys, tmp_path):
    record = {"seconds": 3, "unreadable_images": 2, "validation": {"mean_auc": 0.75, "images": 9}}
    summarise(record, tmp_path)
    told = capsys.readouterr().err
    assert "mean zero-shot AUC 0.750 on 9 images" in told
    assert "2 unreadable images were left out" in told


def test_kept_epochs_are_printed_with_their_folder(capsys, tmp_path):
    summarise({"seconds": 3, "unreadable_images": 0, "kept_epochs": [2, 7]}, tmp_path)
    assert f"Kept epochs 2, 7 in {tmp_path / 'epochs'}." in capsys.readouterr().err


def test_a_log_says_that_the_checkpoint_is_being_written(capsys):
    """It takes a minute or more: without a line the run seems to hang at its end."""
    with display() as progress:
        progress(Stage.WRITING_CHECKPOINT, 0, 1)
        progress(Stage.TRAINING, 1, 9, None, Epoch(1, 3))
    assert capsys.readouterr().err == "writing the checkpoint ...\n"


def _moments(stream: list[tuple[float, str]], began: float) -> list[float]:
    return [0.0, *(at - began for at, _ in stream)]


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.VALIDATION])
def test_a_log_moves_within_three_seconds_and_every_two_after_in_every_stage(stage, monkeypatch):
    """A silent minute looks like a run that hangs, whatever the run is doing."""
    said: list[tuple[float, str]] = []
    module = "tier_cli.display.training_progress"
    monkeypatch.setattr(f"{module}._BEAT_SECONDS", 0.01)
    monkeypatch.setattr(f"{module}._INTERVALS", ((float("inf"), 0.1),))
    monkeypatch.setattr(f"{module}.print_message", lambda line: said.append((time.monotonic(), line)))
    began = time.monotonic()
    with display() as progress:
        progress(
            stage, 0, 0 if stage in (Stage.PREPARING, Stage.WRITING_CHECKPOINT) else 10, None, Epoch(1, 2)
        )
        time.sleep(1.0)
    moments = _moments(said, began)
    assert max(later - earlier for earlier, later in itertools.pairwise(moments)) < 0.5
    assert moments[-1] > 0.5


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.VALIDATION])
def test_a_terminal_moves_in_every_stage(stage, capsys):
    console = Console(width=80, force_terminal=True, legacy_windows=False, stderr=True)
    with live(console) as progress:
        progress(
            stage, 0, 0 if stage in (Stage.PREPARING, Stage.WRITING_CHECKPOINT) else 10, None, Epoch(1, 2)
        )
        capsys.readouterr()
        time.sleep(0.5)
        first = capsys.readouterr().err
    assert first.strip()
    assert "0%" not in first or stage not in (Stage.PREPARING, Stage.WRITING_CHECKPOINT)
