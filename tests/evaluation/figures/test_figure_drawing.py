"""Figures draw what their tables hold, and the same numbers give the same files."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas

from tier_cli.errors import CheckpointError
from tier_cli.evaluation.figures.figure import by_model, column
from tier_cli.evaluation.figures.measured import Measured
from tier_cli.evaluation.figures.patient_means import PatientMeans
from tier_cli.evaluation.figures.profiles import importance, rank_profile
from tier_cli.evaluation.figures.question import Texts
from tier_cli.evaluation.figures.training import training_figure
from tier_cli.evaluation.measure import Resampling

HOW = Resampling(20, 0)
REPORTS = Texts(["a", "b", "c"], "the image's report", "no text")


def model(name: str, side: int, positive: int = 3) -> Measured:
    """Return what a model with a square grid shows on three images."""
    groups = np.arange(3)
    values = np.linspace(1, -0.2, side * side)
    means = PatientMeans(groups, side * side)
    for image in range(3):
        means.add(image, values[None] + image / 100)
    spread = PatientMeans(groups, 4)
    spread.add(0, np.ones((1, 4)))
    one, few = means.estimate(HOW), spread.estimate(HOW)
    images = np.ones(3, bool)
    return Measured(name, (side, side), images, 3, 3, positive, positive, one, one, one, few, None, Counter())


def test_grids_of_different_size_share_an_axis() -> None:
    """Rank 49 of 49 and rank 49 of 196 are not the same place of a profile."""
    figure = rank_profile([model("coarse", 7), model("fine", 14)], REPORTS, HOW)
    canvas = Canvas()
    figure.paint(canvas, figure.rows)
    (axes,) = canvas.axes
    assert axes.get_xlim() == (0, 1)
    assert "Relative rank" in axes.get_xlabel()
    for line, (name, rows) in zip(axes.lines, by_model(figure.rows).items(), strict=False):
        np.testing.assert_allclose(np.asarray(line.get_xdata(), float), column(rows, "relative_rank"))
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float), column(rows, "value"))
        assert str(line.get_label()).startswith(name)
    assert {row["patches"] for row in figure.rows} == {49, 196}


def test_one_size_of_grid_is_drawn_by_rank() -> None:
    figure = rank_profile([model("a", 7), model("b", 7)], REPORTS, HOW)
    canvas = Canvas()
    figure.paint(canvas, figure.rows)
    first, second = canvas.axes[0].lines[:2]
    assert list(np.asarray(first.get_xdata())) == list(range(1, 50))
    # Without colour, in print, line and marker tell the models apart.
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()


def test_the_caption_says_how_many_images_the_relative_importance_leaves_out() -> None:
    figure = importance([model("a", 7, positive=1)], REPORTS, HOW)
    assert "(a 2 of 3)" in figure.caption
    counts = {(row["share"], row["pairs"], row["patients"]) for row in figure.rows}
    assert counts == {("total similarity", 1, 1), ("softmax weight", 3, 3)}


def _log(folder: Path, name: str, temperature: float) -> Path:
    place = folder / name
    place.mkdir()
    lines = [{"step": 1 + step, "patch_entropy": 3.5, "similarity_hoyer": 0.1} for step in range(3)]
    (place / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (place / "training.json").write_text(json.dumps({"settings": {"entropy_temperature": temperature}}))
    return place


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    """A figure that is made again must not appear as changed in version control."""
    figure = training_figure({"a": _log(tmp_path, "a", 1.0), "b": _log(tmp_path, "b", 0.1)})
    assert figure is not None
    assert "b by 0.1" in figure.caption, "entropies of divided similarities cannot be compared"
    for again in ("first", "second"):
        (tmp_path / again).mkdir()
        names = figure.write(tmp_path / again)
    assert names == ("training.png", "training.svg", "training.csv")
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_names_that_a_spreadsheet_would_run_are_text(tmp_path: Path) -> None:
    figure = training_figure({"=1+1": _log(tmp_path, "a", 1.0)})
    assert figure is not None
    assert [row["model"] for row in csv.DictReader(figure.to_csv().splitlines())] == ["'=1+1"] * 6


def test_a_log_that_is_none_is_named(tmp_path: Path) -> None:
    place = _log(tmp_path, "a", 1.0)
    (place / "metrics.jsonl").write_text("{}\n[1]\n{")
    with pytest.raises(CheckpointError, match=r"not a log.*metrics.jsonl|metrics.jsonl"):
        training_figure({"a": place})
    assert training_figure({"a": tmp_path}) is None
