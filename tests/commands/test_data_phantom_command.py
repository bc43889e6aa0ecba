"""`tier data phantom`: its files, messages and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tier_cli.app import main
from tier_cli.datasets.manifest import read_manifest


def test_it_writes_a_folder_that_the_other_commands_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "phantom", str(tmp_path / "chests"), "--count", "3", "--size", "64", "--workers", "1"]
    assert main([*command, "--seed", "1"]) == 0
    manifest = read_manifest(tmp_path / "chests" / "manifest.csv")
    assert len(manifest) == 3
    assert all(Path(path).is_file() for path in manifest.paths)
    out, err = capsys.readouterr()
    assert out == ""
    assert "synthetic patients" in err
    assert "manifest.csv" in err


def test_dicom_is_read_as_a_chest_radiograph(tmp_path: Path) -> None:
    from tier_cli.imaging.read import read_radiograph

    command = ["data", "phantom", str(tmp_path), "--count", "1", "--size", "64", "--format", "dicom"]
    assert main(command) == 0
    manifest = read_manifest(tmp_path / "manifest.csv")
    radiograph = read_radiograph(manifest.paths[0])
    assert radiograph.pixels.shape == (64, 64)
    assert radiograph.view == manifest.column("view")[0]


def test_a_second_run_into_the_same_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "phantom", str(tmp_path), "--count", "1", "--size", "64"]
    assert main(command) == 0
    capsys.readouterr()
    assert main(command) == 2
    err = capsys.readouterr().err
    assert "name another folder" in err
    assert err.startswith("Error")  # no empty line of a progress bar that nobody sees


@pytest.mark.parametrize(
    "wrong", [["--count", "0"], ["--count", "1", "--size", "8"], ["--count", "1", "--format", "bmp"], []]
)
def test_wrong_usage_is_refused_before_anything_is_written(tmp_path: Path, wrong: list[str]) -> None:
    assert main(["data", "phantom", str(tmp_path / "new"), *wrong]) == 2
    assert not (tmp_path / "new").exists()
