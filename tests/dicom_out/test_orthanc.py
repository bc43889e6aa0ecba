"""An archive stores what is written, beside the images, and gives it back as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dicom_studies import Scored
from orthanc import orthanc
from pydicom import dcmread

from tier_cli.dicom_out.report import write_report
from tier_cli.findings.schema import FindingSet


@pytest.mark.slow
def test_archive_files_the_report_under_the_study_and_replaces_it(
    scored: Scored, findings: FindingSet, tmp_path: Path
) -> None:
    name = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Sørensen^Zoë=王^小東"}
    result = scored(**name)
    report = write_report(tmp_path, [result], findings)
    with orthanc(tmp_path) as server:
        image = server.store(Path(result.paths[0]))
        stored = server.store(report)
        assert stored["Status"] == "Success"
        assert (stored["ParentPatient"], stored["ParentStudy"]) == (
            image["ParentPatient"],
            image["ParentStudy"],
        )
        assert server.get(f"/instances/{stored['ID']}/file") == report.read_bytes()
        again = server.store(write_report(tmp_path, [result], findings))
        assert again["ID"] == stored["ID"]
        assert len(json.loads(server.get("/instances"))) == 2
        tags = json.loads(server.get(f"/instances/{stored['ID']}/simplified-tags"))
        assert tags["PatientName"] == dcmread(report).PatientName
