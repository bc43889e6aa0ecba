"""The table of models by data sets fits a terminal and says what is missing."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from tier_cli.display.model_table import show_model_table
from tier_cli.evaluation.build import measure_units
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.model_table import Cell, ModelTable
from tier_cli.evaluation.protocol import Protocol
from tier_cli.evaluation.report import Report
from tier_cli.evaluation.scores import Unscored
from tier_cli.evaluation.truth import Labelled
from tier_cli.evaluation.unit_scores import UnitScores

DATASETS, MODELS = (
    ("rsna", "/somewhere/far/away/in/a/folder/manifest.csv"),
    ("a-model-with-a-long-name", "b", "c"),
)


def _report(rows: int) -> Report:
    rng = np.random.default_rng(rows)
    labels = (np.arange(rows) % 3 == 0).astype(float)[:, None]
    truth = Labelled(("a",), labels, np.arange(rows).astype(str))
    scores = UnitScores("m", rng.normal(size=labels.shape) + labels)
    (measured,) = measure_units(truth, [scores], [], Resampling(20)).measured
    protocol = Protocol("m", "csv", "all", rows, "all", (), "ignore", {}, (None,), "", Resampling(20))
    return Report(protocol, (measured,), (), (), (Unscored("x.png", "missing", "no such file"),), ())


def _table() -> ModelTable:
    cells = {
        (dataset, model): Cell(dataset, model, _report(30 + place))
        for dataset in DATASETS
        for place, model in enumerate(MODELS)
    }
    cells["rsna", "b"] = Cell("rsna", "b", reason="no such folder; check --root")
    del cells["rsna", "c"]
    return ModelTable(DATASETS, MODELS, Resampling(20), cells)


def _shown() -> str:
    text = io.StringIO()
    show_model_table(_table(), Console(file=text, width=80))
    return text.getvalue()


def test_tables_fit_80_columns() -> None:
    tables = [line for line in _shown().splitlines() if "images have no scores" not in line]
    assert max(map(len, tables)) <= 80


def test_what_failed_and_what_lacks_scores_is_said() -> None:
    shown = _shown()
    assert "rsna, b: no such folder; check --root" in shown
    assert shown.count("1 images have no scores and do not count") == 4
    # Failed and not yet measured cells have no number.
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith(" rsna")] == ["-", "-"]


def test_an_interrupted_table_says_what_it_lacks() -> None:
    document = _table().to_dict()
    assert document["complete"] is False
    assert document["missing"] == [{"dataset": "rsna", "model": "c"}]
    assert not _table().complete
    lines = _table().to_csv().splitlines()
    assert len(lines) == 1 + 5
    assert all(line.count(",") == lines[0].count(",") for line in lines[1:])
