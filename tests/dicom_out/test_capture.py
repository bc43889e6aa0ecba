"""Secondary captures: valid pictures of maps that say what they are and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from dicom_checks import errors_of
from dicom_studies import Scored, explained, saved
from pydicom import dcmread

from tier_cli.dicom_out.capture import secondary_capture
from tier_cli.errors import InputError


def test_capture_is_valid_and_says_what_it_is(scored: Scored, tmp_path: Path) -> None:
    result = scored(PatientComments="SECRET")
    path = saved(tmp_path, secondary_capture(result, explained(result)))
    assert errors_of(path) == []
    assert b"SECRET" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    capture = dcmread(path)
    assert (capture.StudyInstanceUID, str(capture.PatientName)) == (result.study, "Doe^Jane")
    assert capture.SeriesInstanceUID != result.series
    assert (capture.BurnedInAnnotation, capture.ConversionType) == ("YES", "WSD")
    assert capture.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert "not for clinical diagnosis" in capture.DerivationDescription
    assert [one.ReferencedSOPInstanceUID for one in capture.SourceImageSequence] == [result.instance]
    # The picture and two maps, in colours.
    pixels = capture.pixel_array
    assert pixels.shape == (capture.Rows, capture.Columns, 3)
    assert pixels.std() > 10
    assert (pixels[..., 0] != pixels[..., 2]).any()


def test_second_run_replaces_the_capture(scored: Scored, tmp_path: Path) -> None:
    result = scored()
    first = saved(tmp_path, secondary_capture(result, explained(result)))
    assert saved(tmp_path, secondary_capture(result, explained(result))) == first


def test_image_without_a_series_is_refused(scored: Scored, tmp_path: Path) -> None:
    result = scored(SeriesInstanceUID=None)
    with pytest.raises(InputError, match="SeriesInstanceUID is missing"):
        secondary_capture(result, explained(result))
