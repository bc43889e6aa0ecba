"""Probabilities take the place of labels where they are stated, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import ManifestError
from tier_cli.findings.load import load_findings
from tier_cli.training.data.labels import TrainingRows, label_training_rows
from tier_cli.training.data.pairs import Pairs
from tier_cli.training.data.prompts import Prompts
from tier_cli.training.data.soft_labels import SoftLabels, read_soft_labels

MANIFEST = "path,split,Mass,Effusion\na.png,train,1,0\nb.png,train,,1\nc.png,train,0,-1\nv.png,valid,1,0\n"


def rows(folder: Path) -> TrainingRows:
    (folder / "manifest.csv").write_text(MANIFEST)
    return label_training_rows(read_manifest(folder / "manifest.csv"), load_findings("nih14"))


def soft(folder: Path, text: str, root: Path | None = None) -> SoftLabels:
    (folder / "soft.csv").write_text(text)
    return read_soft_labels(folder / "soft.csv", root, rows(folder))


def test_cells_without_a_probability_keep_their_label(tmp_path: Path) -> None:
    """The file has another order and more images; those of validation keep their labels."""
    read = soft(tmp_path, "pleural effusion,path,mass\n0.25,c.png,\n,x.png,0.5\n,b.png,0.75\n,v.png,0.5\n")
    assert read.images == 2
    labelled = replace(rows(tmp_path), soft=read.values)
    prompts = Prompts.of(labelled, Pairs(labelled, 0), 1, 0)
    _, columns = prompts.draw(0)
    assert [prompts.findings[column].id for column in columns] == ["effusion", "mass"]
    labels = prompts.labels(np.arange(4), columns)
    expected = np.array([[0.0, 1.0], [1.0, 0.75], [0.25, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(labels, expected, rtol=1e-6)


def test_rows_that_are_left_out_take_their_probabilities_with_them(tmp_path: Path) -> None:
    labelled = rows(tmp_path)
    labelled = replace(labelled, soft=np.arange(len(labelled))[:, None] / 4 * np.ones((1, 14)))
    kept = labelled.where(np.array([False, True, True, False]))
    assert kept.soft is not None
    assert kept.soft[:, 0].tolist() == [0.25, 0.5]


def test_paths_may_be_written_in_another_way(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    labelled = rows(tmp_path)
    (tmp_path / "elsewhere" / "s.csv").write_text("path,Mass\n../a.png,0.1\n")
    assert read_soft_labels(tmp_path / "elsewhere" / "s.csv", None, labelled).images == 1
    (tmp_path / "elsewhere" / "s.csv").write_text("path,Mass\na.png,0.1\n")
    assert read_soft_labels(tmp_path / "elsewhere" / "s.csv", tmp_path, labelled).images == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,Mass\na.png,1.5\n", "column 'Mass', image .*a.png.*not a probability"),
        ("path,Mass\na.png,nan\n", "not a probability"),
        ("path,Mass\na.png,likely\n", "not a probability"),
        ("path,Mass\na.png,-1\n", "not a probability"),
        ("path,Mass\na.png,0.5\n./a.png,0.6\n", "occurs twice"),
        ("path,Mass\nother.png,0.5\n", "no path is that of"),
        ("path,Fracture\na.png,0.5\n", "no column names a finding"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        soft(tmp_path, text)
