"""A checked report is readable at 80 columns, in colour and without."""

from __future__ import annotations

import io

from rich.console import Console

from tier_cli.display.check_table import CheckWriter
from tier_cli.reports.mentions import Mention
from tier_cli.reports.sentences import sentences
from tier_cli.results.checked import Claim, ReportCheck, SentenceCheck, WordFit
from tier_cli.results.record import FindingScore, ModelStamp, Reference

TEXT = (
    "There is no pleural effusion\x1b[31m and the bones that can be seen are all of normal density and shape."
)


def shown(console: Console) -> str:
    score = FindingScore("effusion", 0.4, 0.9, True, Reference(0.1, -0.2, 0.3, 0.2))
    claim = Claim(Mention("effusion", "negated", 12, 28), "not_supported", score, 0)
    (sentence,) = sentences(TEXT)
    words = (WordFit(9, 11, -0.2, True), WordFit(12, 19, 0.1))
    checked = SentenceCheck(sentence, "not_supported", (claim,), (0.1, 0.2), words, (), True)
    stamp = ModelStamp("m", "w", "p", "f")
    writer = CheckWriter(console, {"effusion": "Pleural effusion"}, "mine")
    writer.write(ReportCheck(("a.dcm", "b.dcm"), stamp, "cosine_difference", (checked,), 2, ("old.dcm",)))
    writer.finish()
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_plain_text_says_all_that_colour_says() -> None:
    text = shown(Console(file=io.StringIO(), width=80))
    assert max(map(len, text.splitlines())) <= 80
    for part in (
        "1 a.dcm",
        "prior old.dcm",
        "not supported",
        "Pleural effusion denied: score +0.400, ordinary up to +0.300",
        "misfit: no (-0.200)",
        "the prior supports it",
        "fits image 2 best",
        "2 sentences were not checked",
    ):
        assert part in text
    # Control characters of a report do not reach the terminal.
    assert "\x1b" not in text


def test_misfit_words_are_underlined_on_a_terminal() -> None:
    text = shown(Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard"))
    assert "\x1b[1;4;31mno\x1b[0m" in text
