"""COVID-QU-Ex: two parts, split differently, with masks in one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import region_layouts as layouts
from manifest_cells import cells, labels_of

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import regions


def test_covid_qu_ex_labels_covid_against_other_pneumonia(tmp_path: Path) -> None:
    root = layouts.covid_qu_ex(tmp_path)
    manifest = read_dataset("covid-qu-ex", root, "test")
    assert [Path(path).name for path in manifest.paths] == [
        "covid_1.png",
        "sub-S10880_ses-E18932_run-1.png",
        "non_COVID (1).png",
        "Normal (1).png",
    ]
    assert labels_of(manifest, "covid", "covid_19") == [[1], [1], [0], [None]]
    assert labels_of(manifest, "chexpert14", "pneumonia", "no_finding") == [[1, 0], [1, 0], [1, 0], [0, 1]]
    assert cells(manifest, "patient") == ["", "sub-S10880", "", ""]
    assert cells(read_dataset("covid-qu-ex", root, None), "split") == ["valid"] + ["test"] * 4


def test_covid_qu_ex_takes_masks_from_the_part_that_has_them(tmp_path: Path) -> None:
    found, *rest = regions(read_dataset("covid-qu-ex", layouts.covid_qu_ex(tmp_path), "test"))
    truth = np.zeros((80, 80), dtype=bool)
    truth[10:20, 30:50] = True
    np.testing.assert_array_equal(found[0].mask(80, 80), truth)
    assert rest == [(), (), ()]


def test_covid_qu_ex_does_not_take_the_mask_of_another_image_of_that_name(tmp_path: Path) -> None:
    root = layouts.covid_qu_ex(tmp_path, nested=False)
    other = root / "Infection Segmentation Data" / "Train" / "COVID-19" / "images" / "covid_1.png"
    layouts.picture(other, np.zeros((5, 5), dtype=bool))
    assert regions(read_dataset("covid-qu-ex", root, "test"))[0] == ()


@pytest.mark.parametrize("nested", [True, False])
def test_covid_qu_ex_infection_part_alone(tmp_path: Path, nested: bool) -> None:
    root = layouts.covid_qu_ex(tmp_path, parts=["Infection"], nested=nested)
    inside = root / "Infection Segmentation Data"
    for place in (root, inside / inside.name if nested else inside):
        manifest = read_dataset("covid-qu-ex", place, "train")
        assert [Path(path).name for path in manifest.paths] == ["covid_1.png"]
        assert len(regions(manifest)[0]) == 1
