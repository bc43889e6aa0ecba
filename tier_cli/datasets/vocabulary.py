"""Collect the words by which reports name the findings of a set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tier_cli.datasets.captions import NORMAL, wordings
from tier_cli.findings.schema import fold
from tier_cli.reports.mentions import Vocabulary, Wording

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet


def vocabulary_of(findings: FindingSet) -> Vocabulary:
    """Return the words for each finding: its label, id, aliases and prompts, and what captions call it.

    The finding that stands for a normal image is left out: it is not one that a sentence affirms or denies.
    """
    known = {fold(name): words for name, words in wordings().items()}
    words = {}
    for finding in findings.findings:
        if finding.id == NORMAL:
            continue
        # Sets differ in names: effusion is pleural_effusion in CheXpert's.
        more = [known[name] for name in dict.fromkeys(map(fold, finding.names)) if name in known]
        words[finding.id] = Wording(
            (
                finding.label,
                *finding.names,
                *finding.positive,
                *(text for one in more for text in one.present),
            ),
            (*finding.negative, *(text for one in more for text in one.absent)),
        )
    return Vocabulary(words)
