"""`tier eval --report`: the page of a real run, on phantoms and a checkpoint with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tier_cli.phantom.image_files import write_dicom, write_png
from tier_cli.phantom.render import make_phantom

Tier = Callable[..., tuple[int, str, str]]
QUICK = ("--replicates", "10", "--workers", "0", "--device", "cpu")
N = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms with boxes; the last image is missing."""
    folder = tmp_path_factory.mktemp("data")
    rows = ["path,patient,split,sex,Pleural Effusion,boxes"]
    for number in range(N):
        sick = number % 3 == 0
        name = f"{number:02}.{'dcm' if number % 2 else 'png'}"
        if number < N - 1:
            phantom = make_phantom(number, ["effusion"] if sick else [], (72, 72))
            (write_dicom if number % 2 else write_png)(folder / name, phantom)
        box = '"[{""finding"": ""pleural_effusion"", ""box"": [10, 10, 40, 60]}]"' if sick else ""
        split = "valid" if number < N // 2 else "test"
        rows.append(f"{name},keyed{number},{split},{'FM'[number // 2 % 2]},{int(sick)},{box}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


def test_the_page_of_a_run_with_everything(tier: Tier, model: str, data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, out, err = tier(
        "eval", "--data", data, "--model", model, "--split", "test", "--select-on", "valid", "--by", "sex",
        "--corrupt", "noise", "--prompt-sensitivity", "--grounding-protocol", "all", "--report", page,
        "--report-note", "Provided by nobody.", *QUICK,
    )  # fmt: skip
    assert code == 3, "an image is missing"
    assert str(page) in err.replace("\n", "")
    assert out.startswith("{"), "the numbers still go to a pipe"
    text = page.read_text(encoding="utf-8")
    for title in ("ROC curves", "Groups by sex", "Corrupted images", "Prompts", "Grounding", "Worst errors"):
        assert f">{title}</h2>" in text
    for caption in ("Segmentation with one threshold per finding", "As published by CheXlocalize"):
        assert caption in text
    assert "8 images, 1 of them without scores" in text
    assert "operating point" in text
    assert "Provided by nobody." in text
    assert "keyed" not in text
    assert "data:image/jpeg" in text
    assert "cannot be shown" not in text
    assert "weights, SHA-256" in text


def test_files_of_scores_alone_make_a_page(tier: Tier, data: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    rows = [f"{n:02}.{'dcm' if n % 2 else 'png'},{(n % 3 == 0) * 0.5 + n / 40}" for n in range(N)]
    scores.write_text("\n".join(["path,effusion", *rows]))
    page = tmp_path / "page.html"
    options = ("--scores", scores, "--findings", "chexpert5", "--probabilities", "--report", page, *QUICK)
    code, _, _ = tier("eval", "--data", data, "--split", "all", *options)
    assert code == 0
    text = page.read_text(encoding="utf-8")
    assert "Reliability of probabilities" in text
    assert "as whole images" in text
    assert str(scores) in text, "its hash is named"


@pytest.mark.parametrize("option", [("--no-report-images",), ("--report-paths",), ("--report-note", "x")])
def test_options_of_a_page_need_a_page(tier: Tier, data: Path, option: tuple[str, ...]) -> None:
    code, _, err = tier("eval", "--data", data, *option)
    assert code == 2
    assert "add --report" in err


def test_a_page_is_html(tier: Tier, data: Path, tmp_path: Path) -> None:
    code, _, err = tier("eval", "--data", data, "--report", tmp_path / "page.pdf")
    assert code == 2
    assert ".html" in err
