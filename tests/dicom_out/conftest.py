"""Studies of every kind and the results of their images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dicom_maker import write
from pydicom import dcmread

from tier_cli.findings.load import load_findings
from tier_cli.findings.schema import FindingSet
from tier_cli.results.record import FindingScore, ModelStamp, Result

STAMP = ModelStamp("tiny", "a" * 64, "b" * 64, "c" * 64)
# What a study in an archive has, and the maker of test images leaves out.
WHOLE = {"StudyTime": "101112", "StudyID": "S1", "PatientSex": "F", "ReferringPhysicianName": ""}


def write_study(path: Path, **attributes: Any) -> str:
    """Write an image with all that a study in an archive has; None omits an attribute."""
    given = {keyword: value for keyword, value in attributes.items() if value is not None}
    dataset = dcmread(write(path, **{**WHOLE, **given}))
    for keyword in attributes.keys() - given.keys():
        delattr(dataset, keyword)
    dataset.save_as(path)
    return str(path)


Scored = Callable[..., Result]


@pytest.fixture(scope="session")
def findings() -> FindingSet:
    """A finding with a public code, one with a private code, and one that a user named."""
    return load_findings("pneumothorax,support devices,sail sign")


@pytest.fixture
def scored(tmp_path: Path, findings: FindingSet) -> Scored:
    """Write an image, and give the result that a run would have for it."""

    def make(name: str = "a.dcm", **attributes: Any) -> Result:
        path = write_study(tmp_path / name, **attributes)
        source = dcmread(path, stop_before_pixels=True)
        scores = (
            FindingScore(findings.ids[0], 0.1234567, 0.875, True),
            FindingScore(findings.ids[1], -0.5, 0.25, False),
            FindingScore(findings.ids[2], 1e-7),
        )
        texts = [str(source.get(f"{of}InstanceUID", "")) for of in ("Study", "Series", "SOP")]
        study, series, instance = texts
        return Result((path,), STAMP, "cosine_difference", "image", study, series, instance, "PA", scores)

    return make
