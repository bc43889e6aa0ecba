"""The survey of a manifest, compared with counts made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from xrays import write_dicom, write_png

from tier_cli.datasets.manifest import read_manifest
from tier_cli.datasets.survey.result import Survey
from tier_cli.datasets.survey.survey import best_finding_set, survey_manifest
from tier_cli.errors import InputError
from tier_cli.findings.load import builtin
from tier_cli.imaging.read import read_radiograph


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for seed in range(4):
        write_png(tmp_path / f"{seed}.png", seed)
    return tmp_path


def read(paths: Sequence[str]) -> dict[str, tuple[int, int] | InputError]:
    found: dict[str, tuple[int, int] | InputError] = {}
    for path in paths:
        try:
            height, width = read_radiograph(path).pixels.shape
            found[path] = (height, width)
        except InputError as error:
            found[path] = error
    return found


def look(folder: Path, *lines: str, findings: str = "chexpert14", sample: int = 32) -> Survey:
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return survey_manifest(read_manifest(path), builtin(findings), read, sample)


def kinds(found: Survey) -> list[str]:
    return [problem.kind for problem in found.problems]


def test_counts_are_those_of_the_cells(images: Path) -> None:
    found = look(
        images,
        "path,patient,study,view,split,Edema,Fracture,text,scanner",
        "0.png,a,s1,PA,train,1,0,No edema.,x",
        "1.png,a,s1,LATERAL,train,-1,,No edema.,x",
        "2.png,b,s2,PA,test,0,0,,y",
        "3.png,,,,test,,0,Clear lungs and no edema.,y",
    )
    assert found.problems == ()
    assert (found.images, found.patients, found.studies, found.without_patient) == (4, 2, 2, 1)
    assert found.views == {"PA": 2, "LATERAL": 1, "": 1}
    assert [(split.name, split.images, split.patients) for split in found.splits] == [
        ("test", 2, 2),
        ("train", 2, 1),
    ]
    edema, fracture = found.labels
    assert (edema.positive, edema.negative, edema.uncertain, edema.blank) == (1, 1, 1, 1)
    assert (fracture.positive, fracture.negative, fracture.blank) == (0, 3, 1)
    assert "no AUC in split train for edema, fracture: an AUC needs labels of 1 and of 0" in found.remarks
    assert [dict(split.positive) for split in found.splits] == [
        {"edema": 0, "fracture": 0},
        {"edema": 1, "fracture": 0},
    ]
    assert (found.texts.filled, found.texts.empty, found.texts.words) == (3, 1, (2, 2, 5))
    assert found.ignored_columns == ("scanner",)
    assert (found.files.files, found.files.read) == (4, 4)


def test_a_text_is_shown_only_where_patients_share_it(images: Path) -> None:
    lines = ["path,patient,text", "0.png,a,Mr Doe again.", "1.png,a,Mr Doe again.", "2.png,a,Clear."]
    found = look(images, *lines, "3.png,b,Clear.")
    assert found.texts.repeated == (("Clear.", 2),)


def test_missing_empty_and_unreadable_files_are_distinguished(images: Path) -> None:
    (images / "1.png").write_bytes(b"")
    (images / "2.png").write_text("no picture")
    found = look(images, "path,Edema", "0.png,1", "1.png,0", "2.png,", "none.png,")
    assert kinds(found) == ["missing", "empty", "unreadable"]
    assert found.files.missing == (str(images / "none.png"),)
    assert found.files.empty == (str(images / "1.png"),)
    assert found.problems[2].examples == (
        f"{images / '2.png'}: the file holds no image of a supported format; copy it again, or convert it",
    )


def test_only_a_sample_is_read(images: Path) -> None:
    (images / "2.png").write_text("no picture")
    rows = ["path", "0.png", "1.png", "2.png", "3.png"]
    assert look(images, *rows, sample=0).files.read == 0
    assert look(images, *rows, sample=3).files.read == 3


def test_patients_in_two_splits_are_reported_by_their_images(images: Path) -> None:
    found = look(
        images, "path,patient,split,Edema", "0.png,secret,train,1", "1.png,secret,Test,0", "2.png,b,Train,0"
    )
    assert kinds(found) == ["leak"]
    (example,) = found.problems[0].examples
    assert example == f"{images / '0.png'} (train) and {images / '1.png'} (test)"
    assert "secret" not in json.dumps(found.document())


def test_repeated_paths_are_a_problem(images: Path) -> None:
    found = look(images, "path,split,Edema", "0.png,train,1", "0.png,train,1", "1.png,test,0")
    assert kinds(found) == ["repeated"]


@pytest.mark.parametrize(
    ("box", "wrong"),
    [
        ({"box": [0, 0, 80, 80]}, False),
        ({"box": [0, 0, 80.9, 80]}, False),
        ({"box": [0, 0, 82, 80]}, True),
        ({"box": [0, 0, 80, 82]}, True),
        ({"box": [-3, 0, 8, 8]}, True),
        ({"box": [0, 0, 1024, 900], "size": [900, 1024]}, False),
        ({"box": [0, 0, 1024, 900], "size": [1024, 900]}, True),
    ],
)
def test_boxes_lie_in_their_image(images: Path, box: dict[str, object], wrong: bool) -> None:
    cell = json.dumps([{"finding": "edema", **box}]).replace('"', '""')
    found = look(images, "path,Edema,boxes", f'0.png,1,"{cell}"', "1.png,0,", sample=1)
    assert kinds(found) == (["outside"] if wrong else [])
    assert (found.boxes, found.images_with_regions) == (1, 1)


def test_pictures_of_masks_are_looked_for(images: Path) -> None:
    cell = '[{""finding"": ""edema"", ""path"": ""mask.png""}]'
    found = look(images, "path,Edema,mask", f'0.png,1,"{cell}"')
    assert kinds(found) == ["missing_mask"]
    assert found.problems[0].examples == (str(images / "mask.png"),)


@pytest.mark.parametrize(
    ("header", "row", "kind", "message"),
    [
        ("path,Edema", "0.png,maybe", "labels", "'maybe' is not a label"),
        ("path,Edema,pulmonary edema", "0.png,1,0", "labels", "both name the finding edema"),
        ("path,Edema,boxes", "0.png,1,[1]", "regions", "not a list of objects"),
    ],
)
def test_invalid_cells_are_reported_without_ending_the_survey(
    images: Path, header: str, row: str, kind: str, message: str
) -> None:
    found = look(images, header, row)
    assert kinds(found) == [kind]
    assert message in found.problems[0].what
    assert found.images == 1


def test_a_misspelt_column_is_reported(images: Path) -> None:
    found = look(images, "path,Cardiomegly", "0.png,1")
    assert "the column 'Cardiomegly' is ignored (did you mean cardiomegaly?)" in found.remarks
    assert "no column is a label of chexpert14" in found.remarks


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,view", "0.png,PA"),
        ("path,text,Edema", "0.png,nan,"),
        ("path,tuberculosis", "0.png,1"),
        ("path,boxes", "0.png,"),
    ],
)
def test_data_that_train_and_eval_refuse_are_a_problem(images: Path, header: str, row: str) -> None:
    found = look(images, header, row)
    assert kinds(found) == ["nothing"]
    assert "neither texts nor labels of chexpert14" in found.problems[0].what


@pytest.mark.parametrize(
    ("header", "row"),
    [("path,text", "0.png,Clear."), ("path,Edema", "0.png,0"), ("path,Edema", "0.png,-1")],
)
def test_texts_or_labels_alone_are_enough(images: Path, header: str, row: str) -> None:
    assert kinds(look(images, header, row)) == []


def test_label_like_columns_outside_the_set_are_reported(images: Path) -> None:
    """A column of labels under a name that no finding has would train nothing, and nobody would know."""
    lines = [
        "path,Edema,tuberculosis,scanner,bed,notes",
        "0.png,1,1,2,,",
        "1.png,0,0.0,1,,x",
        "2.png,0,-1,,,",
    ]
    told = [remark for remark in look(images, *lines).remarks if "look like labels" in remark]
    assert told == [
        "columns that look like labels but are not findings of chexpert14: tuberculosis; "
        "to use them, give --findings a set that contains them"
    ]


def test_regions_of_other_findings_are_reported(images: Path) -> None:
    cell = '[{""finding"": ""unicorn"", ""box"": [1, 1, 2, 2]}]'
    found = look(images, "path,boxes", f'0.png,"{cell}"')
    assert "boxes and masks of findings that are not in chexpert14: 1 (unicorn)" in found.remarks


def test_dicom_is_read_too(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm")
    write_dicom(tmp_path / "b.dcm", Modality="CT")
    found = look(tmp_path, "path", "a.dcm", "b.dcm")
    assert found.files.read == 2
    assert [line.split(": ")[0] for line in found.files.unreadable] == [str(tmp_path / "b.dcm")]


@pytest.mark.parametrize(
    ("columns", "name"),
    [("Edema,Cardiomegaly", "chexpert5"), ("Hernia,Mass,Edema", "nih14"), ("Lung cyst,COPD", "vindr28")],
)
def test_the_set_that_fits_is_found(tmp_path: Path, columns: str, name: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(f"path,{columns}\n0.png" + ",1" * (columns.count(",") + 1) + "\n")
    assert best_finding_set(read_manifest(path)).name == name
