"""Find the findings that a sentence names, and whether it affirms or denies them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tier_cli.reports.negation import Stance, stance

_LEADING = re.compile(
    r"^(?:there (?:is|are)|an?|the|presence of|evidence of|findings (?:of|consistent with)) "
)
_TRAILING = re.compile(r" (?:is|are) (?:seen|present|noted|visible|identified)(?: in the (?:lungs?|chest))?$")
_DENIAL = re.compile(r"^(?:no|not|without) ")
_VERB = r"(?:is|are|was|were|remains?|appears?|has been|have been)"
_DEGREE = r"(?:\s+(?:now|again|\w+ly))?"
# "Pericardial effusion" is not the pleural effusion that a finding set means by "effusion".
_ELSEWHERE = re.compile(
    r"(?:pericardial|joint|knee|cystic|peripheral|leg|pedal|cerebral|soft[- ]tissue|breast|body|skin)\s+$",
    re.IGNORECASE,
)
# How many characters before a name can say where it lies.
_NEAR = 100
_SHARED = re.compile(r"pleural\s+(?:or|and|nor)\s+\S+\s+$", re.IGNORECASE)


@dataclass(frozen=True)
class Wording:
    """The words for one finding.

    Parameters
    ----------
    present
        Names of the finding, and clauses that state it.
    absent
        Clauses that deny it.
    """

    present: tuple[str, ...]
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mention:
    """A finding that a sentence names.

    Parameters
    ----------
    finding
        Id of the finding.
    stance
        Whether the sentence affirms or denies it, or leaves it open.
    start, end
        The part of the sentence that names it.
    """

    finding: str
    stance: Stance
    start: int
    end: int


@dataclass(frozen=True)
class _Pattern:
    finding: str
    words: re.Pattern[str]
    denies: bool


class Vocabulary:
    """The words for the findings of a set.

    Parameters
    ----------
    wordings
        The words for each finding, by its id. A clause that several findings share names none of them.

    Examples
    --------
    >>> words = Vocabulary({"effusion": Wording(("effusion",)), "edema": Wording(("edema",))})
    >>> [(one.finding, one.stance) for one in words.mentions("Small pleural effusions without edema.")]
    [('effusion', 'affirmed'), ('edema', 'negated')]
    """

    def __init__(self, wordings: Mapping[str, Wording]):
        sides = {
            (name, denies): {core for phrase in phrases if (core := _core(phrase))}
            for name, words in wordings.items()
            for denies, phrases in ((False, words.present), (True, words.absent))
        }
        self._patterns = [
            _Pattern(name, _pattern(phrase), denies)
            for (name, denies), phrases in sides.items()
            for phrase in sorted(phrases - _others(sides, name))
            # Rules of negation read these as well.
            if not (denies and _DENIAL.match(phrase))
        ]

    def mentions(self, text: str) -> tuple[Mention, ...]:
        """Return the findings that a sentence names, in its order; one per finding and stance."""
        found = [
            (match.start(), match.end(), pattern)
            for pattern in self._patterns
            for match in pattern.words.finditer(text)
            if not _lies_elsewhere(text[max(0, match.start() - _NEAR) : match.start()])
        ]
        # The longest words say most: "no volume loss" is one thing, not two.
        found.sort(key=lambda one: (one[0] - one[1], one[0], one[2].finding))
        kept: list[Mention] = []
        for start, end, pattern in found:
            if any(
                start < one.end and one.start < end and (start, end) != (one.start, one.end) for one in kept
            ):
                continue
            said: Stance = "negated" if pattern.denies else stance(text, start, end)
            if not any((one.finding, one.stance) == (pattern.finding, said) for one in kept):
                kept.append(Mention(pattern.finding, said, start, end))
        return tuple(sorted(kept, key=lambda one: (one.start, one.finding)))


def _others(sides: Mapping[tuple[str, bool], set[str]], name: str) -> set[str]:
    """Return the phrases of all findings but one."""
    return {phrase for (other, _), phrases in sides.items() if other != name for phrase in phrases}


def _lies_elsewhere(before: str) -> bool:
    return _ELSEWHERE.search(before) is not None and _SHARED.search(before) is None


def _core(phrase: str) -> str:
    """Return a phrase without the frame around its words.

    Examples
    --------
    >>> _core("There is a Small effusion."), _core("Pleural effusion is present")
    ('small effusion', 'pleural effusion')
    """
    core = " ".join(phrase.replace("_", " ").lower().split()).rstrip(".")
    while (shorter := _TRAILING.sub("", _LEADING.sub("", core))) != core:
        core = shorter
    return core


def _pattern(phrase: str) -> re.Pattern[str]:
    *first, last = phrase.split(" ")
    words = [f"{_VERB}{_DEGREE}" if word in ("is", "are") else re.escape(word) for word in first]
    if last.endswith("y"):
        words.append(f"{re.escape(last[:-1])}(?:y|ies)")
    else:
        plural = last.isalpha() and not last.endswith("s")
        words.append(re.escape(last) + ("(?:e?s)?" if plural else ""))
    return re.compile(r"(?<!\w)" + r"[\s-]+".join(words) + r"(?!\w)", re.IGNORECASE)
