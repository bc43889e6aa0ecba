"""Studies as an archive has them, the results that a run would give, and what reports say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from dicom_maker import write
from pydicom import Dataset, dcmread

from tier_cli.dicom_out.objects import write_object
from tier_cli.findings.schema import FindingSet
from tier_cli.imaging.orientation import UPRIGHT, Orientation
from tier_cli.maps.explanation import Explanation, TextMap
from tier_cli.maps.patch_grid import PatchGrid
from tier_cli.maps.scale import MapScale
from tier_cli.results.record import FindingScore, ModelStamp, Result

STAMP = ModelStamp("tiny", "a" * 64, "b" * 64, "c" * 64)
# What a study in an archive has, and the maker of test images leaves out.
WHOLE = {"StudyTime": "101112", "StudyID": "S1", "PatientSex": "F", "ReferringPhysicianName": ""}

Scored = Callable[..., Result]


def write_study(path: Path, **attributes: Any) -> str:
    """Write an image with all that a study in an archive has; None omits an attribute."""
    given = {keyword: value for keyword, value in attributes.items() if value is not None}
    dataset = dcmread(write(path, **{**WHOLE, **given}))
    for keyword in attributes.keys() - given.keys():
        delattr(dataset, keyword)
    dataset.save_as(path)
    return str(path)


def scored_image(path: Path, findings: FindingSet, **attributes: Any) -> Result:
    """Write an image, and give the result of three findings; the last one is not calibrated."""
    written = write_study(path, **attributes)
    source = dcmread(written, stop_before_pixels=True)
    scores = (
        FindingScore(findings.ids[0], 0.1234567, 0.875, True),
        FindingScore(findings.ids[1], -0.5, 0.25, False),
        FindingScore(findings.ids[2], 1e-7),
    )
    study, series, instance = (str(source.get(f"{of}InstanceUID", "")) for of in ("Study", "Series", "SOP"))
    return Result((written,), STAMP, "cosine_difference", "image", study, series, instance, "PA", scores)


def saved(folder: Path, made: Dataset | None) -> Path:
    """Write an object that is expected to show something."""
    assert made is not None
    return write_object(folder, made)


def groups_of(path: Path) -> list[Any]:
    """Return the measurement groups of a report, in order."""
    content = hd.sr.srread(path).content
    assert isinstance(content, hd.sr.MeasurementReport)
    return list(content.get_image_measurement_groups())


def explained(
    result: Result, threshold: float | None = 0.5, orientation: Orientation = UPRIGHT
) -> Explanation:
    """Return an image of 64 x 64 pixels: two patches of one finding stand out, and none of another."""
    grid = PatchGrid(4, 4, 64, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (64, 64), orientation)
    values = np.zeros((4, 4))
    values[1, 2:] = 1.0
    maps = (
        TextMap("pneumothorax", "Pneumothorax", "difference", values, result.findings[0], threshold),
        TextMap("sail_sign", "Sail sign", "difference", 0 * values, result.findings[2], threshold),
    )
    return Explanation("image", np.zeros((64, 64), np.uint8), grid, maps, MapScale(), "tiny")
