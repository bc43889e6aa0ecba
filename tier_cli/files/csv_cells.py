"""Write text into CSV so that no spreadsheet runs it as a formula, and read it back."""

from __future__ import annotations

import re

# Spreadsheets run cells that start so; a quotation mark before them makes them text.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKED = re.compile(r"'+[=+\-@\t\r]")


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
