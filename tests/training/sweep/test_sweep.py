"""Sweeps: each point runs once, validation chooses the best, interruptions lose nothing."""

from __future__ import annotations

import contextlib
import csv
import json

import numpy as np
import pytest

from tier_cli.app import main
from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import TierError, UsageError
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.training.data.labels import label_training_rows
from tier_cli.training.settings import RunOptions, TrainSettings
from tier_cli.training.sweep import sweep as module
from tier_cli.training.sweep.grid import apply_point, folder_name, parse_axis, points
from tier_cli.training.sweep.results import best_of, gather, table
from tier_cli.training.sweep.sweep import Sweep
from tier_cli.training.train_inputs import TrainInputs


def test_the_papers_grid_has_36_points_and_both_ends():
    axes = [parse_axis(f"lambda-{of}=0:0.25:0.05") for of in ("patch", "token")]
    assert axes[0].values == (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
    assert len(points(axes)) == 36
    # Names of folders must not differ from one machine to another.
    assert folder_name(points(axes)[20]) == "lambda-patch-0.15_lambda-token-0.1"


def test_seeds_of_a_setting_follow_each_other_and_reg_weight_sets_both():
    grid = points([parse_axis("seed=0,1"), parse_axis("reg-weight=0.1,0.2")])
    assert [point["seed"] for point in grid] == [0, 1, 0, 1]
    settings = apply_point(TrainSettings(), grid[2])
    assert (settings.lambda_patch, settings.lambda_token, settings.seed) == (0.2, 0.2, 0)


@pytest.mark.parametrize(
    "text",
    ["lambda=0,1", "seed", "precision=1,2", "epochs=0,1", "seed=0.5", "lambda-patch=-1", "lambda-patch=a",
     "lambda-patch=0:1:0", "batch-size=1,2", "lambda-patch=1:0:0.1", "warmup-share=2", "lambda-patch=nan"],
)  # fmt: skip
def test_invalid_values_are_refused(text):
    with pytest.raises(UsageError, match="--sweep"):
        parse_axis(text)


def test_one_setting_cannot_have_values_twice():
    for other in ("lambda-token=1", "reg-weight=0"):
        with pytest.raises(UsageError, match="twice"):
            points([parse_axis("reg-weight=0,1"), parse_axis(other)])


class Runs:
    """Stands in for training: a run's AUC is a function of its lambda and seed."""

    def __init__(self):
        self.made, self.parts, self.fail, self.stop_at = [], [], {}, None

    def __call__(self, inputs, settings, run_options, output, progress, stop):
        if len(self.made) == self.stop_at:
            raise KeyboardInterrupt
        self.made.append((settings.lambda_patch, settings.seed))
        self.parts.append(settings.parts(1))
        output.mkdir(parents=True, exist_ok=True)
        if settings.lambda_patch in self.fail:
            (output / ".training").mkdir()
            raise self.fail[settings.lambda_patch]
        value = 0.8 - (settings.lambda_patch - 0.1) ** 2 + 0.01 * settings.seed
        interval = {"auc": value, "low": value - 0.1, "high": value + 0.1}
        drawn = np.random.default_rng(0).normal(0, 0.05, 200)
        judged = {
            "images": 9, "patients": 7, "replicates": 200, "mean_auc": interval,
            "findings": {"mass": {"n": 9, "positives": 4, **interval}},
            "replicates_of_mean_auc": (value + drawn).tolist(),
        }  # fmt: skip
        run = {
            "settings": {"average_decay": 0.9, "shuffle_captions": False, "seed": settings.seed},
            "data": {"name": "m.csv", "rows_sha256": "0", "manifest_sha256": None, "images_without_text": 0},
            "starting_weights": {}, "versions": {}, "seconds": 1, "processes": 1, "device": "cpu",
            "unreadable_images": 0, "command": run_options.command,
        }  # fmt: skip
        (output / "validation.json").write_text(json.dumps(judged))
        (output / "training.json").write_text(json.dumps(run))
        (output / "model.safetensors").write_bytes(b"weights")
        (output / "README.md").write_text("card")


@pytest.fixture
def runs(monkeypatch):
    made = Runs()
    monkeypatch.setattr(module, "train", made)
    return made


@pytest.fixture
def sweep(tmp_path):
    def build(*axes, resume=False, keep="best", rows="a,train,1\nb,valid,0\nc,valid,1\n"):
        (tmp_path / "start").mkdir(exist_ok=True)
        (tmp_path / "start" / "model.safetensors").write_bytes(b"start")
        (tmp_path / "m.csv").write_text("path,split,Mass\n" + rows)
        inputs = TrainInputs(
            label_training_rows(read_manifest(tmp_path / "m.csv"), load_findings("nih14")),
            preprocessing=Preprocessing(), init=tmp_path / "start",
        )  # fmt: skip
        grid = points([parse_axis(axis) for axis in axes])
        run_options = RunOptions(resume=resume)
        return Sweep(inputs, TrainSettings(), run_options, grid, tmp_path / "out", keep, folder_name)

    return build


AXES = ("lambda-patch=0:0.2:0.1", "seed=0,1")


def go(built):
    return built.run(lambda: contextlib.nullcontext(), lambda line: None)


def best_values(cells):
    best = best_of(cells)
    assert best is not None
    return best.values


def weights(folder):
    return sorted(path.parent.name for path in folder.rglob("model.safetensors") if "points" in str(path))


def test_the_best_setting_keeps_its_weights_and_says_what_chose_it(runs, sweep, tmp_path):
    cells = go(sweep(*AXES))
    assert len(runs.made) == 6
    assert best_values(cells) == {"lambda-patch": 0.1}
    assert weights(tmp_path / "out") == ["lambda-patch-0.1_seed-0", "lambda-patch-0.1_seed-1"]
    # Numbers of the others stay.
    assert len(list((tmp_path / "out" / "points").glob("*/validation.json"))) == 6
    card = (tmp_path / "out" / "points" / "lambda-patch-0.1_seed-1" / "README.md").read_text()
    assert "chosen among 3" in card
    assert "No test image was used" in card
    with (tmp_path / "out" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["best"] for row in rows] == ["0", "1", "0"]
    assert float(rows[1]["mean_auc"]) == pytest.approx(0.805)
    assert float(rows[1]["sd_of_seeds"]) == pytest.approx(np.std([0.80, 0.81], ddof=1), abs=1e-5)
    assert (tmp_path / "out" / "sweep.png").stat().st_size > 1000


def test_differences_are_taken_on_the_same_patients(runs, sweep):
    rows = table(go(sweep(*AXES)))
    # The resamplings of all runs are alike here, so the difference has no spread, however wide each is.
    assert rows[0]["high"] - rows[0]["low"] > 0.1
    assert rows[0]["less_best_low"] == rows[0]["less_best_high"] == pytest.approx(-0.01)


def test_keep_all_keeps_every_checkpoint(runs, sweep, tmp_path):
    go(sweep(*AXES, keep="all"))
    assert len(weights(tmp_path / "out")) == 6


def test_an_interrupted_sweep_continues_without_repeating_runs(runs, sweep, tmp_path):
    runs.stop_at = 3
    with pytest.raises(KeyboardInterrupt):
        go(sweep(*AXES))
    with pytest.raises(UsageError, match="--resume"):
        go(sweep(*AXES))
    runs.stop_at = None
    go(sweep(*AXES, resume=True))
    assert len(runs.made) == len(set(runs.made)) == 6
    # Values may be added.
    go(sweep("lambda-patch=0:0.3:0.1", "seed=0,1", resume=True))
    assert runs.made[6:] == [(0.3, 0), (0.3, 1)]


def test_finished_runs_of_other_data_are_not_taken_for_these(runs, sweep):
    go(sweep(*AXES))
    with pytest.raises(UsageError, match="data was"):
        go(sweep(*AXES, resume=True, rows="a,train,0\nb,valid,0\nc,valid,1\n"))


def test_a_diverged_run_is_noted_and_never_the_best(runs, sweep, tmp_path):
    runs.fail = {0.1: TierError("the loss is not a finite number", kind="diverged")}
    built = sweep(*AXES)
    cells = go(built)
    assert cells[1].failed
    assert np.isnan(cells[1].mean)
    assert best_values(cells) == {"lambda-patch": 0.0}
    assert table(cells)[1]["mean_auc"] is None
    assert gather([(point, built.folder(point)) for point in built.points])[1].failed == cells[1].failed


def test_any_other_error_ends_the_sweep(runs, sweep):
    runs.fail = {0.0: TierError("the disk may be full")}
    with pytest.raises(TierError, match="disk"):
        go(sweep(*AXES))
    assert len(runs.made) == 1


@pytest.mark.parametrize("rows", ["a,train,1\nb,train,0\n", "a,train,1\nb,valid,0\nc,valid,0\n"])
def test_a_sweep_without_validation_labels_is_refused_at_the_start(rows, runs, sweep):
    with pytest.raises(UsageError, match="--valid-share"):
        go(sweep(*AXES, rows=rows))
    assert runs.made == []


def test_a_grid_of_two_settings_is_drawn_and_one_of_three_is_not(runs, sweep, tmp_path):
    go(sweep("lambda-patch=0,0.1", "lambda-token=0,0.1"))
    assert (tmp_path / "out" / "sweep.png").is_file()
    (tmp_path / "out" / "sweep.png").unlink()
    go(sweep("lambda-patch=0,0.1", "lambda-token=0,0.1", "learning-rate=1e-3,1e-4", resume=True))
    assert not (tmp_path / "out" / "sweep.png").exists()
    assert (tmp_path / "out" / "sweep.csv").is_file()


def test_the_command_runs_a_grid_and_its_points_can_be_run_again_alone(manifest, towers, tmp_path, capsys,
                                                                       without_graphs):  # fmt: skip
    command = ["train", "--data", str(manifest), "--output", str(tmp_path / "grid"), *towers]
    more = ["--image-size", "64", "--batch-size", "16", "--freeze-text-layers", "0", "--epochs", "1"]
    assert main([*command, *more, "--sweep", "lambda-patch=0,0.1"]) == 0
    told = capsys.readouterr().err
    assert "Run 2 of 2: lambda-patch 0.1" in told
    assert all(len(line) <= 80 for line in told.splitlines() if "[" in line and "]" in line)
    (kept,) = weights(tmp_path / "grid")
    run = json.loads((tmp_path / "grid" / "points" / kept / "training.json").read_text())
    assert f"--lambda-patch {run['settings']['lambda_patch']}" in run["command"]
    assert str(tmp_path) not in json.dumps(run)
    assert not (tmp_path / "grid" / ".shared").exists()
    assert main([*command, *more, "--sweep", "nonsense=1"]) == 2


def test_parts_keep_their_size_in_batches_of_every_size(manifest, towers, tmp_path, runs, capsys):
    command = ["train", "--data", str(manifest), *towers, "--image-size", "64", "--micro-batch-size", "6"]
    sizes = ("--sweep", "batch-size=12,18,24")
    assert main([*command, "--output", str(tmp_path / "a"), *sizes]) == 0
    assert runs.parts == [6, 6, 6]
    for number, (axis, message) in enumerate(
        [("batch-size=12,20", "parts of 6 images do not divide a batch of 20"),
         ("accumulate=1,2", "--sweep accumulate, --micro-batch-size: set the same value")]
    ):  # fmt: skip
        assert main([*command, "--output", str(tmp_path / f"b{number}"), "--sweep", axis]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert len(runs.parts) == 3


def test_indivisible_batches_are_refused_before_the_first_run(runs, sweep):
    with pytest.raises(UsageError, match="with 3 parts"):
        go(sweep("batch-size=9,10", "accumulate=3"))
    assert runs.made == []
