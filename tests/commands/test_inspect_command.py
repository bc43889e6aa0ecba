"""`tier data inspect`: exit codes, JSON in a pipe, and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from xrays import write_dicom, write_png

Tier = Callable[..., tuple[int, str, str]]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    write_png(tmp_path / "a.png", 1)
    write_png(tmp_path / "b.png", 2)
    path = tmp_path / "manifest.csv"
    path.write_text("path,patient,split,Hernia,Mass\na.png,1,train,1,0\nb.png,2,test,0,\n")
    return path


def test_a_valid_manifest_gives_json_and_exit_code_0(tier: Tier, manifest: Path) -> None:
    code, out, err = tier("data", "inspect", manifest)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert (document["images"], document["patients"], document["finding_set"]) == (2, 2, "nih14")
    assert document["labels"][0] == {
        "finding": "mass",
        "column": "Mass",
        "positive": 0,
        "negative": 1,
        "uncertain": 0,
        "blank": 1,
        "one_class": ["test", "train"],
    }
    assert document["problems"] == []


def test_problems_give_exit_code_3_and_a_readable_line(tier: Tier, manifest: Path) -> None:
    (manifest.parent / "b.png").unlink()
    code, out, err = tier("data", "inspect", manifest)
    assert code == 3
    assert err == "images that are not on disk: 1\n"
    (problem,) = json.loads(out)["problems"]
    assert problem["kind"] == "missing"
    assert problem["examples"] == [str(manifest.parent / "b.png")]


def test_one_split_alone(tier: Tier, manifest: Path) -> None:
    code, out, _ = tier("data", "inspect", manifest, "--split", "test", "--findings", "nih14")
    assert (code, json.loads(out)["images"]) == (0, 1)
    code, _, err = tier("data", "inspect", manifest, "--split", "valid")
    assert code == 2
    assert "existing splits: test, train" in err


def test_a_public_data_set(tier: Tier, tmp_path: Path) -> None:
    (tmp_path / "stage_2_train_labels.csv").write_text("patientId,x,y,width,height,Target\np1,990,0,40,9,1\n")
    (tmp_path / "stage_2_train_images").mkdir()
    write_dicom(tmp_path / "stage_2_train_images" / "p1.dcm")
    code, out, err = tier("data", "inspect", "--dataset", "rsna", "--root", tmp_path)
    document = json.loads(out)
    assert (document["images"], document["boxes"], document["finding_set"]) == (1, 1, "chexpert14")
    # The box is one of 1024 pixels and ends at 1030.
    assert (code, err) == (3, "images with boxes outside the image: 1\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no data given"),
        (("none.csv",), "no such file"),
        (("--dataset", "nih41", "--root", "."), "unknown data set 'nih41'"),
    ],
)
def test_wrong_usage_is_reported(tier: Tier, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = tier("data", "inspect", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_table_fits_the_terminal(tier: Tier, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tier_cli.commands.inspect.is_terminal", lambda name: True)
    monkeypatch.setenv("COLUMNS", "80")
    manifest.write_text(manifest.read_text() + "a.png,1,test,,-1\n")
    code, out, err = tier("data", "inspect", manifest)
    assert (code, err) == (3, "")
    assert "splits: test 2 images, 2 patients; train 1 image, 1 patient" in out
    assert "Problem: paths in several rows: 1" in out
    assert "Problem: patients in more than one split: 1" in out
    assert max(map(len, out.splitlines())) <= 80


def test_help_loads_nothing_heavy() -> None:
    import subprocess

    script = (
        "import sys; from tier_cli.app import main; main(['data', 'inspect', '--help']);"
        "sys.exit(bool({'numpy', 'pandas', 'torch', 'PIL', 'pydicom'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_a_manifest_is_named_as_training_takes_it(tier: Tier, manifest: Path) -> None:
    assert tier("data", "inspect", "--data", manifest) == tier("data", "inspect", manifest)
    code, _, err = tier("data", "inspect", manifest, "--data", manifest)
    assert code == 2
    assert "two manifests" in err


def test_texts_of_a_manifest_are_counted_as_training_would_read_them(tier: Tier, manifest: Path) -> None:
    manifest.write_text("path,text\na.png,IMPRESSION: Clear.\nb.png,Clear.\n")
    code, out, _ = tier("data", "inspect", manifest, "--text", "impression")
    assert (code, json.loads(out)["texts"]["filled"]) == (0, 1)
    assert "reports without impression: 1 of 2" in json.loads(out)["remarks"]
    code, _, err = tier("data", "inspect", manifest, "--text", "conclusion")
    assert code == 2
    assert "use impression, findings, both" in err


def test_data_that_would_be_refused_later_give_exit_code_3(tier: Tier, manifest: Path) -> None:
    manifest.write_text("path,patient\na.png,1\nb.png,2\n")
    code, out, err = tier("data", "inspect", manifest, "--findings", "nih14")
    assert code == 3
    assert err == "neither texts nor labels of nih14: nothing to train on or to evaluate\n"
    assert [problem["kind"] for problem in json.loads(out)["problems"]] == ["nothing"]
