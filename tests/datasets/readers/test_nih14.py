"""ChestX-ray14: official lists, ages, labels that are never blank, boxes of 1024 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import region_layouts as layouts
from manifest_cells import cells, files, labels_of

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import Region, regions
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin


@pytest.mark.parametrize("flat", [True, False])
def test_nih14_follows_the_official_lists(tmp_path: Path, flat: bool) -> None:
    root = layouts.nih14(tmp_path, flat=flat)
    manifest = read_dataset("nih14", root, None)
    folders = ("images", "images") if flat else ("images_001/images", "images_012/images")
    assert files(manifest, root) == [
        f"{folders[0]}/00000001_000.png",
        f"{folders[1]}/00000001_001.png",
        "images/00000002_000.png",
    ]
    assert cells(manifest, "split") == ["train", "train", "test"]
    assert cells(manifest, "patient") == ["1", "1", "2"]
    assert len(set(cells(manifest, "study"))) == 3
    assert any("1 of 3 images are not on disk" in note for note in manifest.notes)
    assert read_dataset("nih14", root, "train").column("split").tolist() == ["train", "train"]


def test_nih14_labels_are_whole_and_never_blank(tmp_path: Path) -> None:
    manifest = read_dataset("nih14", layouts.nih14(tmp_path), None)
    found = manifest.labels(builtin("nih14"))
    assert not np.isnan(found).any()
    ids = builtin("nih14").ids
    present = [{ids[i] for i in np.flatnonzero(row)} for row in found]
    assert present == [{"cardiomegaly", "pleural_thickening"}, set(), {"effusion", "infiltration"}]
    assert labels_of(manifest, "chexpert14", "no_finding") == [[0], [1], [0]]


def test_nih14_boxes_are_pixels_of_1024_and_call_infiltration_so(tmp_path: Path) -> None:
    manifest = read_dataset("nih14", layouts.nih14(tmp_path), "test")
    (found,) = regions(manifest)
    assert found[0] == Region("Infiltration", box=(100.5, 200.0, 150.5, 225.25), size=(1024, 1024))
    truth = np.zeros((80, 80), dtype=bool)
    truth[:40, :40] = True
    np.testing.assert_array_equal(found[1].mask(80, 80), truth)


@pytest.mark.parametrize(("year", "ages"), [(2020, ["58", "59", ""]), (2017, ["58", "1", ""])])
def test_nih14_ages_are_years(tmp_path: Path, year: int, ages: list[str]) -> None:
    manifest = read_dataset("nih14", layouts.nih14(tmp_path, year=year), None)
    assert cells(manifest, "age") == ages
    assert "ages above 120 or unreadable, left blank: 1" in manifest.notes
    assert cells(manifest, "sex") == ["M", "M", "F"]
    assert cells(manifest, "view") == ["PA", "PA", "AP"]


def test_nih14_refuses_labels_that_it_does_not_know(tmp_path: Path) -> None:
    path = layouts.nih14(tmp_path) / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("Effusion|", "Effusions|"))
    with pytest.raises(ManifestError, match="'Effusions', which is not one of the 14"):
        read_dataset("nih14", tmp_path, "test")


def test_nih14_without_a_list_has_no_such_split(tmp_path: Path) -> None:
    (layouts.nih14(tmp_path) / "test_list.txt").unlink()
    with pytest.raises(ManifestError, match="the test split of NIH ChestX-ray14 is missing"):
        read_dataset("nih14", tmp_path, "test")
    manifest = read_dataset("nih14", tmp_path, None)
    assert cells(manifest, "split") == ["train", "train"]


def test_nih14_without_its_lists_says_what_is_missing(tmp_path: Path) -> None:
    """Not that the folder is another data set: the table was found."""
    root = layouts.nih14(tmp_path)
    for name in ("train_val_list.txt", "test_list.txt"):
        (root / name).unlink()
    with pytest.raises(
        ManifestError, match=r"lists of the splits are not: looked for train_val_list.txt"
    ) as caught:
        read_dataset("nih14", root, None)
    assert "this is not" not in str(caught.value)
