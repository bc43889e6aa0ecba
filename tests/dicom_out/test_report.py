"""Structured reports: valid, complete, and of the study that they say they are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from dicom_checks import dump_of, errors_of
from dicom_maker import dataset_of, save
from dicom_studies import STAMP, WHOLE, Scored, groups_of, write_study
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian
from xrays import picture

from tier_cli.dicom_out.objects import WARNING
from tier_cli.dicom_out.report import write_report
from tier_cli.errors import InputError
from tier_cli.findings.schema import FindingSet
from tier_cli.results.record import ModelStamp, Result

CR, SC, MULTI_FRAME_SC = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7.2",
)
_MISSING = dict.fromkeys(
    ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber"), None
)
SOURCES: dict[str, dict[str, Any]] = {
    "DX": {},
    "CR": {"SOPClassUID": CR, "Modality": "CR"},
    "secondary capture": {"SOPClassUID": SC, "Modality": "OT"},
    "multi-frame capture": {"SOPClassUID": MULTI_FRAME_SC, "Modality": "OT", "NumberOfFrames": 1},
    "no patient": _MISSING,
    "empty patient": dict.fromkeys(_MISSING, ""),
    "Latin-1": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jürgen"},
    "UTF-8": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Sørensen^Zoë=王^小東"},
    "Japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    },
    "long UIDs": {
        "StudyInstanceUID": "1." + "2" * 62,
        "SeriesInstanceUID": "1." + "3" * 62,
        "SOPInstanceUID": "1." + "4" * 62,
    },
    "no such day or hour": {"PatientBirthDate": "20019999", "StudyDate": "20230229", "StudyTime": "99"},
    "against the standard": {"PatientBirthDate": "1950", "PatientSex": "female", "StudyTime": "noon"},
}


@pytest.mark.parametrize("kind", SOURCES)
def test_report_is_valid_whatever_the_source(
    scored: Scored, findings: FindingSet, tmp_path: Path, kind: str
) -> None:
    result = scored(**SOURCES[kind])
    path = write_report(tmp_path, [result], findings)
    assert errors_of(path) == []
    assert "Comprehensive SR" in dump_of(path)
    report = hd.sr.srread(path)
    assert isinstance(report, hd.sr.ComprehensiveSR)
    source = dcmread(result.paths[0], stop_before_pixels=True)
    assert report.StudyInstanceUID == source.StudyInstanceUID
    assert report.SeriesInstanceUID != source.SeriesInstanceUID
    assert str(report.PatientName) == str(source.get("PatientName", ""))
    assert (report.Modality, report.VerificationFlag, report.PreliminaryFlag) == (
        "SR",
        "UNVERIFIED",
        "PRELIMINARY",
    )


def test_report_of_a_big_endian_source_is_valid(scored: Scored, findings: FindingSet, tmp_path: Path) -> None:
    dataset = dataset_of(picture(0), 8, **WHOLE)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    save(dataset, tmp_path / "big.dcm")
    result = replace(scored(), paths=(str(tmp_path / "big.dcm"),))
    path = write_report(tmp_path, [result], findings)
    assert errors_of(path) == []
    assert dcmread(path).PatientName == "Doe^Jane"


def test_report_holds_what_the_result_holds(scored: Scored, findings: FindingSet, tmp_path: Path) -> None:
    result = replace(scored(), notes=("colour converted to luminance",))
    path = write_report(tmp_path, [result], findings)
    groups = groups_of(path)
    assert [group.finding_type.value for group in groups] == [
        "36118008",
        "support_devices",
        groups[2].finding_type.value,
    ]
    assert [group.finding_type.scheme_designator for group in groups] == ["SCT", "99TIER", "99TIER"]
    assert groups[2].finding_type.value.startswith("u-")
    assert [group.finding_type.meaning for group in groups] == [
        "Pneumothorax",
        "Support devices",
        "Sail sign",
    ]
    numbers = [[float(one.value) for one in group.get_measurements()] for group in groups]
    np.testing.assert_allclose(numbers[0], [0.123457, 0.875])
    np.testing.assert_allclose(numbers[1], [-0.5, 0.25])
    np.testing.assert_allclose(numbers[2], [0.0])
    names = [one.name.meaning for one in groups[0].get_measurements()]
    assert names == ["Score", "Probability"]
    calls = [[one.value.meaning for one in group.get_qualitative_evaluations()] for group in groups]
    assert calls == [["Yes"], ["No"], []]
    text = dump_of(path)
    assert f'"{WARNING}"' in text
    assert '"colour converted to luminance"' in text
    assert f'"SHA-256 of weights: {"a" * 64}"' in text
    assert '"scoring: cosine_difference"' in text


def test_report_of_several_images_has_a_group_for_each_and_names_all_as_evidence(
    scored: Scored, findings: FindingSet, tmp_path: Path
) -> None:
    results = [
        scored(f"{name}.dcm", SOPInstanceUID=f"1.2.{name}", SeriesInstanceUID=f"1.3.{name}") for name in "12"
    ]
    path = write_report(tmp_path, results, findings)
    assert errors_of(path) == []
    seen = [[item.referenced_sop_instance_uid for item in group.source_images] for group in groups_of(path)]
    assert seen == [["1.2.1"]] * 3 + [["1.2.2"]] * 3
    report = hd.sr.srread(path)
    assert {instance for _, _, instance, _ in report.get_evidence(current_procedure_only=True)} == {
        "1.2.1",
        "1.2.2",
    }


def test_report_by_study_has_one_group_per_finding_with_all_images(
    scored: Scored, findings: FindingSet, tmp_path: Path
) -> None:
    one, other = (scored(f"{name}.dcm", SOPInstanceUID=f"1.2.{name}") for name in "12")
    study = replace(one, unit="study", paths=(*one.paths, *other.paths), instance="")
    path = write_report(tmp_path, [study], findings)
    assert errors_of(path) == []
    groups = groups_of(path)
    assert len(groups) == 3
    assert [len(group.source_images) for group in groups] == [2, 2, 2]


def test_second_run_replaces_the_report(scored: Scored, findings: FindingSet, tmp_path: Path) -> None:
    results = [scored(f"{name}.dcm", SOPInstanceUID=f"1.2.{name}") for name in "12"]
    folder = tmp_path / "sr"
    folder.mkdir()
    first = write_report(folder, results, findings)
    assert write_report(folder, results[::-1], findings) == first
    assert list(folder.iterdir()) == [first]
    assert first.name == f"{dcmread(first).SOPInstanceUID}.dcm"
    for other in (
        [replace(one, model=replace(STAMP, weights="d" * 64)) for one in results],
        [replace(one, model=replace(STAMP, findings="d" * 64)) for one in results],
        results[:1],
    ):
        assert write_report(folder, other, findings) != first


def test_only_the_owner_may_read_a_report(scored: Scored, findings: FindingSet, tmp_path: Path) -> None:
    assert write_report(tmp_path, [scored()], findings).stat().st_mode & 0o777 == 0o600


def test_nothing_of_the_patient_is_copied_but_what_identifies_patient_and_study(
    scored: Scored, findings: FindingSet, tmp_path: Path
) -> None:
    more = {"PatientComments": "SECRET", "OtherPatientIDs": "SECRET", "AdditionalPatientHistory": "SECRET"}
    more |= {"PatientAddress": "SECRET", "InstitutionName": "SECRET", "OperatorsName": "SECRET"}
    path = write_report(tmp_path, [scored(**more)], findings)
    assert b"SECRET" not in path.read_bytes()
    assert b"ACC-0815" in path.read_bytes()


def test_report_of_an_ensemble_names_its_members(
    scored: Scored, findings: FindingSet, tmp_path: Path
) -> None:
    members = tuple(ModelStamp(name, name * 64, "b" * 64, "c" * 64) for name in "de")
    result = replace(scored(), model=replace(STAMP, name="two models", members=members))
    text = dump_of(write_report(tmp_path, [result], findings))
    assert f'"SHA-256 of weights of e: {"e" * 64}"' in text


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"SeriesInstanceUID": None}, "SeriesInstanceUID is missing"),
        ({"SeriesInstanceUID": "19470815"}, "SeriesInstanceUID is not a valid UID"),
        ({"SOPInstanceUID": "1.2.9"}, "not the image that was scored"),
        ({"StudyInstanceUID": "1.2.9"}, "not the image that was scored"),
        ({"SOPClassUID": "1.2.3.4"}, "SOP class"),
    ],
)
def test_source_that_cannot_be_referred_to_is_refused_in_one_line(
    scored: Scored, findings: FindingSet, tmp_path: Path, attributes: dict[str, Any], what: str
) -> None:
    result = scored()
    _rewrite(result, **attributes)
    with pytest.raises(InputError, match=what) as caught:
        write_report(tmp_path, [result], findings)
    message = str(caught.value)
    assert "a.dcm" in message
    assert "\n" not in message
    assert not any(secret in message for secret in ("Doe", "4711", "19500102", "19470815"))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.dcm"]


def test_images_of_two_patients_are_never_in_one_report(
    scored: Scored, findings: FindingSet, tmp_path: Path
) -> None:
    results = [scored("a.dcm"), scored("b.dcm", SOPInstanceUID="1.2.9", PatientID="another")]
    with pytest.raises(InputError, match="different patients"):
        write_report(tmp_path, results, findings)


def test_file_that_is_gone_is_refused(scored: Scored, findings: FindingSet, tmp_path: Path) -> None:
    result = scored()
    Path(result.paths[0]).unlink()
    with pytest.raises(InputError, match="cannot be read any more"):
        write_report(tmp_path, [result], findings)


def _rewrite(result: Result, **attributes: Any) -> None:
    path = Path(result.paths[0])
    dataset: Dataset = dcmread(path)
    before = {keyword: str(dataset[keyword].value) for keyword in ("SOPInstanceUID", "StudyInstanceUID")}
    write_study(path, **{**before, **attributes})
