"""Read a user's CSV file: comma, semicolon or tab, UTF-8 or UTF-16, every row as long as the header."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from pathlib import Path

from tier_cli.errors import ManifestError
from tier_cli.files.csv_cells import plain_cell

_LONGEST_CELL = 1 << 28


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read header and rows of a file, gzipped where its name ends in ``.gz``.

    Cells are stripped, and freed of the mark that `safe_cell` sets. Blank lines and Excel's line ``sep=;``
    are skipped.

    Raises
    ------
    ManifestError
        The file is missing, damaged or not text in UTF-8 or UTF-16, has no rows or a ragged row.
    """
    try:
        content = path.read_bytes()
        text = _decoded(gzip.decompress(content) if path.suffix == ".gz" else content)
    except FileNotFoundError as error:
        raise ManifestError("no such file", where=str(path), remedy="check the path") from error
    except (EOFError, zlib.error) as error:
        raise ManifestError(
            f"is truncated or damaged ({error})", where=str(path), remedy="copy or download the file again"
        ) from error
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"is not UTF-8 text (from byte {error.start} on)",
            where=str(path),
            remedy="save it as CSV in UTF-8",
        ) from error
    except OSError as error:
        raise ManifestError(
            f"cannot be read ({error.strerror or error})", where=str(path), remedy="check its permissions"
        ) from error
    if "\0" in text:
        raise ManifestError(
            "holds NUL characters, so it is not text", where=str(path), remedy="save it as CSV in UTF-8"
        )
    if text[:4].lower() == "sep=":
        text = text.partition("\n")[2]
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    lines: list[list[str]] = []
    # A mask is one cell and is often longer than the module's default limit of 131,072 characters.
    csv.field_size_limit(_LONGEST_CELL)
    # Without strict, a file that was cut within quotes would pass for a complete one.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            row = [plain_cell(cell.strip()) for cell in cells]
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


def _decoded(content: bytes) -> str:
    """Decode UTF-8 or, as spreadsheets write it, UTF-16, with or without a byte order mark.

    Raises
    ------
    UnicodeDecodeError
        It is neither.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    # Without a mark: every other byte of a header in Latin letters is NUL.
    for encoding, start in (("utf-16-le", 1), ("utf-16-be", 0)):
        head = content[start:200:2]
        if len(head) > 1 and head.count(0) > len(head) / 2:
            return content.decode(encoding)
    return content.decode("utf-8-sig")
