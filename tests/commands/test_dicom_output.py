"""`tier classify --sr` from the command line to its reports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from dicom_checks import errors_of
from dicom_studies import groups_of
from pydicom import dcmread
from xrays import write_dicom, write_png

from tier_cli.maps.scale import MapScale, write_map_scale
from tier_cli.model.checkpoint import open_checkpoint, write_checksums

Tier = Callable[..., tuple[int, str, str]]
STUDY = {"StudyTime": "101112", "StudyID": "S1", "PatientSex": "F", "ReferringPhysicianName": ""}


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Two studies, one of two images, that alternate; and a PNG."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, study in enumerate(("1.1", "2.2", "1.1")):
        write_dicom(folder / f"{number}.dcm", number, study, **STUDY)
    write_png(folder / "d.png", 3)
    return folder


def test_every_study_has_a_report_of_its_scores(
    tier: Tier, model: str, studies: Path, tmp_path: Path
) -> None:
    code, out, err = tier("classify", studies, "--model", model, "--sr", tmp_path / "sr", "--workers", 0)
    assert code == 0, err
    assert err.splitlines()[-2:] == [
        f"Wrote 2 structured reports (DICOM SR) to {tmp_path / 'sr'}",
        "1 image has no Study Instance UID, as in PNG and JPEG files, and no structured report",
    ]
    assert (tmp_path / "sr").stat().st_mode & 0o777 == 0o700
    lines = [json.loads(line) for line in out.splitlines()]
    expected = {
        study: [one["score"] for line in lines if line["study"] == study for one in line["findings"]]
        for study in ("1.1", "2.2")
    }
    for path in (tmp_path / "sr").iterdir():
        assert errors_of(path) == []
        report = hd.sr.srread(path)
        groups = groups_of(path)
        scores = [float(group.get_measurements()[0].value) for group in groups]
        np.testing.assert_allclose(scores, expected.pop(report.StudyInstanceUID))
    assert expected == {}


def test_second_run_and_a_journal_write_the_same_reports(
    tier: Tier, model: str, studies: Path, tmp_path: Path
) -> None:
    given = ("classify", studies, "--model", model, "--sr", tmp_path / "sr", "--workers", 0)
    assert tier(*given)[0] == 0
    first = sorted((tmp_path / "sr").iterdir())
    output = ("--output", tmp_path / "x.csv", "--journal", tmp_path / "x.journal")
    code, _, err = tier(*given, *output)
    assert code == 0, err
    assert sorted((tmp_path / "sr").iterdir()) == first
    for path in first:
        path.unlink()
    # Nothing is left to score, and the reports are written all the same.
    code, _, err = tier(*given, *output, "--resume")
    assert (code, "Wrote 2 structured reports" in err) == (0, True)
    assert sorted((tmp_path / "sr").iterdir()) == first


def test_by_study_has_one_group_per_finding(tier: Tier, model: str, studies: Path, tmp_path: Path) -> None:
    given = ("classify", studies, "--model", model, "--by", "study", "--workers", 0, "--top", 1)
    assert tier(*given, "--sr", tmp_path / "sr", "-o", tmp_path / "x.jsonl")[0] == 0
    for path in (tmp_path / "sr").iterdir():
        report = hd.sr.srread(path)
        assert len(groups_of(path)) == 1
        images = 2 if report.StudyInstanceUID == "1.1" else 1
        assert len(report.get_evidence()) == images


def test_study_that_cannot_have_a_report_ends_with_3(
    tier: Tier, model: str, studies: Path, tmp_path: Path
) -> None:
    write_dicom(studies / "e.dcm", 5, "3.3", SeriesInstanceUID="")
    code, out, err = tier("classify", studies, "--model", model, "--sr", tmp_path / "sr", "--workers", 0)
    assert code == 3
    assert len(out.splitlines()) == 5
    assert "SeriesInstanceUID is missing" in err
    assert len(list((tmp_path / "sr").iterdir())) == 2
    code, _, _ = tier(
        "classify", studies, "--model", model, "--sr", tmp_path / "sr", "-o", tmp_path / "x.csv"
    )
    assert code == 3


@pytest.fixture
def outlining(model: str, tmp_path: Path) -> Path:
    """A checkpoint for which every patch stands out."""
    folder = tmp_path / "outlining"
    shutil.copytree(model, folder)
    checkpoint = open_checkpoint(str(folder))
    thresholds = {name: {"threshold": -2.0} for name in checkpoint.findings.ids}
    ranges = {kind: list(limits) for kind, limits in MapScale().ranges.items()}
    content = {"ranges": ranges, "thresholds": {checkpoint.findings.hash: thresholds}}
    write_map_scale(folder, checkpoint, content)
    write_checksums(folder)
    return folder


@pytest.mark.parametrize("output", [(), ("--output", "{tmp}/x.csv")], ids=["stdout", "journal"])
def test_images_in_which_findings_stand_out_have_states_and_captures(
    tier: Tier, outlining: Path, studies: Path, tmp_path: Path, output: tuple[str, ...]
) -> None:
    given = [part.format(tmp=tmp_path) for part in output]
    given += ["--gsps", str(tmp_path / "pr"), "--sc", str(tmp_path / "sc"), "--workers", "0"]
    given += ["--maps", str(tmp_path / "maps"), "--seg", str(tmp_path / "seg")]
    code, _, err = tier("classify", studies, "--model", outlining, *given)
    assert code == 0, err
    # The PNG has maps, and no study that an object could belong to.
    none = "1 image without a Study Instance UID, as in PNG and JPEG files, has none"
    assert f"Wrote 3 DICOM presentation states to {tmp_path / 'pr'}; {none}" in err
    assert f"Wrote 3 DICOM secondary captures to {tmp_path / 'sc'}" in err
    assert len(list((tmp_path / "maps").glob("*.npz"))) == 4
    assert f"Wrote 3 DICOM segmentations to {tmp_path / 'seg'}" in err
    assert errors_of(next((tmp_path / "sc").iterdir())) == []
    assert errors_of(next((tmp_path / "seg").iterdir())) == []
    drawn = set()
    for path in (tmp_path / "pr").iterdir():
        assert errors_of(path) == []
        state = dcmread(path)
        (image,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
        drawn.add((state.StudyInstanceUID, image.ReferencedSOPInstanceUID))
    assert drawn == {("1.1", "1.1.1.0"), ("2.2", "2.2.1.1"), ("1.1", "1.1.1.2")}
    shown = [dcmread(path) for path in (tmp_path / "sc").iterdir()]
    sources = {(one.StudyInstanceUID, one.SourceImageSequence[0].ReferencedSOPInstanceUID) for one in shown}
    assert sources == drawn


def test_presentation_states_need_thresholds(tier: Tier, model: str, studies: Path, tmp_path: Path) -> None:
    code, out, err = tier("classify", studies, "--model", model, "--gsps", tmp_path / "pr")
    assert (code, out) == (2, "")
    assert "tier model map-scale" in err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--sr", "{tmp}/sr", "--hash-ids"), "--hash-ids and --sr contradict each other"),
        (("--gsps", "{tmp}/sr", "--hash-ids"), "--hash-ids and --gsps contradict each other"),
        (("--sr", "{tmp}/sr", "--shard", "1/2", "-o", "{tmp}/x.csv"), "--shard and --sr contradict"),
        (("--sr", "{in}/sr"), "the next run would read what is written"),
        (("--sr", "{in}/d.png"), "is not a folder"),
        (("--sr", "{tmp}/missing/sr"), "its parent is missing or read-only"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_scored(
    tier: Tier, model: str, studies: Path, tmp_path: Path, options: tuple[str, ...], what: str
) -> None:
    filled = [option.format(tmp=tmp_path, **{"in": studies}) for option in options]
    code, out, err = tier("classify", studies, "--model", model, *filled)
    assert (code, out) == (2, "")
    assert what in err
    assert not (tmp_path / "sr").exists()
