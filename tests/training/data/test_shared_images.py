"""Public data sets of the same images: a warning where their patients cannot be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.findings.load import builtin
from tier_cli.training.data.labels import label_rows
from tier_cli.training.data.rows import choose_rows
from tier_cli.training.data.validation_data import ValidationData
from tier_cli.training.settings import SplitChoice


@pytest.mark.parametrize(
    ("train", "valid", "patient", "warned"),
    [
        ("nih14", "rsna", "p9", True),
        ("padchest", "covid-qu-ex", "p9", True),
        ("nih14", "chestx-det10", "", True),
        ("nih14", "chestx-det10", "9", False),
        ("nih14", "nih4-expert", "9", False),
        ("chexpert", "rsna", "p9", False),
        ("chexpert", "chexlocalize", "9", False),
    ],
)
def test_shared_images_are_warned_of(
    tmp_path: Path, train: str, valid: str, patient: str, warned: bool
) -> None:
    (tmp_path / "t.csv").write_text("path,patient,split,Mass\na,1,train,1\nb,2,train,0\n")
    (tmp_path / "v.csv").write_text(f"path,patient,Mass\nc,{patient},1\n")
    nih = builtin("nih14")
    validation = ValidationData(label_rows(read_manifest(tmp_path / "v.csv"), nih), valid, None)
    data = choose_rows(read_manifest(tmp_path / "t.csv"), train, SplitChoice(), nih, validation)
    assert any("share images" in note for note in data.notes) == warned
