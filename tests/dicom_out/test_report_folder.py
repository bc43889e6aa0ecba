"""The reports of a run: one per study, wherever its images lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from dicom_studies import Scored, groups_of

from tier_cli.dicom_out.folder import ReportFolder
from tier_cli.errors import StorageError
from tier_cli.findings.schema import FindingSet
from tier_cli.results.record import Failure


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path, findings: FindingSet, lines: list[str]) -> ReportFolder:
    (tmp_path / "sr").mkdir()
    return ReportFolder(tmp_path / "sr", findings, lines.append)


def test_studies_whose_images_alternate_have_one_report_each_with_their_own_scores(
    scored: Scored, folder: ReportFolder, tmp_path: Path
) -> None:
    for number in range(4):
        study = f"1.2.{number % 2}"
        result = scored(f"{number}.dcm", StudyInstanceUID=study, SOPInstanceUID=f"1.3.{number}")
        first = replace(result.findings[0], score=number / 8)
        folder.add(replace(result, findings=(first, *result.findings[1:])))
    assert list((tmp_path / "sr").iterdir()) == []
    folder.finish()
    assert folder.written == 2
    found = {}
    for path in (tmp_path / "sr").iterdir():
        report = hd.sr.srread(path)
        groups = groups_of(path)
        assert len(groups) == 6
        found[report.StudyInstanceUID] = (
            [float(groups[n].get_measurements()[0].value) for n in (0, 3)],
            [[one.value.meaning for one in group.get_qualitative_evaluations()] for group in groups[:3]],
        )
    np.testing.assert_allclose([found["1.2.0"][0], found["1.2.1"][0]], [[0.0, 0.25], [0.125, 0.375]])
    assert found["1.2.0"][1] == [["Yes"], ["No"], []]


def test_results_with_findings_of_their_own_keep_them(
    scored: Scored, folder: ReportFolder, tmp_path: Path
) -> None:
    for name in "12":
        result = scored(f"{name}.dcm", SOPInstanceUID=f"1.2.{name}")
        folder.add(replace(result, findings=(result.findings[int(name)],)))
    folder.finish()
    (path,) = (tmp_path / "sr").iterdir()
    groups = groups_of(path)
    assert [group.finding_type.meaning for group in groups] == ["Support devices", "Sail sign"]


def test_report_by_study_is_written_when_its_result_comes(
    scored: Scored, folder: ReportFolder, tmp_path: Path
) -> None:
    folder.add(replace(scored(), unit="study"))
    assert len(list((tmp_path / "sr").iterdir())) == 1


def test_images_without_a_study_are_counted_and_errors_are_not(
    scored: Scored, folder: ReportFolder, tmp_path: Path, lines: list[str]
) -> None:
    folder.add(replace(scored(), study="", series="", instance=""))
    folder.add(replace(scored(), findings=(), error=Failure("view", "it is lateral")))
    folder.finish()
    assert (folder.written, folder.failed, folder.without_study, lines) == (0, 0, 1, [])


def test_study_that_cannot_have_a_report_costs_only_itself(
    scored: Scored, folder: ReportFolder, lines: list[str]
) -> None:
    gone = scored("gone.dcm", StudyInstanceUID="1.2.1")
    folder.add(gone)
    folder.add(scored("kept.dcm", StudyInstanceUID="1.2.2"))
    Path(gone.paths[0]).unlink()
    folder.finish()
    assert (folder.written, folder.failed) == (1, 1)
    (line,) = lines
    assert line.startswith("No DICOM SR for a study: ")
    assert "gone.dcm: the file cannot be read any more" in line


def test_full_disk_ends_the_run(
    scored: Scored, folder: ReportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tier_cli.dicom_out.folder.write_report", full)
    folder.add(scored())
    with pytest.raises(StorageError, match="No space left"):
        folder.finish()
