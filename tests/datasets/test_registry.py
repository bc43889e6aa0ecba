"""Data sets by name: what `--dataset`, `--root` and `--split` do, whatever the data set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from downloads import DOWNLOADS
from layouts import chexpert, openi_xml

from tier_cli.datasets.opening import data_roots, open_data, read_dataset
from tier_cli.datasets.registry import (
    DATASETS,
    dataset_info,
    dataset_names,
    may_share_images,
    patient_namespace,
    trainable_names,
)
from tier_cli.errors import ManifestError, UsageError
from tier_cli.findings.load import builtin


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_says_what_it_is(name: str) -> None:
    info = DATASETS[name]
    assert info.name == name
    assert builtin(info.findings).ids
    assert info.default_split in info.splits
    assert info.unit in ("image", "study")
    assert info.patient_namespace in DATASETS
    assert {info.patient_namespace} <= set(info.image_sources) <= set(DATASETS) or name in ("rsna", "siim")


def test_what_data_sets_share() -> None:
    assert trainable_names() == ("chexpert", "mimic-cxr", "padchest", "openi", "nih14")
    assert patient_namespace(" NIH ") == patient_namespace("chestx-det10") == "nih14"
    assert patient_namespace("ours") == patient_namespace("csv") == ""
    assert may_share_images("nih14", "siim")
    assert may_share_images("rsna", "covid-qu-ex")
    assert not may_share_images("chexpert", "mimic-cxr")
    assert dataset_info("nih") is DATASETS["nih14"]


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_error_lists_what_was_looked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / ".hidden").touch()
    with pytest.raises(ManifestError, match=r"looked for .+found holiday/; point --root at") as caught:
        open_data(name, None, tmp_path)
    assert caught.value.where == str(tmp_path)


def test_naming_the_data_sets_loads_no_heavy_library() -> None:
    code = (
        "import sys; from tier_cli.datasets.registry import DATASETS; "
        "[DATASETS[name].layout for name in DATASETS]; "
        "sys.exit(','.join(sorted({'torch', 'pandas', 'pydicom', 'PIL'} & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_root_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIER_DATA_ROOT", raising=False)
    with pytest.raises(UsageError, match=r"no folder given for CheXpert.*TIER_DATA_ROOT"):
        data_roots("chexpert", None)
    monkeypatch.setenv("TIER_DATA_ROOT", str(tmp_path))
    assert data_roots("chexpert", None) == (tmp_path,)
    chexpert(tmp_path / "chexpert")
    assert data_roots("chexpert", None) == (tmp_path, tmp_path / "chexpert")
    assert len(open_data("chexpert", None, None, "valid")) > 0
    (tmp_path / "chexpert").rename(tmp_path / "CheXpert")
    assert data_roots("chexpert", None)[-1] == tmp_path / "CheXpert"
    (tmp_path / "CheXpert").rename(tmp_path / "chexpert")
    # An option outweighs the environment.
    given = tmp_path / "chexpert" / "CheXpert-v1.0-small"
    assert data_roots("chexpert", given) == (given,)
    monkeypatch.setenv("TIER_DATA_ROOT", str(tmp_path / "nowhere"))
    with pytest.raises(ManifestError, match=r"nowhere: no such folder; check TIER_DATA_ROOT"):
        open_data("chexpert", None, None)


def test_relative_roots_give_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chexpert(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert all(Path(path).is_absolute() for path in open_data("chexpert", None, Path()).paths)


@pytest.mark.parametrize("split", ["valid", "VAL", "validation", "validate"])
def test_splits_under_their_usual_names(tmp_path: Path, split: str) -> None:
    assert set(open_data("chexpert", None, chexpert(tmp_path), split).column("split")) == {"valid"}


def test_all_means_every_split(tmp_path: Path) -> None:
    manifest = open_data("chexpert", None, chexpert(tmp_path), "all")
    assert set(manifest.column("split")) == {"train", "valid"}
    assert len(open_data("openi", None, openi_xml(tmp_path / "openi"), "all")) == 4


def test_contradictory_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--dataset NAME with --root FOLDER"):
        open_data("csv", None, None)
    with pytest.raises(UsageError, match="cannot be used together"):
        open_data("chexpert", tmp_path / "manifest.csv", tmp_path)
    with pytest.raises(UsageError, match="did you mean chexpert"):
        open_data("chexprt", None, tmp_path)
    with pytest.raises(UsageError, match=r"use one of csv, chexpert, .*covid-qu-ex"):
        open_data("inhouse", None, tmp_path)
    with pytest.raises(UsageError, match="CheXpert has no reports"):
        read_dataset("chexpert", tmp_path, None, "impression")


def test_a_custom_manifest_is_the_data_set_csv(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,nodule\na.png,1\n", encoding="utf-8")
    assert dataset_names()[0] == "csv"
    assert open_data("csv", tmp_path / "m.csv", None).paths == [str(tmp_path / "a.png")]


@pytest.mark.parametrize("command", [("train",), ("eval",), ("data", "inspect")])
def test_nih_is_nih14(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    """What others call the data set: refused only where its files are not there."""
    from tier_cli.app import main

    start = ["--output", str(tmp_path / "out"), "--init", "tier-small"] if command == ("train",) else []
    assert main([*command, "--dataset", "nih", "--root", str(tmp_path), *start]) == 2
    assert "looked for" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "NIH").mkdir()
    assert data_roots("nih14", tmp_path) == (tmp_path, tmp_path / "NIH")


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("folders", ["1.0.0", "physionet.org/files/the-set/2.1.0", "download"])
def test_every_reader_accepts_a_folder_above_the_download(tmp_path: Path, name: str, folders: str) -> None:
    """PhysioNet's archives unpack to a folder of the version, which people do not name."""
    inside = tmp_path / "set" / folders
    inside.mkdir(parents=True)
    DOWNLOADS[name](inside)
    (tmp_path / "set" / "README.txt").touch()
    expected = open_data(name, None, inside, "all")
    assert open_data(name, None, tmp_path / "set", "all").frame.equals(expected.frame)


def test_the_newest_version_is_read(tmp_path: Path) -> None:
    for version in ("1.9.0", "1.10.0"):
        (tmp_path / version).mkdir()
        DOWNLOADS["rsna"](tmp_path / version)
    assert all("/1.10.0/" in path for path in open_data("rsna", None, tmp_path).paths)
