"""Combining images into studies and patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.errors import ManifestError
from tier_cli.evaluation.units import MIXED, units_of

NAN = float("nan")


def _manifest(folder: Path, text: str) -> Manifest:
    (folder / "manifest.csv").write_text(text)
    return read_manifest(folder / "manifest.csv")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return _manifest(
        tmp_path,
        "path,patient,study,view\na.png,p,s1,PA\nb.png,q,s2,PA\nc.png,p,s1,AP\nd.png,p,,PA\ne.png,p,,PA\n",
    )


def test_an_image_without_a_study_is_its_own_and_order_is_that_of_the_file(manifest: Manifest) -> None:
    assert units_of(manifest, "study").index.tolist() == [0, 1, 0, 2, 3]
    assert units_of(manifest, "patient").index.tolist() == [0, 1, 0, 0, 0]
    assert units_of(manifest, "image").index.tolist() == [0, 1, 2, 3, 4]


def test_scores_are_means_of_what_was_scored(manifest: Manifest) -> None:
    values = np.array([[1.0, NAN], [5, NAN], [3, 2], [NAN, 4], [8, 6]])
    np.testing.assert_array_equal(
        units_of(manifest, "study").mean(values), [[2, 2], [5, NAN], [NAN, 4], [8, 6]]
    )
    np.testing.assert_array_equal(units_of(manifest, "patient").mean(values), [[4, 4], [5, NAN]])


def test_a_study_mean_is_that_of_classify() -> None:
    from tier_cli.evaluation.units import Units
    from tier_cli.results.record import FindingScore, ModelStamp, Result
    from tier_cli.scoring.studies import StudyMeans

    means, scores = StudyMeans(), [0.1, 0.25, 0.4]
    for number, score in enumerate(scores):
        stamp = ModelStamp("m", "w", "p", "f")
        means.add(Result((f"{number}",), stamp, "s", study="1.2", findings=(FindingScore("x", score),)))
    (result,) = means.results()
    ours = Units("study", np.zeros(3, dtype=np.intp), 1).mean(np.array([scores]).T)
    assert result.findings[0].score == pytest.approx(ours[0, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("images", "unit"),
    [
        ([1, 0, NAN], 1),
        ([0, -1, 0], -1),
        ([-1, 1, NAN], 1),
        ([0, NAN, NAN], 0),
        ([NAN, NAN, NAN], NAN),
    ],
)
def test_a_label_is_the_strongest_of_its_images(images: list[float], unit: float) -> None:
    from tier_cli.evaluation.units import Units

    labels = Units("patient", np.zeros(3, dtype=np.intp), 1).labels(np.array([images]).T)
    np.testing.assert_array_equal(labels, [[unit]])


def test_cells_that_differ_within_a_unit_are_mixed(manifest: Manifest) -> None:
    assert units_of(manifest, "study").column(manifest.column("view")).tolist() == [MIXED, "PA", "PA", "PA"]


def test_some_units_can_be_kept(manifest: Manifest) -> None:
    units, images = units_of(manifest, "study").where(np.array([True, False, False, True]))
    assert images.tolist() == [True, False, True, False, True]
    assert (units.index.tolist(), units.count) == ([0, 0, 1], 2)


def test_rows_without_a_patient_do_not_contradict_their_study(tmp_path: Path) -> None:
    text = "path,patient,study\na.png,,s1\nb.png,p,s1\nc.png,,s1\n"
    assert units_of(_manifest(tmp_path, text), "study").count == 1
    with pytest.raises(ManifestError, match=r"the study of '.*d\.png' has images"):
        units_of(_manifest(tmp_path, f"{text}d.png,q,s1\n"), "study")


def test_a_study_of_two_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="images of different patients"):
        units_of(_manifest(tmp_path, "path,patient,study\na.png,p,1\nb.png,q,1\n"), "study")
