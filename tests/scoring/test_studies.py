"""Studies as means of their images."""

from __future__ import annotations

import pytest

from tier_cli.results.record import FindingScore, ModelStamp, Result
from tier_cli.scoring.studies import StudyMeans

STAMP = ModelStamp("tiny", "a" * 64, "b" * 64, "c" * 64)


def _image(path: str, study: str, scores: tuple[float, float], view: str = "PA", series: str = "") -> Result:
    findings = tuple(FindingScore(name, score) for name, score in zip(("x", "y"), scores, strict=True))
    return Result(
        (path,),
        STAMP,
        "cosine_difference",
        study=study,
        series=series or f"{study}.1",
        instance=path,
        view=view,
        findings=findings,
        notes=(path[0],),
    )


def _studies(*images: Result, note: str = "") -> list[Result]:
    means = StudyMeans()
    for image in images:
        means.add(image)
    return list(means.results(note))


def test_mean_of_scattered_images_in_first_seen_order() -> None:
    one, two = _studies(
        _image("a1", "1", (0.1, 0.5)),
        _image("b1", "2", (9.0, 9.0)),
        _image("a2", "1", (0.2, 0.1), view="LATERAL", series="1.2"),
        _image("a3", "1", (0.6, 0.0)),
    )
    assert [score.score for score in one.findings] == pytest.approx([0.3, 0.2])
    assert one.paths == ("a1", "a2", "a3")
    assert (one.unit, one.study, one.series, one.instance, one.view) == ("study", "1", "", "", "")
    assert one.notes == ("mean of 3 images, views: PA, LATERAL, PA", "a")
    assert (two.study, two.paths) == ("2", ("b1",))


def test_single_image_keeps_its_keys() -> None:
    (study,) = _studies(_image("a", "1", (0.1, 0.2)))
    assert (study.series, study.instance, study.view, study.notes) == ("1.1", "a", "PA", ("a",))
    assert [score.score for score in study.findings] == [0.1, 0.2]


def test_images_of_one_view_keep_it() -> None:
    (study,) = _studies(_image("a", "1", (0, 0)), _image("b", "1", (0, 0)))
    assert (study.view, study.series) == ("PA", "1.1")


def test_image_without_a_study_is_its_own() -> None:
    studies = _studies(_image("a", "", (1, 1)), _image("b", "", (2, 2)))
    assert [study.paths for study in studies] == [("a",), ("b",)]
    assert all(study.study == "" for study in studies)


def test_note_goes_to_every_study() -> None:
    studies = _studies(_image("a", "1", (1, 1)), _image("b", "2", (2, 2)), note="cut short")
    assert [study.notes[-1] for study in studies] == ["cut short"] * 2
