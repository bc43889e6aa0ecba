"""A model that has seen the images in training is said to have, beside its numbers."""

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

TABLE = "path,patient,split\na.png,1,train\nb.png,2,test\nc.png,3,site a\n"
HASH = sha256(TABLE.encode()).hexdigest()
OURS = {"manifest_sha256": HASH, "split": "as the manifest says"}


def _notes(folder: Path, record: str | None, split: str) -> list[str]:
    (folder / "table.csv").write_text(TABLE)
    if record is not None:
        (folder / "training.json").write_text(record)
    checkpoint: Any = SimpleNamespace(name="mine", path=folder)
    return trained_on_notes([checkpoint], select(read_manifest(folder / "table.csv"), split, [], True))


@pytest.mark.parametrize(
    ("data", "split"),
    [
        (OURS, "train"),
        (OURS, "all"),
        ({**OURS, "split": "rows of split site a train"}, "site a"),
        ({**OURS, "split": "site a"}, "site a"),
    ],
)
def test_numbers_on_what_was_trained_on_are_told(tmp_path: Path, data: dict[str, str], split: str) -> None:
    """Otherwise an AUC on training images passes for one on images never seen."""
    (note,) = _notes(tmp_path, json.dumps({"data": data}), split)
    assert note.startswith("mine was trained on rows of table.csv, as its training.json says")


@pytest.mark.parametrize(
    ("data", "split"),
    [
        (OURS, "test"),
        (OURS, "site a"),
        ({**OURS, "manifest_sha256": "0" * 64}, "all"),
        ({**OURS, "manifest_sha256": None}, "all"),
        ([], "all"),
    ],
)
def test_held_out_rows_and_other_files_are_not(tmp_path: Path, data: Any, split: str) -> None:
    assert _notes(tmp_path, json.dumps({"data": data}), split) == []


@pytest.mark.parametrize("record", [None, "{", "[]", '{"converted": {}}'])
def test_without_a_record_nothing_is_said(tmp_path: Path, record: str | None) -> None:
    assert _notes(tmp_path, record, "all") == []
