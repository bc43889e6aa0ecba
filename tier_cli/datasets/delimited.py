"""Tables of text: CSV with comma, semicolon or tab, every row as long as the header."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path

from tier_cli.errors import ManifestError

_LONGEST_CELL = 1 << 28


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read header and rows of a file, gzipped where its name ends in ``.gz``.

    Cells are stripped, blank lines passed over.

    Raises
    ------
    ManifestError
        The file is absent, is damaged, is not UTF-8 text, has no rows or a ragged one.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ManifestError("there is no such file", where=str(path)) from error
    except (EOFError, zlib.error) as error:
        raise ManifestError(f"is cut short or damaged ({error})", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot be read as UTF-8 text ({error})", where=str(path)) from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    lines: list[list[str]] = []
    # A mask is one cell; the module's own limit of 131,072 characters is less than many a mask has.
    csv.field_size_limit(_LONGEST_CELL)
    # Strict, or a file that was cut within quotes would be read as a whole one.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if not any(row):
                continue
            if lines and len(row) != len(lines[0]):
                raise ManifestError(
                    f"line {reader.line_num} has {len(row)} cells, the header has {len(lines[0])}",
                    where=str(path),
                    remedy="quote cells that hold the separator; or was the file cut?",
                )
            lines.append(row)
    except csv.Error as error:
        raise ManifestError(
            f"line {reader.line_num} is not CSV ({error})",
            where=str(path),
            remedy="was the file cut, or a quote not doubled?",
        ) from error
    if len(lines) < 2:
        raise ManifestError(
            "has no rows", where=str(path), remedy="write a header line and one line an image"
        )
    return lines[0], lines[1:]
