"""An image and a patient keep their names in whatever data they are read from."""

from __future__ import annotations

import pandas as pd
import pytest

from tier_cli.datasets.identity import data_sets_of, image_keys, patient_keys
from tier_cli.datasets.manifest import Manifest


def _row(**cells: str) -> Manifest:
    return Manifest(pd.DataFrame([cells], dtype=object), "table.csv")


@pytest.mark.parametrize(
    ("one", "dataset", "other"),
    [
        ({"path": "/data/images_001/images/00000013_026.png"}, "nih14", {"path": "mine/00000013_026.JPG"}),
        ({"path": "a/1.2.276.0.7230010.3.1.dcm"}, "siim", {"path": "b/1.2.276.0.7230010.3.1.png"}),
        (
            {"path": "view1_frontal.jpg", "patient": "patient00001", "study": "patient00001/study1"},
            "chexpert",
            {"path": "x/view1_frontal.jpg", "patient": "1", "study": "study1", "source": "CheXpert"},
        ),
        ({"path": "/here/set/images/7.png"}, "csv", {"path": "/elsewhere/set/images/7.png"}),
    ],
)  # fmt: skip
def test_the_same_image_has_a_key_in_common(one: dict[str, str], dataset: str, other: dict[str, str]) -> None:
    """Otherwise an image that was trained on passes for a new one as soon as its folder is renamed."""
    assert image_keys(_row(**one), dataset)[0] & image_keys(_row(**other), "csv")[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"path": "a/images/1.png"}, {"path": "b/images/1.png"}),
        ({"path": "a/view1_frontal.jpg", "patient": "p1"}, {"path": "a/view1_frontal.jpg", "patient": "p2"}),
        (
            {"path": "view1.png", "patient": "p1", "study": "s1"},
            {"path": "view1.png", "patient": "p1", "study": "s2"},
        ),
    ],
)
def test_usual_file_names_do_not_make_images_equal(one: dict[str, str], other: dict[str, str]) -> None:
    assert not image_keys(_row(**one), "csv")[0] & image_keys(_row(**other), "csv")[0]


def test_a_patient_is_known_by_the_column_the_source_and_the_file_name() -> None:
    expected = frozenset(["nih14:13"])
    assert patient_keys(_row(path="00000013_026.png"), "csv") == [expected]
    assert patient_keys(_row(path="x.png", patient="13"), "nih4-expert") == [expected]
    assert patient_keys(_row(path="x.png", patient="00000013", source="NIH14"), "csv") == [expected]
    assert patient_keys(_row(path="x.png", patient="13"), "csv") == [frozenset(["csv:13"])]
    assert patient_keys(_row(path="20230101_001.png"), "csv") == [frozenset()], "a date is not a patient"
    assert patient_keys(_row(path="x.png", patient="patient00001"), "chexpert") == [frozenset(["chexpert:1"])]


def test_the_data_sets_of_a_manifest_are_those_its_rows_name() -> None:
    assert data_sets_of(_row(path="00000013_026.png"), "csv") == {"nih14"}
    assert data_sets_of(_row(path="x.png", source="RSNA"), "csv") == {"rsna"}
    assert data_sets_of(_row(path="x.png", source="our hospital"), "csv") == set()
    assert data_sets_of(_row(path="x.png"), "siim") == {"siim"}
