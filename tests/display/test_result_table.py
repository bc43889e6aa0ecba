"""Tables for people, at 80 columns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from tier_cli.display.result_table import TableWriter
from tier_cli.results.record import FindingScore, Reference, Result

LABELS = {"effusion": "Pleural effusion", "hernia": "Hiatal hernia"}


def _shown(results: Sequence[Result], encoding: str = "utf-8", run_notes: Sequence[str] = ()) -> str:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding=encoding), width=80)
    writer = TableWriter(console, LABELS, run_notes)
    for result in results:
        writer.write(result)
    writer.finish()
    console.file.flush()
    text = raw.getvalue().decode(encoding)
    assert all(len(line) <= 80 for line in text.splitlines())
    return text


def test_one_image_has_bars_highest_first(scored: Result) -> None:
    text = _shown([replace(scored, findings=scored.findings[::-1])])
    lines = text.splitlines()
    assert lines[0].split() == ["in/a,b.dcm", "PA"]
    effusion, hernia = (next(line for line in lines if label in line) for label in LABELS.values())
    assert lines.index(effusion) < lines.index(hernia)
    assert "+0.123" in effusion
    assert effusion.index("│") < effusion.index("█")
    assert hernia.index("█") < hernia.index("│")
    assert "25%" in hernia
    assert "no" in hernia
    assert "  a note" in lines


def test_calibrated_findings_are_sorted_and_drawn_by_what_is_ordinary_for_them(scored: Result) -> None:
    """Scales differ: the highest score need not be the finding that stands out most."""
    low = FindingScore("hernia", -0.3, 0.4, True, Reference(-0.35, low=-0.6, high=-0.4, probability=0.2))
    high = FindingScore("effusion", 0.2, 0.1, False, Reference(0.4, low=0.1, high=0.5, probability=0.3))
    lines = _shown([replace(scored, findings=(high, low))]).splitlines()
    hernia, effusion = (
        next(i for i, line in enumerate(lines) if name in line) for name in ("Hiatal", "Pleural")
    )
    assert hernia < effusion
    assert lines[hernia].rindex("░") < lines[hernia].index("│") < lines[hernia].index("●")
    assert lines[effusion].index("░") < lines[effusion].index("●") < lines[effusion].index("│")
    assert lines[effusion].index("░") == lines[hernia].index("░"), "one place for what is ordinary"
    assert "*" in _shown([replace(scored, findings=(high, low))], encoding="ascii")
    beyond = replace(low, score=5.0)
    assert "●" in _shown([replace(scored, findings=(beyond,))])
    assert replace(scored, findings=(high, low)).top(1).findings == (low,)
    mixed = replace(scored, findings=(replace(high, reference=None), low))
    assert mixed.top(1).findings == (low,), "findings without a range come last"
    assert "█" not in _shown([mixed])


def test_images_of_a_study_stand_side_by_side(scored: Result) -> None:
    lateral = replace(scored, paths=("b",), view="LATERAL", findings=(FindingScore("effusion", 0.5),))
    other = replace(scored, study="9.9", paths=("c",))
    lines = _shown([scored, lateral, other]).splitlines()
    assert lines[0].split() == ["study", "1.2", "2", "images"]
    assert "1 PA" in lines[3]
    assert "2 LATERAL" in lines[3]
    assert lines[4].split() == ["Pleural", "effusion", "+0.123", "+0.500"]
    assert sum(line.startswith("c") for line in lines) == 1


def test_images_without_a_study_stand_alone(scored: Result) -> None:
    alone = replace(scored, study="")
    assert _shown([alone, alone]).count("in/a,b.dcm") == 2


def test_mean_of_a_study(scored: Result) -> None:
    text = _shown([replace(scored, unit="study", paths=("a", "b"))])
    assert text.splitlines()[0].split() == ["study", "1.2", "2", "images"]
    assert "█" in text


def test_failure_says_why(failed: Result) -> None:
    assert _shown([failed]).splitlines()[:2] == ["in/b.dcm", "  it is a CT"]


def test_notes_on_the_whole_run_are_printed_once(scored: Result) -> None:
    alone = replace(scored, study="")
    text = _shown([alone, alone], run_notes=["a note"])
    assert text.count("a note") == 1
    assert text.count("another") == 2


def test_plain_terminals_get_plain_characters(scored: Result) -> None:
    assert "|#" in _shown([scored], encoding="ascii")


def test_control_characters_never_reach_the_terminal(scored: Result, failed: Result) -> None:
    name = "x\x1b[2Jy\udcff.dcm"
    text = _shown([replace(scored, paths=(name,), study=""), replace(failed, paths=(name,))])
    assert "\x1b" not in text
    assert text.count("x\\x1b[2Jy") == 2


def test_patient_data_only_on_request(scored: Result) -> None:
    known = replace(scored, phi={"patient_name": "Doe^Jane", "patient_id": "7"})
    assert _shown([known, known]).count("patient_name: Doe^Jane, patient_id: 7") == 1
    assert "patient" not in _shown([scored])


def test_long_names_fold(scored: Result) -> None:
    long = "/".join(["folder"] * 30)
    assert _shown([replace(scored, paths=(long,))]).replace("\n", "").startswith(long)


def test_square_brackets_are_not_markup(failed: Result) -> None:
    assert "[red]a.dcm" in _shown([replace(failed, paths=("[red]a.dcm",))])
