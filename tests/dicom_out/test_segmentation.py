"""Segmentations: valid, on the pixels of the file, with the code of each finding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from dicom_checks import errors_of
from dicom_studies import Scored, explained, saved
from pydicom import dcmread

from tier_cli.dicom_out.segmentation import mask_of, segmentation
from tier_cli.findings.schema import FindingSet
from tier_cli.imaging.orientation import Orientation

SOURCES: dict[str, dict[str, Any]] = {
    "DX": {},
    "CR": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "Modality": "CR", "PixelSpacing": [0.2, 0.2]},
    "secondary capture": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"},
}


@pytest.mark.parametrize("kind", SOURCES)
def test_segmentation_is_valid_and_marks_the_pixels_of_the_patches(
    scored: Scored, findings: FindingSet, tmp_path: Path, kind: str
) -> None:
    result = scored(**SOURCES[kind], PatientComments="SECRET")
    path = saved(tmp_path, segmentation(result, explained(result), findings))
    assert path is not None
    assert errors_of(path) == []
    assert b"SECRET" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    made = hd.seg.segread(path)
    assert (made.number_of_segments, made.StudyInstanceUID) == (1, result.study)
    segment = made.get_segment_description(1)
    assert segment.segmented_property_type.value == "36118008"
    expected = np.zeros((64, 64))
    expected[16:32, 32:] = 1
    np.testing.assert_array_equal(dcmread(path).pixel_array, expected)


def test_mask_of_a_turned_radiograph_lies_on_the_file_as_stored(scored: Scored) -> None:
    explanation = explained(scored(), orientation=Orientation(transposed=True, mirrored=True))
    mask = mask_of(explanation.maps[0], explanation.grid)
    upright = explained(scored()).maps[0].values >= 0.5
    turned = explanation.grid.orientation.upright(mask)
    np.testing.assert_array_equal(turned, np.kron(upright, np.ones((16, 16), bool)))


def test_patch_that_reaches_beyond_the_image_marks_only_its_pixels(scored: Scored) -> None:
    explanation = explained(scored())
    shifted = replace(explanation.grid, affine=((1.0, 0.0, 8.0), (0.0, 1.0, -8.0)))
    mask = mask_of(explanation.maps[0], shifted)
    expected = np.zeros((64, 64), bool)
    expected[8:24, 40:] = True
    np.testing.assert_array_equal(mask, expected)


def test_nothing_is_written_where_nothing_stands_out(
    scored: Scored, findings: FindingSet, tmp_path: Path
) -> None:
    result = scored()
    assert segmentation(result, explained(result, None), findings) is None
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.dcm"]


def test_second_run_replaces_the_segmentation(scored: Scored, findings: FindingSet, tmp_path: Path) -> None:
    result = scored()
    first = saved(tmp_path, segmentation(result, explained(result), findings))
    assert saved(tmp_path, segmentation(result, explained(result), findings)) == first
