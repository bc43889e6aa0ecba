"""From a public data set as it is downloaded to a checkpoint that scores, in one command."""

from __future__ import annotations

import json

import layouts
import pytest
from tiny import tiny_checkpoint

from tier_cli.app import main
from tier_cli.model.checkpoint import write_checksums
from tier_cli.model.verify import verify


def train(name, root, output, start, *more):
    data = ["--dataset", name, "--root", str(root), "--init", str(start), "--output", str(output)]
    return main(["train", *data, "--epochs", "1", "--batch-size", "2", "--freeze-text-layers", "0", *more])


def record(folder):
    return json.loads((folder / "training.json").read_text())


@pytest.fixture
def without_graphs(monkeypatch):
    """Graphs take seconds to trace; tests of the data alone do without."""

    def weights_only(folder, builtin_vectors=True):
        write_checksums(folder)
        return {}

    monkeypatch.setattr("tier_cli.model.save.complete", weights_only)


@pytest.fixture
def mimic(tmp_path, monkeypatch):
    """Three patients to train on, one of them twice; two to watch; the test patients."""
    more = [
        (f"{letter * 2}-1", f"6000000{number}", f"1500000{number}", split, "PA", "postero-anterior")
        for number, (letter, split) in enumerate(
            [("d", "train"), ("e", "train"), ("f", "validate"), ("g", "validate")]
        )
    ]
    monkeypatch.setattr(layouts, "MIMIC_IMAGES", (*layouts.MIMIC_IMAGES, *more))
    root = layouts.mimic(tmp_path / "mimic")
    studies = [(image[1], image[2], str(number % 2)) for number, image in enumerate(more)]
    rows = [[patient, study, *([cell] * len(layouts.MIMIC_LABELS))] for study, patient, cell in studies]
    header = ["subject_id", "study_id", *layouts.MIMIC_LABELS]
    layouts.write_table(root / "mimic-cxr-2.0.0-chexpert.csv.gz", header, rows)
    return root


def test_mimic_trains_from_its_reports_and_the_checkpoint_scores(mimic, tmp_path, capsys):
    start, output = tiny_checkpoint(tmp_path / "start"), tmp_path / "model"
    assert train("mimic-cxr", mimic, output, start) == 0
    data = record(output)["data"]
    # Of the test split nothing is touched; the lateral image trains as in the paper.
    assert data["rows"]["train"] == {"images": 4, "patients": 3, "texts": 3}
    assert data["rows"]["valid"] == {"images": 2, "patients": 2, "texts": 2}
    assert (data["dataset"], data["texts"]) == ("mimic-cxr", "reports")
    assert verify(output) == []
    card = (output / "README.md").read_text()
    assert "MIMIC-CXR-JPG" in card
    assert "TO BE FILLED IN" in card
    for private in (str(tmp_path), "15000002", "10000032"):
        assert private not in card + (output / "training.json").read_text()
    capsys.readouterr()
    image = next(mimic.rglob("cc-1.jpg"))
    assert main(["classify", str(image), "--model", str(output)]) == 0
    assert "edema" in capsys.readouterr().out.lower()


def test_openi_is_split_by_patient_and_empty_impressions_are_counted(tmp_path, without_graphs, capsys):
    start, root = tiny_checkpoint(tmp_path / "start"), layouts.openi_xml(tmp_path / "openi")
    assert train("openi", root, tmp_path / "model", start, "--text", "both", "--split-seed", "0") == 0
    data = record(tmp_path / "model")["data"]
    assert data["rows"]["train"]["patients"] + data["rows"]["valid"]["patients"] <= 3
    assert "patients drawn for validation" in capsys.readouterr().err
    assert train("openi", root, tmp_path / "other", start, "--valid-share", "0") == 0
    # The impression of report 10 is empty.
    assert record(tmp_path / "other")["data"]["images_without_text"] == 1
    assert record(tmp_path / "other")["data"]["rows"]["train"]["patients"] == 2


def test_inspect_counts_the_texts_that_training_would_read(tmp_path, capsys):
    root = layouts.openi_xml(tmp_path / "openi")
    for part, filled in (("impression", 3), ("findings", 2)):
        main(["data", "inspect", "--dataset", "openi", "--root", str(root), "--text", part, "--sample", "0"])
        texts = json.loads(capsys.readouterr().out)["texts"]
        assert (texts["filled"], texts["empty"]) == (filled, 4 - filled)


def test_nih14_trains_on_captions_and_validates_on_patients_of_its_train_list(
    tmp_path, without_graphs, capsys
):
    root = tmp_path / "nih"
    rows = [[f"{n:08d}_000.png", "Edema" if n % 2 else "No Finding", "0", str(n), "50", "M", "PA"]
            for n in range(10)]  # fmt: skip
    header = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender",
              "View Position"]  # fmt: skip
    layouts.write_table(root / "Data_Entry_2017_v2020.csv", header, rows)
    for number, row in enumerate(rows):
        layouts.write_image(root / "images" / row[0], number)
    (root / "train_val_list.txt").write_text("\n".join(row[0] for row in rows[:8]))
    (root / "test_list.txt").write_text("\n".join(row[0] for row in rows[8:]))
    start = tiny_checkpoint(tmp_path / "start")
    assert train("nih14", root, tmp_path / "model", start, "--valid-share", "0.25") == 0
    data = record(tmp_path / "model")["data"]
    assert [data["rows"][name]["patients"] for name in ("train", "valid")] == [6, 2]
    assert data["texts"] == "captions written from labels"
    assert "captions are written from labels" in capsys.readouterr().err
    assert train("nih14", root, tmp_path / "b", start, "--text", "impression") == 2
    assert "has no reports" in " ".join(capsys.readouterr().err.split())
    assert train("nih14", root, tmp_path / "b", start, "--valid-split", "test") == 2
    assert "a test split is for evaluation" in " ".join(capsys.readouterr().err.split())
