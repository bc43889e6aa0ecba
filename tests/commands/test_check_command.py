"""`tier check`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

Tier = Callable[..., tuple[int, str, str]]
ENLARGED, EFFUSION = "examples/04-cardiomegaly.png", "examples/02-effusion-pa.dcm"
ROOT = Path(__file__).parents[2]
REPORT = "INDICATION: Cough.\nFINDINGS: No cardiomegaly.\nNo pulmonary edema. Clear lungs.\n"


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.txt"
    path.write_text(REPORT)
    return path


def test_a_contradicted_denial_is_found_and_its_word_named(tier: Tier, report: Path) -> None:
    code, out, err = tier("check", ENLARGED, report, "--prior", EFFUSION, "--workers", 0)
    assert code == 0
    (document,) = map(json.loads, out.splitlines())
    denied, true, clear = document["sentences"]
    assert [one["verdict"] for one in document["sentences"]] == ["not_supported", "supported", "cannot_tell"]
    assert REPORT[denied["start"] : denied["end"]] == denied["text"] == "No cardiomegaly."
    (claim,) = denied["claims"]
    assert (claim["finding"], claim["stance"], claim["call"]) == ("cardiomegaly", "negated", True)
    assert claim["score"] > claim["ordinary_range"][1]
    assert [word["word"] for word in denied["words"] if word["misfit"]] == ["No"]
    assert denied["fits_prior_better"]
    assert not true["fits_prior_better"]
    assert (clear["claims"], clear["scores"]) == ([], [])
    assert document["left_out"] == 1
    assert "Checked 2 of 2 files against 1 report" in err


def test_the_report_on_a_terminal_reads_without_colour(tier: Tier, report: Path) -> None:
    code, out, _ = tier("check", ENLARGED, report, "--table", "--workers", 0)
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert "not supported  No cardiomegaly." in lines
    assert any(line.startswith("Cardiomegaly denied: score +0.1") for line in lines)
    assert any(line.startswith("misfit: No (-0.") for line in lines)
    assert "cannot tell    Clear lungs." in lines
    assert "names no finding of nih14" in lines
    assert "1 sentence was not checked: indication, technique or advice" in lines


def test_an_output_file_is_whole_and_only_its_owners(tier: Tier, report: Path, tmp_path: Path) -> None:
    written = tmp_path / "checked.jsonl"
    assert tier("check", EFFUSION, report, "-o", written, "--workers", 0)[0] == 0
    assert json.loads(written.read_text())["sentences"]
    # It quotes the report.
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    code, _, err = tier("check", EFFUSION, report, "-o", tmp_path / "checked.csv")
    assert (code, ".jsonl" in err) == (2, True)
    code, _, err = tier("check", EFFUSION, report, "-o", report.with_suffix(".jsonl").name, "--table")
    assert code == 2


def test_the_reports_of_a_manifest(tier: Tier, model: str, folder: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    rows = ["path,study,text", "a_pa,1,Edema.", "d.png,1,Edema.", "b_lateral.dcm,2,No edema.", "d.png,,"]
    manifest.write_text("\n".join(rows))
    code, out, err = tier("check", "--data", manifest, "--root", folder, "--model", model, "--workers", 0)
    assert code == 3
    first, second = map(json.loads, out.splitlines())
    assert [Path(path).name for path in first["paths"]] == ["a_pa", "d.png"]
    assert first["sentences"][0]["best_image"] in (0, 1)
    assert second["error"]["kind"] == "no_image"
    assert second["failed"][0]["kind"]
    assert "1 of 4 rows have no report" in err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([EFFUSION], "needs images and a report"),
        ([ENLARGED, EFFUSION], "not a text"),
        ([EFFUSION, "missing.txt"], "missing.txt: cannot be read"),
        ([EFFUSION, "README.md", "--data", "m.csv"], "a manifest names the images"),
        ([EFFUSION, "README.md", "--split", "test"], "belong to a manifest"),
        ([EFFUSION, "README.md", "--model", "a", "--model=b"], "--model: takes one model"),
        ([EFFUSION, "README.md", "--table", "-o", "x.jsonl"], "contradict"),
    ],
)
def test_wrong_usage_is_said_in_one_line(tier: Tier, arguments: list[str], part: str) -> None:
    code, out, err = tier("check", *arguments)
    assert (code, out) == (2, "")
    assert part in err
    assert len(err.splitlines()) == 1


def test_an_empty_report_is_refused(tier: Tier, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    code, _, err = tier("check", EFFUSION, empty)
    assert (code, "is empty" in err) == (2, True)


def test_closed_stdin_is_wrong_usage(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    code, _, err = tier("check", EFFUSION, "-")
    assert code == 2
    assert "stdin is closed" in err
