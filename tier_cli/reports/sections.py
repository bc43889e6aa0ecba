"""Extract sections from radiology reports and clean them of de-identification marks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache

# The parts of a report that can be asked for.
PARTS = ("impression", "findings", "both")

# A line that starts with capitals up to a colon, as in MIT-LCP/mimic-cxr, or with a section's name.
_HEADER = re.compile(
    r"^ ?([A-Z][A-Z ()/,&-]*|Impression|Findings|Conclusions?|Indication|Comparison|Technique):(?=\s|$)",
    re.MULTILINE,
)
_IN_LINE = re.compile(r"(?<=\S)[ \t]+IMPRESSION:(?=[ \t]*\S)")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
# CheXzero ends the impression here: what follows addresses colleagues, it does not describe the image.
_ADVICE = re.compile(r"\b(?:RECOMMENDATION(?:\(S\)|S)?|NOTIFICATION(?:\(S\)|S)?)\s*:")
# Marks of de-identification.
BLANK = re.compile(r"_{2,}|\[\*\*[^\[\]\n]*\*\*\]|\bX{3,}\b")
_SAID = re.compile(r"[^\W_]")
_SPACES = re.compile(r"\s+")
_LOST_BEFORE_STOP = re.compile(r"\s+([.,;:])")
_REPEATED_STOP = re.compile(r"([.,;:])(?:\s*[.,;:])+")
_IMPRESSION, _FINDINGS = "impression", "findings"
_NAMES: Mapping[str, str] = {
    "impression": _IMPRESSION,
    "conclusion": _IMPRESSION,
    "conclusions": _IMPRESSION,
    "findings and impression": _IMPRESSION,
    "findings/impression": _IMPRESSION,
    "findings": _FINDINGS,
    "finding": _FINDINGS,
}
# Some reports head their findings with the views taken: "CHEST, TWO VIEWS:", "PA AND LATERAL:".
_VIEWS = re.compile(
    r"chest|portable|(?:pa|ap|frontal) and|lateral and|(?:one|two|frontal|pa|ap|lateral) views?|ribs|upright"
)
_NEITHER = (
    "comparison",
    "comparisons",
    "indication",
    "examination",
    "exam",
    "technique",
    "history",
    "addendum",
)
# What addresses colleagues.
_ADDRESSED = ("recommendation", "notification", "reason for exam", "reason for examination")


def section(text: str, which: str) -> str:
    """Return one part of a report.

    Parameters
    ----------
    text
        The whole report.
    which
        ``impression``, ``findings``, or ``both`` (findings, then impression).

    Returns
    -------
    str
        The part, cleaned by `clean`. Of a report without either section it is the last paragraph, as in
        MIMIC's own parser; of a report that has only the other section, or nothing, it is ``""``.
    """
    parts = sections(text)
    if _IMPRESSION not in parts and _FINDINGS not in parts:
        return clean(parts.get("last_paragraph", ""))
    return joined(parts.get(_FINDINGS, ""), parts.get(_IMPRESSION, ""), which)


def joined(findings: str, impression: str, which: str) -> str:
    """Return the part `which` of a report whose two sections are already separate."""
    wanted = {_IMPRESSION: (impression,), _FINDINGS: (findings,), "both": (findings, impression)}[which]
    return " ".join(part for part in (clean(text) for text in wanted) if part)


def sections(text: str) -> dict[str, str]:
    """Split a report at its headers: name -> text. Of sections with one name the last non-empty one counts.

    A report without impression and findings has a ``last_paragraph``: what follows the first blank line of
    its last section.
    """
    found = list(_HEADER.finditer(text))
    starts = [match.start() for match in found]
    ends = [*starts[1:], len(text)][: len(found)]
    parts: dict[str, str] = {}
    last = text[: starts[0]] if starts else text
    for match, end in zip(found, ends, strict=True):
        name, part = _name(match[1]), text[match.end() : end]
        if part.strip():
            parts[name] = part
        if part.strip() or name not in (_IMPRESSION, _FINDINGS):
            last = part
    if _IMPRESSION not in parts and (within := list(_IN_LINE.finditer(text))):
        # CheXzero takes what follows the last of them, wherever in a line it is.
        begin = within[-1].end()
        parts[_IMPRESSION] = text[begin : min((s for s in starts if s > begin), default=len(text))]
    if _IMPRESSION not in parts and _FINDINGS not in parts:
        rest = _PARAGRAPH.split(last.strip("\n"), maxsplit=1)
        if len(rest) == 2:
            parts["last_paragraph"] = rest[1]
    return parts


def clean(text: str) -> str:
    """Cut advice and notifications, remove de-identification blanks, and collapse white space."""
    text = _ADVICE.split(text, maxsplit=1)[0]
    text = _SPACES.sub(" ", BLANK.sub(" ", text))
    text = _REPEATED_STOP.sub(r"\1", _LOST_BEFORE_STOP.sub(r"\1", text))
    text = text.lstrip(" .,;:-").rstrip(" ,;:")
    return text if re.search(r"\w", text) else ""


def section_name(header: str, alone: bool = False) -> str | None:
    """Return the section that a header opens, under one name; None if it is no section's name.

    Parameters
    ----------
    header
        The header without its colon.
    alone
        Whether it stands on a line of its own without a colon, where only a section's exact name counts.

    Examples
    --------
    >>> section_name("CONCLUSIONS"), section_name("PA and lateral views"), section_name("LUNGS")
    ('impression', 'findings', None)
    """
    plain = " ".join(header.lower().split())
    if (one := plain.replace("(s)", "").rstrip("s")) in _ADDRESSED:
        return one
    known = {*_NAMES, *_NEITHER}
    if alone:
        return _name(header) if plain in known else None
    name = _name(header)
    return name if name in {*_NAMES.values(), *_NEITHER} else None


def is_blank_text(text: str) -> bool:
    """Return whether a text has no word or number but de-identification blanks, or is a table's ``nan``."""
    return text.strip().lower() == "nan" or not _SAID.search(BLANK.sub(" ", text))


@lru_cache(maxsize=1000)
def _name(header: str) -> str:
    name = " ".join(header.lower().split())
    if name in _NAMES:
        return _NAMES[name]
    if name in _NEITHER:
        return name
    for whole in (_IMPRESSION, _FINDINGS, "history", "comparison", "addendum"):
        if whole in name:
            return whole
    if misspelt := get_close_matches(name, (_IMPRESSION, _FINDINGS), n=1, cutoff=0.85):
        return misspelt[0]
    return _FINDINGS if _VIEWS.search(name) else name
