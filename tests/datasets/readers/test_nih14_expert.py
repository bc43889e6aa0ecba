"""Radiologists' labels of ChestX-ray14: majority of three, two for comparison; four findings adjudicated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import region_layouts as layouts
from manifest_cells import cells, labels_of

from tier_cli.datasets.opening import read_dataset
from tier_cli.errors import ManifestError
from tier_cli.evaluation.sections.radiologists import reads_of
from tier_cli.findings.load import builtin


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_nih14_expert_labels_are_the_majority_of_three(tmp_path: Path, labels: bool, beside: bool) -> None:
    root = layouts.nih14_expert(tmp_path / "nih14-expert", labels=labels, beside=beside)
    manifest = read_dataset("nih14-expert", root, "test")
    assert [Path(path).name for path in manifest.paths] == [
        "00000002_000.png",
        "00000001_000.png",
        "00000009_000.png",
    ]
    assert Path(manifest.paths[1]).is_file()
    found = manifest.labels(builtin("nih14"))
    ids = builtin("nih14").ids
    present = [{ids[i] for i in np.flatnonzero(row)} for row in found]
    assert present == [{"effusion", "pleural_thickening"}, set(), {"hernia"}]
    assert labels_of(manifest, "chexpert14", "no_finding") == [[0], [1], [0]]
    assert cells(manifest, "patient") == ["2", "1", "9"]
    assert cells(manifest, "sex") == ["F", "M", ""]
    assert any("majority of its three" in note for note in manifest.notes) != labels


def test_nih14_expert_keeps_the_reads_that_made_no_labels(tmp_path: Path) -> None:
    manifest = read_dataset("nih14-expert", layouts.nih14_expert(tmp_path), None)
    found = reads_of(manifest, builtin("nih14"), ("effusion", "mass", "hernia"))
    assert [one.name for one in found] == ["4343880271", "4343882583"]
    np.testing.assert_array_equal(found[0].values, [[1, 0, 0], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(found[1].values, [[0, 1, 0], [0, 0, 0], [0, 0, 1]])
    assert not [name for name in manifest.ignored_columns(builtin("nih14")) if "reader" in name]


def test_nih14_expert_does_not_take_the_four_findings_for_them(tmp_path: Path) -> None:
    layouts.put(tmp_path / "four_findings_expert_labels" / "test_labels.csv", "Image Index,Fracture\na,YES\n")
    layouts.put(tmp_path / "test_labels.csv", "Image Index,Fracture\na,YES\n")
    with pytest.raises(ManifestError, match="looked for all_findings_expert_labels"):
        read_dataset("nih14-expert", tmp_path, "test")


def test_nih14_expert_refuses_a_table_without_its_radiologists(tmp_path: Path) -> None:
    root = layouts.nih14_expert(tmp_path, labels=False)
    (table,) = root.rglob("test_individual_readers.csv")
    table.write_text(table.read_text().replace("4343883996", "1"))
    with pytest.raises(ManifestError, match=r"table lacks radiologists .*: 4343883996"):
        read_dataset("nih14-expert", root, "test")


def test_nih4_expert_reads_what_was_adjudicated(tmp_path: Path) -> None:
    root = layouts.nih4_expert(tmp_path)
    manifest = read_dataset("nih4-expert", root, None)
    assert cells(manifest, "split") == ["valid", "valid", "test"]
    wanted = ("fracture", "pneumothorax", "lung_opacity", "nodule_mass")
    assert labels_of(manifest, "nih4", *wanted) == [[0, 1, 0, 1], [0, 0, 1, None], [1, 0, 0, 0]]
    assert Path(manifest.paths[1]).is_file()
    assert cells(manifest, "age") == ["58", "59", ""]
    assert cells(read_dataset("nih4-expert", root, "test"), "patient") == ["2"]
    (root / "four_findings_expert_labels" / "validation_labels.csv").unlink()
    with pytest.raises(ManifestError, match="the valid split of the adjudicated labels"):
        read_dataset("nih4-expert", root, "valid")


def test_nih4_expert_refuses_what_is_neither_yes_nor_no(tmp_path: Path) -> None:
    root = layouts.nih4_expert(tmp_path)
    table = root / "four_findings_expert_labels_test_labels.csv"
    table.write_text(table.read_text().replace("YES", "MAYBE"))
    with pytest.raises(ManifestError, match=r"image 00000002_000\.png: 'MAYBE' is neither YES nor NO"):
        read_dataset("nih4-expert", root, "test")
