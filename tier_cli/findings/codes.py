"""Check the codes of findings."""

from __future__ import annotations

import re

from tier_cli.findings.schema import Code

# PS3.16 section 8 registers designators; those that begin with 99 are free for private schemes.
_SCHEMES = ("SCT", "RADLEX", "DCM", "UMLS", "LN")
_PRIVATE = re.compile(r"99[A-Z0-9_]{1,14}")
_VALUES = {"SCT": r"[1-9][0-9]{5,17}", "RADLEX": r"RID[0-9]{1,9}", "DCM": r"[0-9]{6}"}
# Of the code meaning (LO). A code value may be longer than an SH: it is then a Long Code Value.
_LONGEST = 64


def code_fault(code: Code) -> tuple[str, str] | None:
    """Return what is wrong with a code and what to do about it; None if nothing is.

    Examples
    --------
    >>> code_fault(Code("SCT", "36118008", "Pneumothorax"))
    >>> code_fault(Code("SCT", "36118009", "Pneumothorax"))
    ("'36118009' is not a code of SCT", 'copy it from the scheme: its check digit is wrong')
    """
    if code.scheme not in _SCHEMES and not _PRIVATE.fullmatch(code.scheme):
        remedy = f"use {', '.join(_SCHEMES)}, or a private scheme such as 99HOSPITAL"
        return f"{code.scheme!r} is not a known coding scheme", remedy
    what = f"{code.value!r} is not a code of {code.scheme}"
    if not re.fullmatch(_VALUES.get(code.scheme, rf"[!-\[\]-~]{{1,{_LONGEST}}}"), code.value):
        return what, "copy it from the scheme"
    if code.scheme == "SCT" and not _is_checked(code.value):
        return what, "copy it from the scheme: its check digit is wrong"
    meaning = code.meaning
    if not meaning.strip() or len(meaning) > _LONGEST or "\\" in meaning or not meaning.isprintable():
        return (
            f"the meaning {meaning!r} is empty, has a backslash or more than {_LONGEST} characters",
            "write the code's text in its scheme",
        )
    return None


def _is_checked(identifier: str) -> bool:
    """Return whether the last digit of a SNOMED CT identifier fits the others (Verhoeff 1969)."""
    permutation, total = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), 0
    for place, digit in enumerate(map(int, reversed(identifier))):
        for _ in range(place % 8):
            digit = permutation[digit]
        total = _product(total, digit)
    return total == 0


def _product(one: int, other: int) -> int:
    """Multiply two elements of the dihedral group of order 10: rotations 0 to 4, reflections 5 to 9."""
    if one < 5:
        return (one + other) % 5 + 5 * (other >= 5)
    return (one - other) % 5 + 5 * (other < 5)
