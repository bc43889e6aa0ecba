"""Evaluating a model on its training images gives a note."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.evaluation.selection import select
from tier_cli.evaluation.trained_on import trained_on_notes
from tier_cli.findings.load import load_findings
from tier_cli.training.data.rows import choose_rows
from tier_cli.training.settings import SplitChoice

TABLE = (
    "path,patient,split,Mass\na.png,1,train,1\nb.png,2,test,0\nc.png,3,site a,1\nd.png,4,site a,0\n"
    "e.png,5,Valid,1\n"
)
HASH = sha256(TABLE.encode()).hexdigest()
# As older versions wrote it: how rows were divided, in words alone.
OLD = {"manifest_sha256": HASH, "split": "as the manifest says"}
OLDER = {"manifest_sha256": HASH, "split": "train", "images": 3782, "sources": ["nih14", "rsna"]}


def _notes(folder: Path, record: str | None, split: str) -> list[str]:
    (folder / "table.csv").write_text(TABLE)
    if record is not None:
        (folder / "training.json").write_text(record)
    checkpoint: Any = SimpleNamespace(name="mine", path=folder)
    return trained_on_notes([checkpoint], select(read_manifest(folder / "table.csv"), split, [], True))


def _trained(folder: Path, choice: SplitChoice) -> str:
    """The record of a run on the table."""
    (folder / "table.csv").write_text(TABLE)
    data = choose_rows(read_manifest(folder / "table.csv"), "csv", choice, load_findings("nih14"))
    return json.dumps({"data": {"manifest_sha256": HASH, **data.record}})


@pytest.mark.parametrize(
    ("choice", "split", "seen"),
    [
        (SplitChoice(train_split="site a", valid_split="valid"), "site a", True),
        (SplitChoice(train_split="site a", valid_split="valid"), "train", False),
        (SplitChoice(train_split="site a", valid_split="valid"), "valid", False),
        (SplitChoice(train_split="training"), "train", True),
        (SplitChoice(), "all", True),
        (SplitChoice(), "test", False),
    ],
)
def test_the_record_of_a_run_names_the_split_it_was_trained_on(
    tmp_path: Path, choice: SplitChoice, split: str, seen: bool
) -> None:
    assert bool(_notes(tmp_path, _trained(tmp_path, choice), split)) is seen


@pytest.mark.parametrize("words", [None, "in other words", "rows of split train train"])
def test_training_rows_beside_drawn_validation_patients_are_reported_whatever_the_words(
    tmp_path: Path, words: str | None
) -> None:
    table = TABLE.replace("Valid", "other")
    (tmp_path / "table.csv").write_text(table)
    data = choose_rows(
        read_manifest(tmp_path / "table.csv"),
        "csv",
        SplitChoice(train_split="Site A", valid_share=0.5),
        load_findings("nih14"),
    )
    assert (data.record["how"], data.record["train_split"]) == ("drawn", "Site A")
    record = {**data.record, "manifest_sha256": sha256(table.encode()).hexdigest()}
    if words is not None:
        record["split"] = words
    (tmp_path / "training.json").write_text(json.dumps({"data": record}))
    checkpoint: Any = SimpleNamespace(name="mine", path=tmp_path)
    (note,) = trained_on_notes(
        [checkpoint], select(read_manifest(tmp_path / "table.csv"), "site a", [], True)
    )
    assert note.startswith("mine was trained on rows of table.csv, as its training.json says")
    other = select(read_manifest(tmp_path / "table.csv"), "train", [], True)
    assert trained_on_notes([checkpoint], other) == []


@pytest.mark.parametrize("record", [OLD, OLDER])
@pytest.mark.parametrize("split", ["train", "all", "site a"])
def test_older_records_imply_training_on_all_but_the_test_split(
    tmp_path: Path, record: dict[str, Any], split: str
) -> None:
    """Otherwise an AUC on training images passes for one on images never seen."""
    assert len(_notes(tmp_path, json.dumps({"data": record}), split)) == 1
    assert _notes(tmp_path, json.dumps({"data": record}), "test") == []


@pytest.mark.parametrize("data", [{**OLD, "manifest_sha256": "0" * 64}, {**OLD, "manifest_sha256": None}, []])
def test_other_files_give_no_note(tmp_path: Path, data: Any) -> None:
    assert _notes(tmp_path, json.dumps({"data": data}), "all") == []


@pytest.mark.parametrize("record", [None, "{", "[]", '{"converted": {}}'])
def test_without_a_record_there_is_no_note(tmp_path: Path, record: str | None) -> None:
    assert _notes(tmp_path, record, "all") == []
