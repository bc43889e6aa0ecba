"""Presentation states: valid, in the coordinates of the file, and shown the right way round."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_checks import errors_of, require
from dicom_maker import codes_of
from dicom_studies import Scored, explained, saved
from PIL import Image
from pydicom import dcmread

from tier_cli.dicom_out.presentation import presentation_state
from tier_cli.errors import InputError
from tier_cli.imaging.orientation import Orientation

SOURCES: dict[str, dict[str, Any]] = {
    "plain": {},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
    "window": {"WindowCenter": 2000, "WindowWidth": 3000},
    "several windows": {
        "WindowCenter": [2000, 1000],
        "WindowWidth": [3000, 100],
        "WindowCenterWidthExplanation": ["SOFT", "HARD"],
        "VOILUTFunction": "SIGMOID",
    },
    "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -100, "RescaleType": "US"},
    "aspect": {"PixelAspectRatio": [2, 1]},
}


@pytest.mark.parametrize("kind", SOURCES)
def test_state_is_valid_whatever_the_source(scored: Scored, tmp_path: Path, kind: str) -> None:
    result = scored(**SOURCES[kind])
    path = saved(tmp_path, presentation_state(result, explained(result)))
    assert path is not None
    assert errors_of(path) == []
    require("dcmpschk")
    subprocess.run(["dcmpschk", path], check=True, capture_output=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_outline_and_text_lie_where_the_patches_lie_in_the_file(scored: Scored, tmp_path: Path) -> None:
    result = scored()
    path = saved(tmp_path, presentation_state(result, explained(result)))
    state = dcmread(str(path))
    # The finding of which nothing stands out has no layer.
    (annotation,) = state.GraphicAnnotationSequence
    (outline,) = annotation.GraphicObjectSequence
    assert outline.GraphicAnnotationUnits == "PIXEL"
    points = np.reshape(outline.GraphicData, (-1, 2))
    assert (points.min(0).tolist(), points.max(0).tolist()) == ([32, 16], [64, 32])
    assert points[0].tolist() == points[-1].tolist()
    (text,) = annotation.TextObjectSequence
    assert text.UnformattedTextValue == "Pneumothorax (research use)"
    (layer,) = state.GraphicLayerSequence
    assert layer.GraphicLayerDescription == "Pneumothorax"
    (referenced,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert referenced.ReferencedSOPInstanceUID == result.instance


def test_outline_of_a_turned_radiograph_lies_in_the_file_as_stored(scored: Scored, tmp_path: Path) -> None:
    result = scored()
    path = saved(
        tmp_path, presentation_state(result, explained(result, orientation=Orientation(mirrored=True)))
    )
    (annotation,) = dcmread(str(path)).GraphicAnnotationSequence
    points = np.reshape(annotation.GraphicObjectSequence[0].GraphicData, (-1, 2))
    assert (points.min(0).tolist(), points.max(0).tolist()) == ([0, 16], [32, 32])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_viewer_shows_the_image_the_right_way_round(scored: Scored, tmp_path: Path, photometric: str) -> None:
    # DCMTK's renderer is the viewer. The ramp of the test image goes from dark to bright as MONOCHROME2.
    require("dcmp2pgm")
    result = scored(PhotometricInterpretation=photometric)
    path = saved(tmp_path, presentation_state(result, explained(result)))
    subprocess.run(["dcmp2pgm", "-p", str(path), result.paths[0], tmp_path / "shown.pgm"], check=True)
    shown = np.asarray(Image.open(tmp_path / "shown.pgm"), np.float64)
    likeness = np.corrcoef(shown.ravel(), codes_of(12, signed=False).ravel())[0, 1]
    assert likeness > 0.9 if photometric == "MONOCHROME2" else likeness < -0.9


def test_second_run_replaces_the_state(scored: Scored, tmp_path: Path) -> None:
    result = scored()
    first = saved(tmp_path, presentation_state(result, explained(result)))
    assert saved(tmp_path, presentation_state(result, explained(result))) == first


def test_nothing_of_the_patient_is_copied_but_what_identifies_patient_and_study(
    scored: Scored, tmp_path: Path
) -> None:
    result = scored(PatientComments="SECRET", OperatorsName="SECRET", ImageComments="SECRET")
    path = saved(tmp_path, presentation_state(result, explained(result)))
    assert path is not None
    assert b"SECRET" not in path.read_bytes()
    assert b"ACC-0815" in path.read_bytes()


@pytest.mark.parametrize("threshold", [None, 2.0])
def test_nothing_is_written_where_nothing_stands_out(
    scored: Scored, tmp_path: Path, threshold: float | None
) -> None:
    result = scored()
    assert presentation_state(result, explained(result, threshold)) is None
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.dcm"]


def test_colour_image_is_refused(scored: Scored, tmp_path: Path) -> None:
    pixels = np.repeat((codes_of(8, signed=False))[..., None], 3, axis=-1)
    result = scored(pixels=pixels, bits=8)
    with pytest.raises(InputError, match="colour image"):
        presentation_state(result, explained(result))
