"""`tier explain` from the command line: what is found, what is written, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from xrays import write_dicom, write_png

import tier_cli as tier_api
from tier_cli.errors import StorageError
from tier_cli.maps.files import write_picture

Tier = Callable[..., tuple[int, str, str]]
# Long enough not to stand in compressed bytes, or at the end of a hash, by chance.
SECRETS = ("Doe^Jane", "ID4711", "ACC0815", "19500102", "20010203", "/a_pa", "/d.png")
QUICK = ("--device", "cpu", "--workers", "0")


def _lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_scores_are_those_of_classify_and_a_failed_file_does_not_end_the_run(
    tier: Tier, model: str, folder: Path, tmp_path: Path
) -> None:
    (folder / "e.png").write_bytes(b"\x89PNG")
    code, out, err = tier("explain", folder, "--model", model, "--all-findings", *QUICK)
    assert code == 3
    assert "3 of 5 files could not be explained" in err
    scored = _lines(tier("classify", folder, "--model", model, *QUICK)[1])
    for line, wanted in zip(_lines(out), scored, strict=True):
        assert line["path"] == wanted["path"]
        assert line["error"] == wanted["error"]
        scores = {one["finding"]: one["score"] for one in line["findings"]}
        assert scores == {one["finding"]: one["score"] for one in wanted["findings"]}
        assert line["files"] == {}


def test_files_of_a_folder_show_nothing_of_the_patient_or_the_name(
    tier: Tier, model: str, folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "maps"
    code, out, _ = tier(
        "explain",
        folder,
        "--model",
        model,
        "-o",
        target,
        "--write",
        "sheet,singles,maps,regions,page",
        *QUICK,
    )
    assert code == 3
    named = [line["files"] for line in _lines(out) if line["files"]]
    flat = [name for files in named for one in files.values() for name in _each(one)]
    assert sorted(Path(name).name for name in flat) == sorted(os.listdir(target))
    assert len(named) == 2
    for name in flat:
        content = Path(name).read_bytes()
        assert not [secret for secret in SECRETS if secret in name.removeprefix(str(tmp_path))]
        assert not [secret for secret in SECRETS if secret.encode() in content], name
    picture = Image.open(named[0]["sheet"])
    assert not picture.info
    assert len(json.loads(Path(named[0]["regions"]).read_text())["features"]) == 0


def _each(one: Any) -> list[str]:
    return list(one.values()) if isinstance(one, dict) else [one]


def test_maps_are_those_of_the_python_api_and_need_no_pickle(
    tier: Tier, model: str, folder: Path, tmp_path: Path
) -> None:
    image, texts = folder / "d.png", ("effusion", "the lungs are clear")
    given = [part for text in texts for part in ("--text", text)]
    _, out, _ = tier(
        "explain", image, "--model", model, *given, "-o", tmp_path / "m", "--write", "maps", *QUICK
    )
    (line,) = _lines(out)
    loaded = tier_api.load(model, device="cpu")
    wanted = loaded.similarity(image, list(texts))
    with np.load(line["files"]["maps"], allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["maps"], wanted.values, atol=1e-6)
        np.testing.assert_allclose(arrays["affine"], wanted.affine)
        assert (int(arrays["side"]), tuple(arrays["size"])) == (wanted.side, wanted.size)
        assert arrays["labels"].tolist() == list(texts)
        assert arrays["similarities"].tolist() == ["phrase", "phrase"]
        assert json.loads(str(arrays["model"])) == line["model"]
    cosines = loaded.encode_text(list(texts)) @ loaded.encode_image(image)
    assert [one["score"] for one in line["findings"]] == pytest.approx(cosines.tolist(), abs=2e-6)
    for number, one in enumerate(line["findings"]):
        row, column = np.unravel_index(wanted.values[number].argmax(), wanted.grid)
        x0, y0, x1, y1 = wanted.box(int(row), int(column))
        assert x0 < one["peak"]["x"] < x1
        assert y0 < one["peak"]["y"] < y1


def test_a_report_is_shown_sentence_by_sentence(tier: Tier, model: str, folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    report.write_text("INDICATION: Cough. FINDINGS: The lungs are clear. No effusion.\n")
    code, out, _ = tier("explain", folder / "d.png", "--model", model, "--report", report, *QUICK)
    assert code == 0
    assert [one["label"] for one in _lines(out)[0]["findings"]] == ["The lungs are clear.", "No effusion."]


def test_a_short_list_of_findings_is_shown_whole(tier: Tier, model: str, folder: Path) -> None:
    given = ("--findings", "effusion,pneumonia,rib fracture,granuloma,cyst", "--model", model)
    _, out, _ = tier("explain", folder / "d.png", *given, *QUICK)
    assert len(_lines(out)[0]["findings"]) == 5


def test_files_of_the_same_name_do_not_collide(tier: Tier, model: str, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"in{number}").mkdir()
        write_png(tmp_path / f"in{number}" / "a.png", number)
    given = (tmp_path / "in0" / "a.png", tmp_path / "in1" / "a.png")
    _, out, _ = tier("explain", *given, "--model", model, "-o", tmp_path / "m", "--write", "maps", *QUICK)
    first, second = (line["files"]["maps"] for line in _lines(out))
    assert first != second
    with np.load(first) as one, np.load(second) as other:
        assert not np.array_equal(one["maps"], other["maps"])


def test_images_of_one_study_share_a_page(tier: Tier, model: str, tmp_path: Path) -> None:
    here = tmp_path / "in"
    here.mkdir()
    for number, study in enumerate(("1.1", "1.1", "2.2")):
        write_dicom(here / f"{number}.dcm", number, study)
    _, out, _ = tier("explain", here, "--model", model, "-o", tmp_path / "m", "--write", "page", *QUICK)
    pages = [line["files"]["page"] for line in _lines(out)]
    assert pages[0] == pages[1] != pages[2]
    assert len(os.listdir(tmp_path / "m")) == 2


def test_a_study_of_many_images_has_several_pages(
    tier: Tier, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tier_cli.commands.explain_output._MOST_ON_PAGE", 2)
    here = tmp_path / "in"
    here.mkdir()
    for number in range(3):
        write_dicom(here / f"{number}.dcm", number, "1.1")
    _, out, _ = tier("explain", here, "--model", model, "-o", tmp_path / "m", "--write", "page", *QUICK)
    pages = [line["files"]["page"] for line in _lines(out)]
    assert pages[0] == pages[1] != pages[2]


def test_a_read_only_folder_is_refused_before_the_model_is_opened(
    tier: Tier, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    code, _, err = tier("explain", folder / "d.png", "--model", "nope", "-o", tmp_path / "m")
    assert code == 2
    assert "read-only" in err


def test_a_folder_that_disappears_during_the_run_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "map.png"
    with pytest.raises(StorageError, match="No such file") as caught:
        write_picture(gone, Image.new("L", (2, 2)))
    assert str(gone) in str(caught.value)


def test_a_threshold_gives_outlines(tier: Tier, model: str, folder: Path, tmp_path: Path) -> None:
    given = ("--threshold", -2, "-o", tmp_path / "m", "--write", "regions", "--top", 1)
    _, out, _ = tier("explain", folder / "d.png", "--model", model, *given, *QUICK)
    (line,) = _lines(out)
    (feature,) = json.loads(Path(line["files"]["regions"]).read_text())["features"]
    assert feature["properties"]["finding"] == line["findings"][0]["finding"]
    assert feature["properties"]["peak"] == pytest.approx(line["findings"][0]["peak"]["similarity"], abs=1e-6)


def test_stretched_colours_change_the_picture_and_not_the_numbers(
    tier: Tier, model: str, folder: Path, tmp_path: Path
) -> None:
    files = []
    for number, more in enumerate(((), ("--stretch",))):
        given = ("-o", tmp_path / str(number), "--write", "sheet,maps", *more)
        files.append(
            _lines(tier("explain", folder / "d.png", "--model", model, *given, *QUICK)[1])[0]["files"]
        )
    plain, stretched = (Path(one["sheet"]).read_bytes() for one in files)
    assert plain != stretched
    assert Path(files[0]["maps"]).read_bytes() != b""
    with np.load(files[0]["maps"]) as one, np.load(files[1]["maps"]) as other:
        np.testing.assert_array_equal(one["maps"], other["maps"])


def test_hashed_ids_hide_paths_also_in_the_names_of_files(
    tier: Tier, model: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIER_HASH_KEY", "key")
    given = ("--model", model, "--write", "maps", *QUICK)
    plain = _lines(tier("explain", folder / "d.png", "-o", tmp_path / "1", *given)[1])[0]
    hashed = _lines(tier("explain", folder / "d.png", "-o", tmp_path / "2", "--hash-ids", *given)[1])[0]
    wanted = _lines(tier("classify", folder / "d.png", "--model", model, "--hash-ids", *QUICK)[1])[0]
    assert hashed["path"] == wanted["path"]
    assert Path(hashed["files"]["maps"]).name != Path(plain["files"]["maps"]).name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--text", "x", "--findings", "chexpert5"), "--text and --findings contradict"),
        (("--text", "x", "--report", "r.txt"), "--text and --report contradict"),
        (("--report", "r.txt", "--top", "2"), "--report and --top contradict"),
        (("--top", "2", "--all-findings"), "--top and --all-findings contradict"),
        (("--write", "page"), "add --output DIR"),
        (("--text", " "), "is empty"),
        (("--report", "nowhere.txt"), "cannot be read"),
        (("--report", "empty.txt"), "no sentence that describes the image"),
        (("--report", "zero.txt"), "is no report"),
        (("--report", "endless.txt"), "has 300 sentences, more than 200"),
        (("--report", "x/d.png"), "not a text in UTF-8"),
        (("--write", "shet"), "did you mean sheet?"),
        (("--output", "x"), "already exists"),
        (("--output", "x/new"), "lies in x, whose images are read"),
        (("--output", "no/new"), "no such folder"),
        (("--model", "nope"), "--model: takes one model"),
        (("--overlap", "5"), "from 1 to 4"),
    ],
)
def test_wrong_usage(
    tier: Tier,
    model: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(folder.parent)
    shutil.move(folder, "x")
    Path("empty.txt").write_text(" \n")
    Path("zero.txt").write_text("No\0effusion.")
    Path("endless.txt").write_text("No effusion. " * 300)
    before = sorted(os.walk("."))
    code, out, err = tier("explain", "x", "--model", model, *arguments, *QUICK)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert sorted(os.walk(".")) == before
