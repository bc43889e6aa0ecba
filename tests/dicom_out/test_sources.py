"""What objects copy from images: whatever stands there, objects can be written and keep their patient."""

from __future__ import annotations

import errno
import io
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from dicom_checks import errors_of
from dicom_studies import Scored, explained, saved
from pydicom import dcmread

from tier_cli.dicom_out.capture import secondary_capture
from tier_cli.dicom_out.folder import ImageFolder
from tier_cli.dicom_out.kinds import IMAGE_KINDS
from tier_cli.dicom_out.presentation import presentation_state
from tier_cli.dicom_out.report import write_report
from tier_cli.dicom_out.segmentation import segmentation
from tier_cli.errors import StorageError
from tier_cli.findings.schema import FindingSet


@pytest.mark.parametrize("bad", ["A" * 300, "a\x01b\x1b$Bc", "a\0b", "^" * 8, "Ä" * 65])
def test_identity_against_the_standard_stays_and_costs_no_object(
    scored: Scored, findings: FindingSet, tmp_path: Path, bad: str
) -> None:
    identity = dict.fromkeys(("PatientName", "PatientID", "AccessionNumber"), bad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = scored(SpecificCharacterSet="ISO_IR 192", **identity)
        for path in (
            saved(tmp_path, secondary_capture(result, explained(result))),
            saved(tmp_path, presentation_state(result, explained(result))),
            saved(tmp_path, segmentation(result, explained(result), findings)),
            write_report(tmp_path, [result], findings),
        ):
            assert path is not None
            written = dcmread(path)
            assert [str(written.get(keyword)) for keyword in identity] == [bad] * len(identity)


@pytest.mark.parametrize(
    ("keyword", "bad", "kept"),
    [
        ("StudyDescription", "Chest " * 20, ("Chest " * 20)[:64].rstrip()),
        ("StudyDescription", "PA\x01 and\0 lateral", "PA and lateral"),
        ("StudyID", "S" * 20, "S" * 16),
        ("ReferringPhysicianName", "A" * 65, ""),
        ("ReferringPhysicianName", "a\x1bb", ""),
        ("ReferringPhysicianName", "^" * 5, ""),
        ("ReferringPhysicianName", "Roe^Jane^^Dr", "Roe^Jane^^Dr"),
    ],
)
def test_texts_that_only_people_read_are_valid(
    scored: Scored, findings: FindingSet, tmp_path: Path, keyword: str, bad: str, kept: str
) -> None:
    attributes: dict[str, Any] = {keyword: bad}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = scored(**attributes)
    path = write_report(tmp_path, [result], findings)
    assert dcmread(path).get(keyword) == kept
    assert errors_of(path) == []


def test_two_files_of_one_image_are_one_capture(scored: Scored, findings: FindingSet, tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path, IMAGE_KINDS["sc"], findings, lambda line: None)
    for name in ("a.dcm", "b.dcm"):
        result = scored(name)
        folder.add(result, explained(result))
    assert folder.report().startswith("Wrote 1 DICOM secondary capture to")


def test_a_full_disk_is_named(
    scored: Scored, findings: FindingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    result = scored()
    folder = ImageFolder(tmp_path, IMAGE_KINDS["sc"], findings, lambda line: None)
    monkeypatch.setattr("tier_cli.files.atomic.os.fdopen", lambda *arguments: Full())
    with pytest.raises(StorageError, match="No space left on device"):
        folder.add(result, explained(result))
