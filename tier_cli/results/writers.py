"""Write results as JSON Lines, JSON, CSV or Parquet, one by one as they arrive."""

from __future__ import annotations

import csv
import io
import json
from typing import IO, TYPE_CHECKING, Any, Protocol, TextIO, TypeVar

from tier_cli.files.csv_cells import safe_cell

if TYPE_CHECKING:
    from tier_cli.results.record import Result
    from tier_cli.results.rows import Cell, Layout

# Rows are buffered until a Parquet row group is large enough to be worth writing; no writer holds more.
_GROUP_ROWS = 8192

_R = TypeVar("_R", contravariant=True)


class ResultWriter(Protocol[_R]):
    """Write results of one kind, one by one."""

    def write(self, result: _R, /) -> None:
        """Write one result."""
        ...

    def finish(self) -> None:
        """Write the end of the format. The caller closes the file."""
        ...


class Document(Protocol):
    """A result that is one JSON object."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object."""
        ...


class JsonLinesWriter:
    """Write one JSON object per line, in ASCII, so that no locale can garble it."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, result: Document) -> None:
        """Write one line and flush it, for a reader at the other end of a pipe."""
        self._file.write(json.dumps(result.to_dict()) + "\n")
        self._file.flush()

    def finish(self) -> None:
        """Add nothing: JSON Lines has no footer."""


class JsonWriter:
    """Write one JSON array with one result per line."""

    def __init__(self, file: TextIO):
        self._file = file
        self._before = "[\n"

    def write(self, result: Result) -> None:
        """Write one element."""
        self._file.write(self._before + json.dumps(result.to_dict()))
        self._before = ",\n"

    def finish(self) -> None:
        """Close the array."""
        self._file.write("[]\n" if self._before == "[\n" else "\n]\n")


class CsvWriter:
    """Write a CSV table with a header line; `notes` are joined by ``; ``, `paths` are a JSON array.

    Texts that a spreadsheet would run as a formula get a ``'`` before them, see `safe_cell`.
    """

    def __init__(self, file: TextIO, layout: Layout):
        self._file = file
        self._layout = layout
        self._write_rows([list(layout.columns)])

    def write(self, result: Result) -> None:
        """Write the rows of one result at once: an interruption leaves all of them or none."""
        self._write_rows([self._texts(row) for row in self._layout.rows(result)])

    def finish(self) -> None:
        """Add nothing: CSV has no footer."""

    def _texts(self, row: list[Cell]) -> list[Any]:
        return [_csv_text(name, cell) for name, cell in zip(self._layout.columns, row, strict=True)]

    def _write_rows(self, rows: list[list[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue())


class ParquetWriter:
    """Write a Parquet table in row groups."""

    def __init__(self, file: IO[bytes], layout: Layout):
        import pyarrow
        from pyarrow import parquet

        text = pyarrow.string()
        kinds = {
            "text": text,
            "integer": pyarrow.int32(),
            "number": pyarrow.float64(),
            "truth": pyarrow.bool_(),
            "list": pyarrow.list_(text),
        }
        self._layout = layout
        self._schema = pyarrow.schema([(name, kinds[kind]) for name, kind in layout.columns.items()])
        self._from_rows = pyarrow.Table.from_pylist
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, result: Result) -> None:
        """Add one result; rows are written in groups."""
        for row in self._layout.rows(result):
            cells = map(_arrow_value, row)
            self._rows.append(dict(zip(self._layout.columns, cells, strict=True)))
        if len(self._rows) >= _GROUP_ROWS:
            self._flush()

    def finish(self) -> None:
        """Write the last rows and the footer."""
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._writer.write_table(self._from_rows(rows, schema=self._schema))


def _csv_text(name: str, cell: Cell) -> str | int | float | None:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, tuple):
        # A path may contain any separator, so a list of paths needs its own quoting.
        return json.dumps(list(cell)) if name == "paths" else safe_cell("; ".join(cell))
    return safe_cell(cell) if isinstance(cell, str) else cell


def _arrow_value(cell: Cell) -> Any:
    if isinstance(cell, str):
        return utf8(cell)
    if isinstance(cell, tuple):
        return [utf8(text) for text in cell]
    return cell


def utf8(text: str) -> str:
    """Escape lone surrogates: they stand for non-UTF-8 bytes of a file name, and Arrow refuses them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
