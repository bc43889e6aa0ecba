"""Tell whether a report affirms, denies or only considers what it names.

The rules are those of NegEx (Chapman et al., "A simple algorithm for identifying negated findings and
diseases in discharge summaries", J Biomed Inform 2001) with its later ends of scope, and with words of
radiology.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

Stance = Literal["affirmed", "negated", "uncertain"]

# How many characters away a phrase still says something; no clause that people read is longer.
_REACH = 500
# Also ends of what a phrase says: a new clause after a comma, a colon or a semicolon.
_CLAUSE = re.compile(
    r"[;:]\s(?!none|negative|absent|no$)"
    r"|,\s+(?=(?:with|and|the|a|an|but|there|mild|moderate|severe|small|large|stable|new)\s)",
    re.IGNORECASE,
)


def stance(text: str, start: int, end: int) -> Stance:
    """Return what a sentence says of the part from `start` to `end`.

    A word such as "no" denies what follows, and a phrase such as "is not seen" what precedes, up to the end
    of the clause. Both win over words that leave it open, such as "possible".

    Parameters
    ----------
    text
        The sentence.
    start, end
        The part of it that names something.

    Examples
    --------
    >>> text = "No effusion, but possible edema; the heart is enlarged."
    >>> [stance(text, *re.search(name, text).span()) for name in ("effusion", "edema", "heart")]
    ['negated', 'uncertain', 'affirmed']
    """
    first = max(0, start - _REACH)
    text, start, end = text[first : end + _REACH], start - first, end - first
    before, after = _scope(_without("pseudo", text), start, end)
    if _phrases("before").search(_without("open_before", before)):
        return "negated"
    if _phrases("after").search(_without("open_after", after)):
        return "negated"
    left_open = _phrases("open_before").search(before) or _phrases("open_after").search(after)
    return "uncertain" if left_open else "affirmed"


def _scope(text: str, start: int, end: int) -> tuple[str, str]:
    """Return what stands before and after a part within its clause."""
    first, last = 0, len(text)
    for pattern in (_phrases("ends"), _CLAUSE):
        for match in pattern.finditer(text):
            if match.end() <= start:
                first = max(first, match.end())
            elif match.start() >= end:
                last = min(last, match.start())
    return text[first:start], text[end:last]


def _without(group: str, text: str) -> str:
    """Blank the phrases of a group, so that words within them do not count; the length stays."""
    return _phrases(group).sub(lambda match: "~" * len(match[0]), text)


@cache
def _phrases(group: str) -> re.Pattern[str]:
    data = tomllib.loads(files("tier_cli.reports").joinpath("negation.toml").read_text(encoding="utf-8"))
    inner = "|".join(phrase.replace(" ", r"\s+") for phrase in data[group])
    return re.compile(rf"(?<![\w-])(?:{inner})(?![\w-])", re.IGNORECASE)
