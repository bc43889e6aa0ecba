"""Verdicts follow from scores, operating points and ordinary ranges."""

from __future__ import annotations

import pytest

from tier_cli.reports.mentions import Mention
from tier_cli.reports.negation import Stance
from tier_cli.results.record import FindingScore, Reference
from tier_cli.scoring.support import judge, poorly_told, verdict_of

RANGE = Reference(threshold=0.1, low=-0.2, high=0.3, probability=0.2)


def mention(stance: Stance, finding: str = "effusion") -> Mention:
    return Mention(finding, stance, 0, 1)


def image(
    score: float, finding: str = "effusion", reference: Reference | None = RANGE
) -> dict[str, FindingScore]:
    call = None if reference is None else score >= reference.threshold
    return {finding: FindingScore(finding, score, None, call, reference)}


@pytest.mark.parametrize(
    ("stance", "score", "verdict"),
    [
        ("affirmed", 0.1, "supported"),
        ("affirmed", 0.09, "doubtful"),
        ("affirmed", -0.2, "doubtful"),
        ("affirmed", -0.21, "not_supported"),
        ("negated", 0.09, "supported"),
        ("negated", -0.9, "supported"),
        ("negated", 0.1, "doubtful"),
        ("negated", 0.3, "doubtful"),
        ("negated", 0.31, "not_supported"),
        ("uncertain", 0.9, "cannot_tell"),
    ],
)
def test_verdict_by_score(stance: Stance, score: float, verdict: str) -> None:
    (claim,) = judge([mention(stance)], [image(score)], frozenset())
    assert claim.verdict == verdict
    assert bool(claim.reason) == (verdict == "cannot_tell")


def test_the_image_where_the_finding_stands_highest_decides() -> None:
    images = [image(-0.1), image(0.4), image(0.0)]
    (affirmed,) = judge([mention("affirmed")], images, frozenset())
    (denied,) = judge([mention("negated")], images, frozenset())
    assert (affirmed.verdict, affirmed.image) == ("supported", 1)
    assert (denied.verdict, denied.image) == ("not_supported", 1)


def test_no_verdict_without_calibration_or_where_the_model_tells_poorly() -> None:
    (claim,) = judge([mention("negated")], [image(0.9, reference=None)], frozenset())
    assert claim.verdict == "cannot_tell"
    (claim,) = judge([mention("negated")], [image(0.9)], frozenset({"effusion"}))
    assert claim.verdict == "cannot_tell"


def test_a_sentence_that_says_both_is_not_judged() -> None:
    claims = judge([mention("affirmed"), mention("negated")], [image(0.9)], frozenset())
    assert [claim.verdict for claim in claims] == ["cannot_tell", "cannot_tell"]


def test_the_worst_claim_is_the_verdict() -> None:
    scores = image(0.4) | image(0.5, "edema") | image(0.2, "mass")
    claims = judge([mention("negated"), mention("affirmed", "edema")], [scores], frozenset())
    assert verdict_of(claims) == "not_supported"
    assert verdict_of(claims[1:]) == "supported"
    assert verdict_of([]) == "cannot_tell"
    half = judge([mention("affirmed", "edema"), mention("affirmed")], [scores], frozenset({"effusion"}))
    assert verdict_of(half) == "cannot_tell"


def test_findings_told_hardly_better_than_by_chance() -> None:
    def entry(sensitivity: float, specificity: float) -> dict[str, object]:
        return {"cross_validated": {"sensitivity": sensitivity, "specificity": specificity}}

    findings = {"mass": entry(0.6, 0.55), "effusion": entry(0.6, 0.75), "edema": {}, "hernia": entry(0, 1)}
    assert poorly_told({"findings": findings}) == {"mass", "hernia"}
    assert poorly_told({}) == frozenset()
