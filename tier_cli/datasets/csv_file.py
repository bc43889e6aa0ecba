"""Read a user's CSV file: comma, semicolon or tab, UTF-8 or UTF-16, every row as long as the header."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from io import BufferedReader
from itertools import chain
from pathlib import Path

from tier_cli.errors import ManifestError
from tier_cli.files.csv_cells import LONGEST_CELL, bounded_lines, plain_cell


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read header and rows of a file, gzipped where its name ends in ``.gz``.

    Cells are stripped, and freed of the mark that `safe_cell` sets. Blank lines and Excel's line ``sep=;``
    are skipped.

    Raises
    ------
    ManifestError
        The file is missing, damaged or not text in UTF-8 or UTF-16, has no rows or a ragged row.
    """
    lines: list[list[str]] = []
    # A mask is one cell and is often longer than the module's default limit of 131,072 characters.
    csv.field_size_limit(LONGEST_CELL)
    try:
        with _opened(path) as file, _decoded(file) as decoded:
            text = _lines(path, decoded)
            first = next(text, "")
            if first[:4].lower() == "sep=":
                first = next(text, "")
            delimiter = max(",;\t", key=first.count)
            # Without strict, a file that was cut within quotes would pass for a complete one.
            reader = csv.reader(chain([first], text), delimiter=delimiter, strict=True)
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
    except FileNotFoundError as error:
        raise ManifestError("no such file", where=str(path), remedy="check the path") from error
    except (EOFError, zlib.error) as error:
        raise ManifestError(
            f"is truncated or damaged ({error})", where=str(path), remedy="copy or download the file again"
        ) from error
    except UnicodeDecodeError as error:
        raise ManifestError("is not UTF-8 text", where=str(path), remedy="save it as CSV in UTF-8") from error
    except OSError as error:
        raise ManifestError(
            f"cannot be read ({error.strerror or error})", where=str(path), remedy="check its permissions"
        ) from error
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


def _opened(path: Path) -> BufferedReader | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _decoded(file: BufferedReader | gzip.GzipFile) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding=_encoding_of(file.peek(200)[:200]), newline="")


def _lines(path: Path, text: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines of a file, one in memory at a time, or refuse what is no text of lines."""
    for line in bounded_lines(text, str(path)):
        if "\0" in line:
            raise ManifestError(
                "holds NUL characters, so it is not text", where=str(path), remedy="save it as CSV in UTF-8"
            )
        yield line


def _encoding_of(head: bytes) -> str:
    """Recognise UTF-8 or, as spreadsheets write it, UTF-16, with or without a byte order mark."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a mark: every other byte of a header in Latin letters is NUL.
    for encoding, start in (("utf-16-le", 1), ("utf-16-be", 0)):
        others = head[start::2]
        if len(others) > 1 and others.count(0) > len(others) / 2:
            return encoding
    return "utf-8-sig"
