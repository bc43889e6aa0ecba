"""Write text into CSV so that no spreadsheet runs it as a formula, read it back, and bound what is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

from tier_cli.errors import ManifestError

# Spreadsheets run cells that start so; a quotation mark before them makes them text.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKED = re.compile(r"'+[=+\-@\t\r]")


# A mask of 4,000 x 4,000 pixels as run lengths has up to 16 million characters.
LONGEST_CELL = 1 << 24
_LONGEST_LINE = 2 * LONGEST_CELL


def bounded_lines(text: TextIO, where: str) -> Iterator[str]:
    """Yield the lines of a file, one in memory at a time.

    Raises
    ------
    ManifestError
        A line has no end in sight.
    """
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise ManifestError(
                f"holds a line of more than {_LONGEST_LINE:,} characters",
                where=where,
                remedy="check whether it is a CSV file with one line per image",
            )
        yield line


def safe_cell(text: str) -> str:
    """Return the text with ``'`` before it where a spreadsheet would run it; numbers stay as they are.

    Examples
    --------
    >>> [safe_cell(text) for text in ("=1+1", "-scan.dcm", "-0.25", "a.dcm")]
    ["'=1+1", "'-scan.dcm", '-0.25', 'a.dcm']
    """
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def plain_cell(text: str) -> str:
    """Undo `safe_cell`.

    Examples
    --------
    >>> [plain_cell(text) for text in ("'=1+1", "-0.25", "'quoted'")]
    ['=1+1', '-0.25', "'quoted'"]
    """
    return text[1:] if _MARKED.match(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
