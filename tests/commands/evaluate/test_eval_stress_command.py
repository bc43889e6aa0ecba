"""`tier eval --corrupt --prompt-sensitivity --grounding` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tier_cli.imaging.corrupt import LEVELS
from tier_cli.phantom.image_files import write_png
from tier_cli.phantom.render import make_phantom

Tier = Callable[..., tuple[int, str, str]]
OPTIONS = ("--findings", "chexpert5", "--replicates", "20", "--workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten wide phantoms, half of them with an effusion and its box, one file missing."""
    folder = tmp_path_factory.mktemp("stress")
    rows = ["path;patient;pleural effusion;boxes"]
    for number in range(10):
        phantom = make_phantom(number, ["effusion"] if number % 2 else [], (72, 96))
        if number != 4:
            write_png(folder / f"{number}.png", phantom)
        boxes = [{"finding": "Effusion", "box": list(box)} for box in phantom.boxes.get("effusion", ())]
        cell = json.dumps(boxes).replace('"', '""')
        rows.append(f'{number}.png;p{number // 2};{number % 2};"{cell}"')
    (folder / "m.csv").write_text("\n".join(rows))
    return folder / "m.csv"


def test_sections_are_added_to_the_table(tier: Tier, model: str, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    asked = ("--corrupt", "jpeg,inversion", "--prompt-sensitivity", "--grounding", "-o", out)
    code, _, told = tier("eval", "--data", data, "--model", model, *OPTIONS, *asked)
    assert code == 3, "one image is missing"
    document = json.loads(out.read_text())
    robustness, prompts, grounding = (
        document["sections"][name] for name in ("robustness", "prompts", "grounding")
    )
    measured = next(f for f in document["scores"][0]["findings"] if f["finding"] == "pleural_effusion")
    assert robustness["clean"]["findings"][0]["auc"]["value"] == measured["auc"]["value"]
    assert [row["level"] for row in robustness["corruptions"]] == [*LEVELS["jpeg"], 1]
    assert (robustness["n"], prompts["n"]) == (9, 9)
    assert prompts["findings"][0]["combined"] == measured["auc"]["value"]
    assert (grounding["cases"], grounding["findings"][0]["finding"]) == (5, "pleural_effusion")
    for title in ("Corrupted images", "Prompts", "Grounding"):
        assert f"\n{title}: " in told
    table = told[told.index("Prompts: ") : told.index("Grounding: ")]
    assert "Pleural effusion" in table, "people read names, programs ids"
    assert "pleural_effusion" not in table


def test_the_same_command_gives_the_same_numbers(tier: Tier, model: str, data: Path) -> None:
    asked = ("--corrupt", "noise,rotation", "--seed", "5")
    one, two = (tier("eval", "--data", data, "--model", model, *OPTIONS, *asked)[1] for _ in range(2))
    assert json.loads(one)["sections"] == json.loads(two)["sections"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--corrupt", "fog"), "unknown corruption 'fog'; choose from all, noise"),
        (("--corrupt", " , "), "--corrupt: no kind is named"),
        (("--grounding-protocol", "radzer"), "--grounding-protocol: no protocol 'radzer' (did you mean"),
        (("--grounding-protocol", ""), "--grounding-protocol: no protocol is named"),
    ],
)
def test_impossible_options_are_refused_before_a_model_is_opened(
    tier: Tier, data: Path, asked: tuple[str, ...], message: str
) -> None:
    code, _, told = tier("eval", "--data", data, "--model", "no-such-model", *asked)
    assert code == 2
    assert message in " ".join(told.split())


def test_grounding_without_regions_is_refused(tier: Tier, data: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    bare.write_text("path,effusion\nabsent.png,1\n")
    code, _, told = tier("eval", "--data", bare, "--model", "no-such-model", "--grounding")
    assert code == 2
    assert "no image has a box or a mask; --grounding needs a column boxes or mask" in told


def test_sections_that_need_a_model_refuse_files_of_scores(tier: Tier, data: Path, tmp_path: Path) -> None:
    (tmp_path / "peer.csv").write_text("path,effusion\nabsent.png,1\n")
    asked = ("--scores", tmp_path / "peer.csv", "--findings", "nih14", "--corrupt", "blur")
    code, _, told = tier("eval", "--data", data, *asked)
    assert code == 2
    assert "--corrupt: needs a model, not scores from a file" in told


def test_groups_are_never_patients(tier: Tier, data: Path) -> None:
    """Patient keys would appear in every table and file."""
    code, _, told = tier("eval", "--data", data, "--model", "no-such-model", "--by", "sex,Patient")
    assert code == 2
    assert "cannot group by the column 'Patient'" in told


def test_interrupting_a_section_keeps_the_numbers(
    tier: Tier, model: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tier_cli.evaluation.sections.robustness._measure", stopped)
    output = tmp_path / "numbers.json"
    code, _, told = tier(
        "eval", "--data", data, "--model", model, *OPTIONS, "--corrupt", "blur", "--output", output
    )
    assert code == 130
    assert f"Interrupted: the numbers measured so far are in {output}; not measured: robustness." in told
    assert "evaluate them with --scores FILE.csv" in told
    document = json.loads(output.read_text())
    assert document["scores"][0]["macro"]["auc"]["value"] is not None
    assert document["sections"] == {}
    assert (document["complete"], document["missing"]) == (False, ["robustness"])


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("scoring_run.ScoringRun.score", "Interrupted before the first number; nothing was written."),
        ("sections.robustness._measure", "Interrupted; nothing was written. With --output FILE, finished"),
    ],
)
def test_interrupting_says_what_is_lost(
    tier: Tier, model: str, data: Path, monkeypatch: pytest.MonkeyPatch, module: str, said: str
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"tier_cli.evaluation.{module}", stopped)
    code, out, told = tier("eval", "--data", data, "--model", model, *OPTIONS, "--corrupt", "blur")
    assert (code, out) == (130, "")
    assert said in told
    assert "The same command starts from the beginning." in told


def test_a_run_that_is_killed_leaves_a_file_that_says_what_it_lacks(
    tier: Tier, model: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing runs after a kill: what is on the disk then must not look whole."""
    output = tmp_path / "numbers.json"
    left: list[dict[str, object]] = []

    def killed(*_: object) -> None:
        left.append(json.loads(output.read_text()))
        raise SystemExit(137)

    monkeypatch.setattr("tier_cli.evaluation.sections.robustness._measure", killed)
    asked = ("--grounding", "--corrupt", "blur", "--prompt-sensitivity", "--output", output)
    tier("eval", "--data", data, "--model", model, *OPTIONS, *asked)
    assert left[0]["complete"] is False
    assert set(left[0]["missing"]) == {"robustness", "prompts", "grounding"} - set(left[0]["sections"])  # type: ignore[call-overload]


def test_a_whole_document_says_that_it_is_complete(
    tier: Tier, model: str, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "numbers.json"
    tier("eval", "--data", data, "--model", model, *OPTIONS, "--corrupt", "blur", "--output", output)
    document = json.loads(output.read_text())
    assert (document["complete"], document["missing"]) == (True, [])
