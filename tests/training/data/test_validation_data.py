"""Separate validation data: training on one data set, validating on another, as in the paper."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from tier_cli.app import main
from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import ManifestError, UsageError
from tier_cli.findings.load import load_findings
from tier_cli.training.data.rows import choose_rows
from tier_cli.training.data.validation_data import open_validation_data
from tier_cli.training.settings import SplitChoice

NIH = load_findings("nih14")


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def chexpert(root):
    """The tables of CheXpert alone: one frontal image and one lateral a patient."""
    findings = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
    header = ",".join(["Path", "Frontal/Lateral", *findings])
    for split, first in (("train", 1), ("valid", 64540)):
        rows = [
            f"CheXpert-v1.0-small/{split}/patient{number:05d}/study1/view{view}_{side.lower()}.jpg,{side}"
            + f",{number % 2}" * len(findings)
            for number in range(first, first + 4)
            for view, side in enumerate(("Frontal", "Lateral"), 1)
        ]
        (root / f"{split}.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


def open_valid(file, split=None, findings=None, dataset="csv", root=None):
    return open_validation_data(dataset, file, root, split, findings, NIH)


def names(manifest):
    return [path.rsplit("/", 1)[-1] for path in manifest.paths]


TRAINING = "path,patient,split,Mass\na,1,train,1\nb,2,valid,0\nc,3,train,0\nd,4,test,0\n"


def test_frontal_labelled_rows_of_the_split_called_valid_are_validated_on(write):
    text = "path,patient,split,view,Mass\na,1,train,PA,1\nb,2,Val,LL,1\nc,3,val,PA,\nd,4,val,PA,0\n"
    assert names(open_valid(write("v.csv", text)).manifest) == ["d"]
    assert names(open_valid(write("v.csv", text), "train").manifest) == ["a"]
    # Without splits, all rows are validated on.
    assert len(open_valid(write("v.csv", "path,Mass\na,1\nb,0\n")).manifest) == 2


@pytest.mark.parametrize(
    ("text", "split", "message"),
    [
        ("path,split,Mass\na,train,1\n", None, "--valid-split; splits there: train"),
        ("path,split,Mass\na,test,1\n", "test", "a test split is for evaluation"),
        ("path,split,Mass\na,Test_2,1\n", "Test_2", "a test split is for evaluation"),
        ("path,view,Mass\na,PA,\nb,LL,1\n", None, "no frontal image has a label of nih14"),
        ("path,split,Mass\na,valid,\n", None, "no frontal image of split 'valid' has a label"),
    ],
)
def test_data_without_usable_rows_are_refused_in_one_line(write, text, split, message):
    with pytest.raises((UsageError, ManifestError)) as refused:
        open_valid(write("v.csv", text), split)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_patients_are_drawn_and_the_own_valid_split_is_unused(write):
    elsewhere = open_valid(write("v.csv", "path,patient,Mass\nv/x,9,1\nv/y,10,0\n"))
    data = choose_rows(read_manifest(write("t.csv", TRAINING)), "csv", SplitChoice(), NIH, elsewhere)
    assert names(data.manifest) == ["a", "c"]
    assert data.record["rows"]["valid"]["patients"] == 2
    undivided = "path,patient,Mass\na,1,1\nb,2,0\nc,3,0\n"
    data = choose_rows(read_manifest(write("t.csv", undivided)), "csv", SplitChoice(), NIH, elsewhere)
    assert set(data.manifest.column("split")) == {"train"}
    assert len(data.manifest) == 3


@pytest.mark.parametrize(("patient", "what"), [("3", "training"), ("4", "test")])
def test_a_patient_who_is_in_both_manifests_is_refused(write, patient, what):
    elsewhere = open_valid(write("v.csv", f"path,patient,Mass\nv/x,{patient},1\nv/y,10,0\n"))
    with pytest.raises(
        ManifestError, match=f"1 patients are both in the {what} rows and in the validation data v.csv"
    ):
        choose_rows(read_manifest(write("t.csv", TRAINING)), "csv", SplitChoice(), NIH, elsewhere)


def test_an_image_that_is_in_both_under_another_key_is_refused(write, tmp_path):
    (tmp_path / "a").write_bytes(b"image")
    os.symlink(tmp_path / "a", tmp_path / "alias")
    elsewhere = open_valid(write("v.csv", "path,patient,Mass\nalias,other,1\n"))
    with pytest.raises(ManifestError, match="both in the training rows and in the validation data"):
        choose_rows(read_manifest(write("t.csv", TRAINING)), "csv", SplitChoice(), NIH, elsewhere)


def test_chexpert_validates_on_its_own_findings_and_never_on_its_test_split(tmp_path):
    root = chexpert(tmp_path)
    validation = open_valid(None, dataset="chexpert", root=root)
    assert set(validation.manifest.column("split")) == {"valid"}
    assert validation.findings.name == "chexpert14"
    assert open_valid(None, None, load_findings("chexpert5"), "chexpert", root).findings.name == "chexpert5"
    with pytest.raises(UsageError, match="--valid-split: a test split"):
        open_valid(None, "test", None, "chexpert", root)
    with pytest.raises(UsageError, match="name one of: train"):
        open_valid(None, None, None, "nih14", tmp_path)
    with pytest.raises(UsageError, match="validate on another data set"):
        open_valid(None, None, None, "chexpert-5x200", tmp_path)
    with pytest.raises(ManifestError, match="--valid-root"):
        open_valid(None, None, None, "chexpert", tmp_path / "nowhere")


def test_keys_of_another_public_data_set_are_other_people(write, tmp_path):
    """CheXpert's patient00001 is nobody of NIH's, but is somebody of CheXpert's own manifest."""
    validation = open_valid(None, dataset="chexpert", root=chexpert(tmp_path))
    key = validation.manifest.column("patient")[0]
    text = f"path,patient,split,source,Mass\na,{key},train,SOURCE,1\nb,2,train,SOURCE,0\n"
    own = read_manifest(write("t.csv", text.replace("SOURCE", "")))
    assert len(choose_rows(own, "csv", SplitChoice(), NIH, validation).manifest) == 2
    assert len(choose_rows(own, "nih14", SplitChoice(), NIH, validation).manifest) == 2
    data = choose_rows(own, "chexpert", SplitChoice(), NIH, validation)
    assert names(data.manifest) == ["b"]
    assert any("validation patients left out of training: 1" in note for note in data.notes)
    named = read_manifest(write("t.csv", text.replace("SOURCE", "chexpert")))
    with pytest.raises(ManifestError, match="both in the training rows and in the validation data CheXpert"):
        choose_rows(named, "csv", SplitChoice(), NIH, validation)


def test_patients_of_shared_images_are_matched_in_any_form_of_the_key(write):
    elsewhere = open_valid(write("v.csv", "path,patient,source,Mass\nv/x,00000007,chestx-det10,1\n"))
    own = read_manifest(write("t.csv", "path,patient,Mass\na,7,1\nb,8,0\n"))
    with pytest.raises(ManifestError, match="1 patients are both"):
        choose_rows(own, "nih14", SplitChoice(), NIH, elsewhere)


def test_manifests_of_the_same_public_images_are_matched_by_their_source(write):
    """MIMIC's p10000032 and 10000032 are one patient; a hospital's own 007 and 7 need not be."""
    validation = open_valid(
        write("v.csv", "path,patient,source,Mass\nv/x,10000032,mimic-cxr,1\nv/y,7,ours,1\n")
    )
    text = "path,patient,source,Mass\na,KEY,SOURCE,1\nb,8,mimic-cxr,0\n"
    leaks = read_manifest(write("t.csv", text.replace("KEY", "p10000032").replace("SOURCE", "mimic-cxr")))
    with pytest.raises(ManifestError, match="1 patients are both"):
        choose_rows(leaks, "csv", SplitChoice(), NIH, validation)
    for key, source in (("007", "ours"), ("007", "mimic-cxr"), ("p10000032", "theirs")):
        apart = read_manifest(write("t.csv", text.replace("KEY", key).replace("SOURCE", source)))
        assert names(choose_rows(apart, "csv", SplitChoice(), NIH, validation).manifest) == ["a", "b"]


def run(manifest, output, towers, *more):
    return main(["train", "--data", str(manifest), "--output", str(output), *towers, "--image-size", "64",
                 "--batch-size", "16", "--epochs", "1", *more])  # fmt: skip


@pytest.fixture
def other(manifest, tmp_path):
    """Validation images of other patients, with a finding that the training data do not have."""
    folder = tmp_path / "other"
    folder.mkdir()
    lines = ["path,patient,Edema,Effusion"]
    for number in range(8):
        shutil.copyfile(manifest.parent / f"{number}.png", folder / f"{number}.png")
        lines.append(f"{number}.png,q{number},{number % 2},{number // 4}")
    (folder / "other.csv").write_text("\n".join(lines) + "\n")
    return folder / "other.csv"


def test_a_run_validates_on_separate_data_and_records_it(
    manifest, towers, other, tmp_path, without_graphs, capsys
):
    output = tmp_path / "model"
    assert run(manifest, output, towers, "--valid-data", str(other)) == 0
    record = json.loads((output / "training.json").read_text())
    assert record["data"]["rows"]["train"]["images"] == 32
    assert record["validation"]["images"] == 8
    assert {"edema", "effusion"} <= set(record["validation"])
    validation = record["data"]["watched"]
    assert (validation["name"], validation["findings"]) == ("other.csv", "nih14")
    assert len(validation["rows_sha256"]) == len(validation["manifest_sha256"]) == 64
    card = (output / "README.md").read_text()
    assert validation["rows_sha256"] in card
    assert "--valid-data other.csv" in card
    for private in (str(tmp_path), "q3"):
        assert private not in card + json.dumps(record)
    judged = json.loads((output / "validation.json").read_text())
    assert judged["findings"]["edema"]["n"] == 8
    assert np.isfinite(judged["mean_auc"]["auc"])


def test_a_sweep_is_compared_on_separate_data(manifest, towers, other, tmp_path, without_graphs):
    more = ("--valid-data", str(other), "--sweep", "lambda-patch=0,0.1")
    assert run(manifest, tmp_path / "grid", towers, *more) == 0
    header = (tmp_path / "grid" / "sweep.csv").read_text().splitlines()[0]
    assert "auc:edema" in header
    # A finished run also requires the same validation data.
    other.write_text(other.read_text().replace("q1,1,", "q1,0,"))
    assert run(manifest, tmp_path / "grid", towers, *more, "--resume") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--valid-data", "v.csv", "--valid-dataset", "chexpert"],
            "validation uses either a manifest or a data set",
        ),
        (["--valid-root", "."], "--valid-root: needs --valid-dataset or --valid-data"),
        (["--valid-data", "v.csv", "--valid-share", "0.2"], "no patients are drawn"),
        (["--valid-data", "absent.csv"], "no such file"),
        (["--valid-dataset", "nih41", "--valid-root", "."], "--valid-dataset: unknown data set 'nih41'"),
        (["--valid-dataset", "chexpert", "--valid-split", "test"], "a test split is for evaluation"),
    ],
)
def test_invalid_options_are_refused(options, message, manifest, towers, tmp_path, capsys):
    assert run(manifest, tmp_path / "out", towers, *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
