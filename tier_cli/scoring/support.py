"""Judge what a report says of findings by the scores of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tier_cli.results.checked import Claim, Verdict

if TYPE_CHECKING:
    from tier_cli.reports.mentions import Mention
    from tier_cli.results.record import FindingScore

# The first one that a claim has is the verdict on its sentence.
_FROM_THE_WORST: tuple[Verdict, ...] = ("not_supported", "doubtful", "cannot_tell", "supported")
# Sensitivity plus specificity on patients left out of the fit: 1 is chance.
_LEAST_INFORMED = 1.2

LEFT_OPEN = "the sentence leaves it open"
NOT_CALIBRATED = "no operating point and ordinary range"
TOLD_POORLY = "the model tells it poorly on validation images"
TWO_WAYS = "the sentence both affirms and denies it"


def poorly_told(calibration: Mapping[str, Any]) -> frozenset[str]:
    """Return the findings whose calls say little on validation patients left out of the fit.

    Parameters
    ----------
    calibration
        The content of calibration.json. A finding without cross-validated numbers is taken as told well.
    """
    found = set()
    for name, entry in calibration.get("findings", {}).items():
        validated = entry.get("cross_validated") or {}
        both = [float(validated.get(side, 1)) for side in ("sensitivity", "specificity")]
        if sum(both) < _LEAST_INFORMED:
            found.add(str(name))
    return frozenset(found)


def judge(
    mentions: Sequence[Mention], images: Sequence[Mapping[str, FindingScore]], poor: frozenset[str]
) -> tuple[Claim, ...]:
    """Compare what a sentence says of findings with their scores.

    An affirmed finding is supported from its operating point on, not supported below its ordinary range, and
    doubtful between them. A denied one is supported below its operating point, not supported above its
    ordinary range, and doubtful between them. The image where the finding stands highest decides: a finding
    need be seen in one image only, and a denial holds for all.

    Parameters
    ----------
    mentions
        What the sentence says.
    images
        The calibrated scores of each of one or several images, by finding.
    poor
        The findings that the model tells too poorly to judge.
    """
    return tuple(_claim(mention, mentions, images, poor) for mention in mentions)


def verdict_of(claims: Sequence[Claim]) -> Verdict:
    """Return the verdict on a sentence; ``cannot_tell`` if it claims nothing."""
    found = {claim.verdict for claim in claims}
    return next((verdict for verdict in _FROM_THE_WORST if verdict in found), "cannot_tell")


def _claim(
    mention: Mention,
    all_mentions: Sequence[Mention],
    images: Sequence[Mapping[str, FindingScore]],
    poor: frozenset[str],
) -> Claim:
    scores = [image[mention.finding] for image in images]
    highest = max(range(len(scores)), key=lambda number: scores[number].score)
    score = scores[highest]
    stances = {one.stance for one in all_mentions if one.finding == mention.finding}
    reason = ""
    if mention.stance == "uncertain":
        reason = LEFT_OPEN
    elif stances >= {"affirmed", "negated"}:
        reason = TWO_WAYS
    elif score.reference is None:
        reason = NOT_CALIBRATED
    elif mention.finding in poor:
        reason = TOLD_POORLY
    verdict = "cannot_tell" if reason else _verdict(score, denied=mention.stance == "negated")
    return Claim(mention, verdict, score, highest, reason)


def _verdict(score: FindingScore, denied: bool) -> Verdict:
    if score.call is not denied:
        return "supported"
    reference = score.reference
    if reference is None:
        return "doubtful"
    beyond = score.score > reference.high if denied else score.score < reference.low
    return "not_supported" if beyond else "doubtful"
