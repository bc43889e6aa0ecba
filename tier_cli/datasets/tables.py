"""Read the CSV tables and JSON files of public data sets: columns by name, blank cells kept."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import ManifestError
from tier_cli.files.csv_cells import bounded_lines

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read columns of a CSV table, plain or gzipped.

    Parameters
    ----------
    path
        The file.
    needed
        Columns that must exist; names are compared without surrounding spaces.
    optional
        Columns that are read where they exist.

    Returns
    -------
    pandas.DataFrame
        The columns in the order asked for, every cell stripped text, blank cells ``""``.

    Raises
    ------
    ManifestError
        The file cannot be read, lacks a column, or has a ragged line.
    """
    lines = table_lines(path)
    header = next(lines)
    missing = [name for name in needed if name not in header]
    if missing:
        raise ManifestError(
            f"no column {', '.join(map(repr, missing))}",
            where=str(path),
            remedy=f"the columns are {', '.join(name for name in header if name)}",
        )
    names = [*needed, *(name for name in optional if name in header)]
    return _frame(names, [header.index(name) for name in names], lines)


def _frame(names: Sequence[str], places: Sequence[int], lines: Iterator[list[str]]) -> pd.DataFrame:
    import pandas as pd

    columns: list[list[str]] = [[] for _ in names]
    # One object per distinct cell: tables of labels repeat a handful of texts millions of times.
    known: dict[str, str] = {}
    for cells in lines:
        for column, place in zip(columns, places, strict=True):
            cell = cells[place].strip()
            column.append(known.setdefault(cell, cell))
    return pd.DataFrame(dict(zip(names, columns, strict=True)), dtype=object)


def table_columns(path: Path) -> list[str]:
    """Return the stripped column names of a table."""
    return next(table_lines(path))


def table_lines(path: Path) -> Iterator[list[str]]:
    """Yield the stripped header, then the cells of each line, as many as the header has.

    Blank lines are skipped and blank cells beyond the header are cut. A line that ends before columns
    without a name is filled up, as NIH's list of boxes needs.

    Raises
    ------
    ManifestError
        The file cannot be read as UTF-8 CSV, is empty, or a line is too short or too long.
    """
    try:
        with _open_text(path) as stream:
            reader = csv.reader(bounded_lines(stream, str(path)))
            header: list[str] | None = None
            for cells in reader:
                if header is None:
                    header = [cell.strip() for cell in cells]
                    yield header
                elif len(cells) == len(header):
                    yield cells
                elif cells:
                    yield _fit_to_header(cells, header, path, reader.line_num)
            if header is None:
                raise ManifestError("the table is empty", where=str(path), remedy="download it again")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(
            f"cannot be read as a table ({error})", where=str(path), remedy="download it again"
        ) from error


def _open_text(path: Path) -> io.TextIOWrapper:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _fit_to_header(cells: list[str], header: list[str], path: Path, line: int) -> list[str]:
    extra, missing = cells[len(header) :], header[len(cells) :]
    if any(cell.strip() for cell in extra) or any(missing):
        raise ManifestError(
            f"line {line} has {len(cells)} cells, the header has {len(header)}",
            where=str(path),
            remedy="download it again, or check whether its last line was cut",
        )
    return [*cells[: len(header)], *([""] * len(missing))]


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ManifestError
        It cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(
            f"cannot be read as JSON ({type(error).__name__})", where=str(path), remedy="download it again"
        ) from error
