"""An output file never replaces what a run reads, and a replaced file is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from xrays import write_dicom, write_png

Tier = Callable[..., tuple[int, str, str]]
QUICK = ("--replicates", "10", "--workers", "0", "--device", "cpu")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A radiograph whose name ends like a table."""
    folder = tmp_path / "in"
    folder.mkdir()
    return write_dicom(folder / "v.csv")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three images with labels."""
    for number in range(4):
        write_png(tmp_path / f"{number}.png", number)
    rows = [f"{number}.png,p{number},{number % 2}" for number in range(4)]
    (tmp_path / "own.csv").write_text("\n".join(["path,patient,Pleural Effusion", *rows]))
    return tmp_path / "own.csv"


def _as_itself(output: Path, folder: Path) -> Path:
    return output


def _as_a_link(output: Path, folder: Path) -> Path:
    link = folder / f"link{output.suffix}"
    link.symlink_to(output)
    return link


def _as_another_name(output: Path, folder: Path) -> Path:
    other = folder / f"hard{output.suffix}"
    os.link(output, other)
    return other


def _by_a_detour(output: Path, folder: Path) -> Path:
    return output.parent / ".." / output.parent.name / output.name


WAYS = pytest.mark.parametrize("way", [_as_itself, _as_a_link, _as_another_name, _by_a_detour])


@WAYS
@pytest.mark.parametrize("given", ["file", "folder", "list"])
def test_classify_keeps_its_images(
    tier: Tier, model: str, image: Path, tmp_path: Path, way: Callable[..., Path], given: str
) -> None:
    before = image.read_bytes()
    listing = tmp_path / "list.txt"
    listing.write_text(f"{image}\n")
    named = {"file": image, "folder": image.parent, "list": listing}[given]
    output = way(image, tmp_path)
    code, out, err = tier("classify", named, "--model", model, "--output", output)
    assert (code, out) == (2, "")
    assert "--output" in err
    assert "would be replaced" in err
    assert image.read_bytes() == before


@WAYS
def test_embed_keeps_its_images(tier: Tier, model: str, tmp_path: Path, way: Callable[..., Path]) -> None:
    image = write_png(tmp_path / "v.png")
    image = image.rename(tmp_path / "v.npz")
    before = image.read_bytes()
    code, _, err = tier("embed", image, "--model", model, "--output", way(image, tmp_path))
    assert code == 2
    assert "would be replaced" in err
    assert image.read_bytes() == before


@WAYS
def test_eval_keeps_its_manifest(
    tier: Tier, model: str, manifest: Path, tmp_path: Path, way: Callable[..., Path]
) -> None:
    before = manifest.read_bytes()
    output = way(manifest, tmp_path)
    code, _, err = tier("eval", "--data", manifest, "--model", model, "--output", output, *QUICK)
    assert code == 2
    assert "is an input of this run" in err
    assert manifest.read_bytes() == before


def test_eval_keeps_files_of_scores_and_data_of_any_name(
    tier: Tier, model: str, manifest: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "scores.csv"
    scores.write_text("path,effusion\n" + "".join(f"{number}.png,0.{number}\n" for number in range(4)))
    page = manifest.rename(tmp_path / "own.html")
    for given in (
        ("--scores", scores, "--output", scores),
        ("--compare", model, scores, "--output", scores),
        ("--model", model, "--report", page),
        ("--model", model, "--output", Path(model) / "config.json"),
    ):
        kept = Path(str(given[-1])).read_bytes()
        code, _, err = tier("eval", "--data", page, *given, *QUICK)
        assert code == 2
        assert "would be replaced" in err
        assert Path(str(given[-1])).read_bytes() == kept


def test_eval_keeps_the_files_of_a_data_set(tier: Tier, model: str, tmp_path: Path) -> None:
    table = tmp_path / "Data_Entry_2017.csv"
    table.write_text("Image Index\n")
    code, _, err = tier(
        "eval", "--dataset", "nih14", "--root", tmp_path, "--model", model, "--output", table, *QUICK
    )
    assert code == 2
    assert "of the data set" in err
    assert table.read_text() == "Image Index\n"


def test_a_replaced_file_is_named_and_a_new_one_is_not(
    tier: Tier, model: str, manifest: Path, tmp_path: Path
) -> None:
    for command in (
        ("classify", tmp_path / "0.png", "--model", model, "--output", tmp_path / "out.csv"),
        ("embed", tmp_path / "0.png", "--model", model, "--output", tmp_path / "out.npz"),
        ("eval", "--data", manifest, "--model", model, "--output", tmp_path / "out.json", *QUICK),
    ):
        first, second = tier(*command), tier(*command)
        assert first[0] == second[0] == 0, second
        assert "replaced an existing file" not in first[2]
        assert "replaced an existing file" in second[2]


def test_an_output_beside_the_images_can_be_written_twice(tier: Tier, model: str, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png")
    command = ("classify", tmp_path, "--model", model, "--output", tmp_path / "out.csv")
    assert [tier(*command)[0] for _ in range(2)] == [0, 0]


def test_a_run_ends_with_counts_by_reason(tier: Tier, model: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        write_dicom(folder / f"ct{number}.dcm", number, Modality="CT")
    for number in range(2):
        write_dicom(folder / f"knee{number}.dcm", number, BodyPartExamined="KNEE")
    write_dicom(folder / "chest.dcm")
    (folder / "read.me").write_text("about these")
    for command, verb, ending in (("classify", "scored", "csv"), ("embed", "embedded", "npz")):
        output = tmp_path / f"out.{ending}"
        code, _, err = tier(command, folder, "--model", model, "--output", output)
        assert code == 3
        assert err.splitlines() == [
            f"{verb.capitalize()} 1 of 6 files; the results are in {output}",
            f"5 of 6 files could not be {verb}: other modality (3), other body part (2)",
            "Skipped 1 file in folders: not an image (1)",
            f"Seen: 7 files = 1 {verb} + 5 refused + 1 skipped",
        ]


def test_studies_are_counted_too(tier: Tier, model: str, tmp_path: Path) -> None:
    for number in range(3):
        write_dicom(tmp_path / f"{number}.dcm", number, "1.1" if number < 2 else "1.2")
    _, _, err = tier("classify", tmp_path, "--model", model, "--by", "study", "-o", tmp_path / "x.json")
    assert err.startswith("Scored 3 of 3 files in 2 studies; the results are in ")


def test_a_finding_set_is_not_replaced_by_a_copy_of_itself(tier: Tier, tmp_path: Path) -> None:
    """A set that is written anew loses its comments and templates."""
    file = tmp_path / "mine.toml"
    assert tier("findings", "new", file)[0] == 0
    before = file.read_bytes()
    code, _, err = tier("findings", "new", file, file, "--force")
    assert (code, file.read_bytes()) == (2, before)
    assert "is an input of this run" in err
