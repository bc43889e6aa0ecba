"""Open-i from its XML reports and from the re-pack in tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import openi_tables, openi_xml

from tier_cli.datasets.opening import open_data
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin

NAN = np.nan


@pytest.mark.parametrize("build", [openi_xml, openi_tables])
def test_reports_images_texts_and_labels(tmp_path: Path, build) -> None:
    manifest = open_data("openi", None, build(tmp_path), None, "both")
    assert all(Path(path).is_file() for path in manifest.paths)
    assert list(manifest.column("study")) == ["CXR1", "CXR1", "CXR2", "CXR10"]
    assert list(manifest.column("text")) == ["Heart < normal. No disease."] * 2 + ["Effusion.", ""]
    assert set(manifest.column("split")) == {"all"}
    findings = builtin("nih14")
    labels = dict(zip(findings.ids, manifest.labels(findings).T, strict=True))
    np.testing.assert_array_equal(labels["effusion"], [0, 0, 1, NAN])
    np.testing.assert_array_equal(labels["pleural_thickening"], [0, 0, 1, NAN])
    # The machine-made headings (MeSH/automatic) say edema; the ones people gave do not.
    np.testing.assert_array_equal(labels["edema"], [0, 0, 0, NAN])
    assert list(manifest.column("No Finding")) == ["1", "1", "0", ""]


def test_lateral_images_are_known_only_from_the_table(tmp_path: Path) -> None:
    unknown = open_data("openi", None, openi_xml(tmp_path / "a"))
    assert set(unknown.column("view")) == {""}
    assert any("lateral images are kept" in note for note in unknown.notes)
    expected = ["LATERAL", "FRONTAL", "FRONTAL", "FRONTAL"]
    assert list(open_data("openi", None, openi_tables(tmp_path / "b")).column("view")) == expected
    # Both lie under one root: the XML reports with the views of the table.
    openi_tables(tmp_path / "a")
    assert list(open_data("openi", None, tmp_path / "a").column("view")) == expected


def test_impression_and_findings_apart(tmp_path: Path) -> None:
    openi_xml(tmp_path)
    impression = open_data("openi", None, tmp_path, None, "impression")
    assert list(impression.column("text")) == ["No disease.", "No disease.", "Effusion.", ""]
    findings = open_data("openi", None, tmp_path, None, "findings")
    assert list(findings.column("text")) == ["Heart < normal.", "Heart < normal.", "", ""]


def test_dicom_copies_and_a_missing_image(tmp_path: Path) -> None:
    openi_xml(tmp_path)
    for path in list((tmp_path / "NLMCXR_png").iterdir()):
        path.rename(tmp_path / f"{path.stem.removeprefix('CXR')}.dcm")
    (tmp_path / "NLMCXR_png").rmdir()
    (tmp_path / "2_IM-0652-1001.dcm").unlink()
    manifest = open_data("openi", None, tmp_path)
    assert [Path(path).is_file() for path in manifest.paths] == [True, True, False, True]
    assert any(note.startswith("1 of 4 images are not on disk") for note in manifest.notes)


def test_a_broken_report_and_a_wrong_root_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"looked for ecgen-radiology/\*\.xml or indiana_reports\.csv"):
        open_data("openi", None, tmp_path)
    openi_xml(tmp_path)
    (tmp_path / "ecgen-radiology" / "2.xml").write_text("<eCitation>", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"2\.xml: the report cannot be read"):
        open_data("openi", None, tmp_path)


@pytest.mark.parametrize(
    ("heading", "finding", "label"),
    [
        ("Bullous Emphysema/lung/upper lobe", "Emphysema", "1"),
        ("Pulmonary Emphysema", "Emphysema", "1"),
        ("Emphysema/diffuse", "Emphysema", "1"),
        ("Subcutaneous Emphysema/right", "Emphysema", "0"),
        ("Emphysema/subcutaneous/right", "Emphysema", "0"),
        ("Mediastinal Emphysema", "Emphysema", "0"),
        ("Fibrosis/diffuse", "Fibrosis", "1"),
        ("Fibrosis / mediastinum", "Fibrosis", "0"),
        ("Pulmonary Fibrosis/lung/bilateral", "Fibrosis", "1"),
        ("Thickening/pleura/right", "Pleural_Thickening", "1"),
        ("Thickening/mediastinum", "Pleural_Thickening", "0"),
        ("Effusion/pleura/small", "Effusion", "1"),
        ("Pericardial Effusion/small", "Effusion", "0"),
        ("Pneumonia, Viral/bilateral", "Pneumonia", "1"),
        ("Pulmonary Edema/mild", "Edema", "1"),
        ("Edema/soft tissue", "Edema", "0"),
        ("Spinal Fractures/thoracic vertebrae", "Fracture", "1"),
        ("Hernia, Hiatal/large", "Hernia", "1"),
    ],
)
def test_a_heading_counts_by_what_it_and_its_qualifiers_say(
    tmp_path: Path, heading: str, finding: str, label: str
) -> None:
    """A positive image that is labelled 0 counts as an error of every model that sees the finding."""
    table = openi_tables(tmp_path) / "indiana_reports.csv"
    lines = table.read_text().splitlines()
    cells = lines[1].split(",")
    cells[1] = f'"{heading}"'
    table.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    manifest = open_data("openi", None, tmp_path)
    assert next(iter(manifest.column(finding))) == label
