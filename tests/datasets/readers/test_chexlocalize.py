"""CheXlocalize: compressed masks, polygons, and labels if the tables exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import region_layouts as layouts
from manifest_cells import cells, files, labels_of

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import regions
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin

# Of 8 x 6 pixels: 9 zeros, 4 ones down the second column, the rest zeros, in COCO's compressed form.
MASK = {"size": [8, 6], "counts": "94S1"}
EMPTY = {"size": [8, 6], "counts": "`1"}


def test_chexlocalize_reads_compressed_masks_and_labels(tmp_path: Path) -> None:
    root = layouts.chexlocalize(tmp_path, {"Airspace Opacity": MASK, "Edema": EMPTY})
    manifest = read_dataset("chexlocalize", root, "test")
    assert cells(manifest, "instance") == [
        "patient64741_study1_view1_frontal",
        "patient64741_study1_view2_lateral",
        "patient64742_study1_view1_frontal",
    ]
    assert files(manifest, root)[0] == "CheXpert/test/patient64741/study1/view1_frontal.jpg"
    assert cells(manifest, "view") == ["FRONTAL", "LATERAL", "FRONTAL"]
    assert cells(manifest, "patient") == ["patient64741", "patient64741", "patient64742"]
    wanted = ("lung_opacity", "edema", "support_devices")
    assert labels_of(manifest, "chexpert14", *wanted) == [[1, 0, 1], [1, 0, 1], [0, 0, 0]]
    (region,), *rest = regions(manifest)
    assert rest == [(), ()]
    assert region.finding == "Lung Opacity"
    truth = np.zeros((8, 6), dtype=bool)
    truth[1:5, 1] = True
    np.testing.assert_array_equal(region.mask(8, 6), truth)


def test_chexlocalize_takes_masks_that_were_not_compressed(tmp_path: Path) -> None:
    """One mask that a tool wrote as plain run lengths must not stop the whole data set."""
    plain = {"size": [8, 6], "counts": [9, 4, 35]}
    root = layouts.chexlocalize(tmp_path, {"Lung Lesion": MASK, "Edema": plain})
    first, second = regions(read_dataset("chexlocalize", root, "test"))[0]
    np.testing.assert_array_equal(first.mask(8, 6), second.mask(8, 6))


def test_chexlocalize_fills_polygons_where_there_are_no_masks(tmp_path: Path) -> None:
    root = layouts.chexlocalize(tmp_path)
    manifest = read_dataset("chexlocalize", root / "CheXlocalize", "valid")
    assert Path(manifest.paths[0]).is_file()
    ((region,),) = regions(manifest)
    # x runs to the right: the sizes are height, width, the corners x, y.
    truth = np.zeros((8, 6), dtype=bool)
    truth[1:5, 1:4] = True
    np.testing.assert_array_equal(region.mask(8, 6), truth)


def test_chexlocalize_without_tables_has_no_labels(tmp_path: Path) -> None:
    root = layouts.chexlocalize(tmp_path, {"Edema": MASK}, labels=False)
    manifest = read_dataset("chexlocalize", root, None)
    assert cells(manifest, "split") == ["valid", "test"]
    assert np.isnan(manifest.labels(builtin("chexpert14"))).all()
    assert any("val_labels.csv is missing" in note for note in manifest.notes)


def test_chexlocalize_takes_chexperts_own_table_of_valid(tmp_path: Path) -> None:
    root = layouts.chexlocalize(tmp_path)
    (root / "CheXpert" / "val_labels.csv").rename(root / "CheXpert" / "valid.csv")
    manifest = read_dataset("chexlocalize", root, "valid")
    assert labels_of(manifest, "chexpert14", "lung_opacity", "edema") == [[1, 0]]


@pytest.mark.parametrize("counts", ["94", [9, 4, 30], [9.0, 4.0, 35.0], None])
def test_chexlocalize_names_the_image_of_a_broken_mask(tmp_path: Path, counts: object) -> None:
    root = layouts.chexlocalize(tmp_path, {"Edema": {"size": [8, 6], "counts": counts}})
    with pytest.raises(ManifestError, match=r"patient64741_study1_view1_frontal: a mask cannot be read"):
        read_dataset("chexlocalize", root, "test")
    (root / "CheXlocalize" / "gt_segmentations_test.json").unlink()
    with pytest.raises(ManifestError, match="the test split of CheXlocalize is missing"):
        read_dataset("chexlocalize", root, "test")
