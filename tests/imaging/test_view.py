"""Which view a header states, and what is scored when it is unknown or contradictory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dicom_maker import write
from pydicom.dataset import Dataset

from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.imaging.view import view_in

UNKNOWN = "view unknown, assumed frontal"


def refusal(path: str, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read_radiograph(path, ReadOptions(**options))
    assert caught.value.kind == "view"
    return caught.value


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientOrientation", ["A", "F"]),
        ("PatientOrientation", ["P", "F"]),
        ("PatientOrientation", ["F", "A"]),
        ("PatientOrientation", ["AL", "FR"]),
        ("SeriesDescription", "Chest LAT"),
        ("SeriesDescription", "Thorax seitlich"),
        ("SeriesDescription", "TÓRAX PERFIL"),
        ("SeriesDescription", "thorax de profil"),
        ("SeriesDescription", "Torace L.L."),
        ("SeriesDescription", "胸部側面"),
        ("SeriesDescription", "грудная клетка, боковая"),
        ("ProtocolName", "W033 Chest lat."),
        ("AcquisitionDeviceProcessingDescription", "CHEST,LATERAL"),
        ("PostprocessingFunction", "NA_chest_auto_lat_CES"),
        ("PostprocessingFunction", "NA_chestLAT_auto"),
        ("BodyPartExamined", "CHEST LATERAL"),
        ("StudyDescription", "Xray Chest Lateral"),
        ("PerformedProcedureStepDescription", "CHEST (LATERAL)"),
    ],
)
def test_a_lateral_is_refused_whatever_attribute_says_so(tmp_path: Path, keyword: str, value: Any) -> None:
    path = write(tmp_path / "x", ViewPosition=None, SpecificCharacterSet="ISO_IR 192", **{keyword: value})
    assert refusal(path).what == f"the view is LATERAL according to {keyword}"
    found = read_radiograph(path, ReadOptions(views="all"))
    assert found.view == "LATERAL"
    assert f"the view is LATERAL according to {keyword}" in found.notes


@pytest.mark.parametrize(
    ("position", "view"),
    [
        *((word, "LATERAL") for word in ("LATERALE", "LATERAAL", "PROFIL", "PERFIL", "LL", "LARGE LATERAL")),
        *((word, "DECUBITUS") for word in ("L DECUB", "LATERAL DECUBITUS")),
        *((word, "OBLIQUE") for word in ("AP OBLIQUE", "SCHRAEG")),
        *(("SWIMMERS", "SWIMMERS"), ("XTABLE LATERAL", "LATERAL"), ("AP LLD", "LLD"), ("RAO", "RAO")),
    ],
)
def test_positions_in_other_words(tmp_path: Path, position: str, view: str) -> None:
    assert refusal(write(tmp_path / "x", ViewPosition=position)).what == f"the view is {view}"


@pytest.mark.parametrize(
    ("position", "view"),
    [("P.A.", "PA"), ("A-P", "AP"), ("postero-anterior", "PA"), ("AP AXIAL", "AP"), ("FRENTE", "FRONTAL")],
)
def test_frontal_positions_in_other_words(tmp_path: Path, position: str, view: str) -> None:
    found = read_radiograph(write(tmp_path / "x", ViewPosition=position), ReadOptions(views="strict"))
    assert (found.view, found.notes) == (view, ())


@pytest.mark.parametrize(
    "text", ["CHEST PA AND LAT", "Thorax in 2 Ebenen", "face et profil", "Decubito supino"]
)
def test_texts_that_name_no_single_view(tmp_path: Path, text: str) -> None:
    assert view_in(text)[0] == ""
    found = read_radiograph(write(tmp_path / "x", ViewPosition=None, SeriesDescription=text))
    assert (found.view, found.notes) == ("", (UNKNOWN,))


def test_a_word_that_is_not_understood_is_not_taken_for_a_blank(tmp_path: Path) -> None:
    blank = write(tmp_path / "blank", ViewPosition="")
    assert read_radiograph(blank).notes == (UNKNOWN,)
    for value in ("DOE JANE", "7"):
        path = write(tmp_path / "word", ViewPosition=value)
        undefined = "ViewPosition holds a value that is not a defined term"
        assert refusal(path).what == f"the view is unknown: {undefined}"
        assert read_radiograph(path, ReadOptions(views="all")).notes == (undefined,)
        # What the rest of the header says is used, and the word is still noted.
        path = write(tmp_path / "more", ViewPosition=value, PatientOrientation=["L", "F"])
        found = read_radiograph(path)
        assert (found.view, found.notes[0]) == ("FRONTAL", undefined)
        assert refusal(path, views="strict").what == undefined


def test_the_front_by_orientation_or_description(tmp_path: Path) -> None:
    path = write(tmp_path / "rows", ViewPosition=None, PatientOrientation=["L", "F"])
    found = read_radiograph(path, ReadOptions(views="strict"))
    assert (found.view, found.notes) == ("FRONTAL", ("the view is FRONTAL according to PatientOrientation",))
    path = write(
        tmp_path / "text", ViewPosition=None, PatientOrientation=["L", "F"], SeriesDescription="W PA"
    )
    assert read_radiograph(path).view == "PA"
    # An order can comprise other images.
    path = write(tmp_path / "order", ViewPosition=None, StudyDescription="CHEST SINGLE VIEW FRONTAL")
    assert read_radiograph(path).notes == (UNKNOWN,)


def test_contradictions_are_noted_and_refused_where_views_must_be_certain(tmp_path: Path) -> None:
    path = write(tmp_path / "text", SeriesDescription="Chest LAT")
    found = read_radiograph(path)
    what = "the view is PA according to ViewPosition, but SeriesDescription says LATERAL"
    assert (found.view, found.notes) == ("PA", (what,))
    assert refusal(path, views="strict").what == what
    # Rows that run to the front are those of a lateral view, whatever the position says.
    path = write(tmp_path / "rows", PatientOrientation=["A", "F"])
    assert refusal(path).what == "the view is LATERAL according to PatientOrientation"
    assert read_radiograph(path, ReadOptions(views="all")).notes == (
        "the view is LATERAL according to PatientOrientation, but ViewPosition says PA",
    )
    item = Dataset()
    item.CodeValue = "R-10236"
    path = write(tmp_path / "code", ViewCodeSequence=[item])
    assert refusal(path).what == "the view is LATERAL"


def test_strict_needs_a_stated_view(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "x", ViewPosition=None), views="strict").what == "the view is not given"
    assert read_radiograph(write(tmp_path / "pa"), ReadOptions(views="strict")).view == "PA"
    assert refusal(write(tmp_path / "ll", ViewPosition="LL"), views="strict").what == "the view is LATERAL"
