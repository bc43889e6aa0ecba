"""Split reports into sentences that know where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tier_cli.reports.sections import BLANK, is_blank_text, section_name

# Words whose full stop does not end a sentence.
_ABBREVIATIONS = frozenset({
    "dr", "drs", "mr", "mrs", "ms", "prof", "st", "vs", "approx", "ca", "cf", "eg", "ie", "e.g", "i.e",
    "viz", "incl", "resp", "fig", "figs", "vol", "hx", "dx", "tx", "fx", "sx",
})  # fmt: skip
# Their stop ends a sentence unless a number or a mark of de-identification follows.
_BEFORE_NUMBERS = frozenset({
    "no", "nos", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "mon", "tue", "wed", "thu", "fri",
})  # fmt: skip
# A line that ends so goes on in the next one.
_LINKING = frozenset({
    "a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "is", "of", "on", "or", "the",
    "to", "with",
})  # fmt: skip
# Possessive, here and below: going back finds nothing more, and takes minutes in a hostile text.
_STOP = re.compile(r"(?<![.!?])[.!?]++[)\]\"'\u201d\u2019]*+(?=\s|$)")
_WORD_BEFORE = re.compile(r"[^\s(\[\"']*$")
_INITIAL = re.compile(r"[A-Z]")
# A vertebra, a rib or a lead: "T1. and T2".
_CODE = re.compile(r"[A-Z]{1,2}\d{1,2}")
# "1." and "2)", but not "1.5"; "(1)"; and the usual bullets.
_ITEM = r"(?:\(?\d{1,2}[.)](?!\d)|\(\d{1,2}\)|[-*+\u2022\u2023\u25aa\u25cf\u00b7\u2013](?=\s))"
_MARKER = re.compile(rf"\s*{_ITEM}\s*")
_NUMBER = re.compile(r"\(?\d{1,2}[.)]$")
_LINE_ITEM = re.compile(rf"[ \t]*{_ITEM}[ \t]*\S")
# A section's name with a colon, at the start of a line or after a sentence; or alone on its line.
_LABEL = re.compile(
    r"(?:^|(?<=[.!?])(?=[ \t]))[ \t#*]*+"
    r"(?P<name>[A-Z][A-Z ()/,&-]*?|[A-Z][a-z]+(?: [a-z]+)?)[*]*:[*]*(?=\s|$)",
    re.MULTILINE,
)
_ALONE = re.compile(r"^[ \t#*]*+(?P<name>[A-Za-z](?:[A-Za-z /]*[A-Za-z/])?)[ \t\r*]*+$", re.MULTILINE)
_TITLE = re.compile(r"^[ \t#*]*(?:FINAL|PRELIMINARY) REPORT[ \t\r*]*$", re.MULTILINE)
_BREAK = re.compile(r"\n[ \t\r]*\n")
_DESCRIBING = ("", "findings", "impression", "addendum")
# Lines as wide as this are taken as wrapped, whatever the rest of the report is like.
_LEAST_WIDTH = 60
# How many characters around a place decide about it.
_NEAR = 200


@dataclass(frozen=True)
class Sentence:
    """One sentence of a report.

    Parameters
    ----------
    text
        The sentence on one line. It is as long as the part of the report: each white-space character is a
        space, so character k of `text` is character `start` + k of the report.
    start, end
        The part of the report, without the marker of a list or the name of a section before it.
    section
        The section that it stands in, such as ``findings``, ``impression`` or ``indication``; empty before
        the first one.
    """

    text: str
    start: int
    end: int
    section: str = ""

    @property
    def describes_image(self) -> bool:
        """Whether it stands where reports describe the image, and not what was asked, done or advised."""
        return self.section in _DESCRIBING


def sentences(text: str) -> list[Sentence]:
    r"""Split a report into its sentences, in order.

    Sections, blank lines and items of lists end a sentence, with or without a full stop. A single line break
    does so only before a capital that would have fitted on the line, unless the line ends
    in a comma or a word such as "of". Abbreviations, decimals, and marks of
    de-identification (``___``, ``XXXX``, ``[**...**]``) do not. What says nothing, such as ``___.``, is left
    out.

    Parameters
    ----------
    text
        The report as it was read.

    Examples
    --------
    >>> for one in sentences("FINDINGS: A 2.5 cm nodule, seen by\nDr. ___. Scar\n\nIMPRESSION:\n1. Nodule"):
    ...     print(one.section, one.start, one.text)
    findings 10 A 2.5 cm nodule, seen by Dr. ___.
    findings 44 Scar
    impression 65 Nodule
    """
    found = []
    width = max(_LEAST_WIDTH, *map(len, text.splitlines()), 0)
    for start, end, name in _sections(text):
        for first, last in _pieces(text, start, end, width):
            said = text[first:last]
            if not is_blank_text(said):
                found.append(Sentence(re.sub(r"\s", " ", said), first, last, name))
    return found


def _sections(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the parts (start, end, section) between the names of sections."""
    heads = [(match.start(), match.end(), "") for match in _TITLE.finditer(text)]
    for pattern in (_LABEL, _ALONE):
        for match in pattern.finditer(text):
            name = section_name(match["name"], alone=pattern is _ALONE)
            if name is not None:
                heads.append((match.start(), match.end(), name))
    start, section = 0, ""
    for first, last, name in sorted(heads):
        if first >= start:
            yield start, first, section
            start, section = last, name or section
    yield start, len(text), section


def _pieces(text: str, start: int, end: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield the sentences (start, end) of a part without names of sections."""
    ends = sorted({*_line_ends(text, start, end, width), *_stops(text, start, end), end})
    for last in ends:
        marker = _MARKER.match(text, start, last)
        first = marker.end() if marker else start
        said = text[first:last]
        if said.strip():
            first += len(said) - len(said.lstrip())
            yield first, first + len(said.strip())
        start = last


def _line_ends(text: str, start: int, end: int, width: int) -> Iterator[int]:
    for match in re.finditer(r"\n", text[start:end]):
        at = start + match.start()
        line = text[text.rfind("\n", 0, at) + 1 : at].rstrip()
        following = text[at + 1 : min(end, at + _NEAR)]
        word = following.split(maxsplit=1)[0] if following.strip() else ""
        wrapped = len(line) + 1 + len(word) > width or not word[:1].isupper() or _goes_over(line)
        if _LINE_ITEM.match(following) or _BREAK.match(text, at) or not wrapped:
            yield at


def _goes_over(line: str) -> bool:
    """Return whether the last word of a line needs another one."""
    return line.endswith(",") or line.rpartition(" ")[2].lower() in _LINKING


def _stops(text: str, start: int, end: int) -> Iterator[int]:
    # A stop within a mark of de-identification ends nothing.
    shown = text[:start] + BLANK.sub(lambda mark: "_" * len(mark[0]), text[start:end])
    for match in _STOP.finditer(shown, start):
        at = match.start()
        found = _WORD_BEFORE.search(text[max(start, at - _NEAR) : at])
        word = found[0] if found else ""
        following = text[match.end() : min(end, match.end() + _NEAR)].lstrip()
        if not _goes_on(word, following, match[0]) and not _is_marker(text, start, match.end()):
            yield match.end()


def _goes_on(word: str, following: str, stop: str) -> bool:
    """Return whether the sentence goes on after a word with a full stop."""
    if stop != "." or not following:
        return False
    plain, next_one = word.lower(), following[0]
    if plain in _ABBREVIATIONS or (_INITIAL.fullmatch(word) and next_one.isupper()):
        return True
    if plain in _BEFORE_NUMBERS:
        return next_one.isdigit() or BLANK.match(following) is not None
    return _CODE.fullmatch(word) is not None and next_one.islower()


def _is_marker(text: str, start: int, end: int) -> bool:
    """Return whether what ends here is the marker of a list: ``1.`` after a sentence or at the start."""
    number = _NUMBER.search(text[max(start, end - 5) : end])
    if number is None:
        return False
    first = end - len(number[0])
    before = text[max(start, first - _NEAR) : first]
    said = before.rstrip()
    return not said or "\n" in before[len(said) :] or (said != before and said[-1] in ".!?:;")
