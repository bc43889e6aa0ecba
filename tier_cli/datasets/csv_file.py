"""Read a user's CSV file: comma, semicolon or tab, every row as long as the header."""

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

    Cells are stripped and blank lines are skipped.

    Raises
    ------
    ManifestError
        The file is missing, damaged or not UTF-8 text, has no rows or a ragged row.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ManifestError("no such file", where=str(path), remedy="check the path") from error
    except (EOFError, zlib.error) as error:
        raise ManifestError(f"is truncated or damaged ({error})", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot be read as UTF-8 text ({error})", where=str(path)) from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    lines: list[list[str]] = []
    # A mask is one cell and is often longer than the module's default limit of 131,072 characters.
    csv.field_size_limit(_LONGEST_CELL)
    # Without strict, a file that was cut within quotes would pass for a complete one.
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
                    remedy="quote cells that contain the separator, and check whether the file was cut",
                )
            lines.append(row)
    except csv.Error as error:
        raise ManifestError(
            f"line {reader.line_num} is not CSV ({error})",
            where=str(path),
            remedy="check whether the file was cut or a quote inside a cell is not doubled",
        ) from error
    if len(lines) < 2:
        raise ManifestError(
            "has no rows", where=str(path), remedy="write a header line and one line per image"
        )
    return lines[0], lines[1:]
