"""The tables of public data sets: found under their several names, read by column name, blanks kept."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.registry import WRONG_ROOT, DatasetInfo
from tier_cli.errors import ManifestError

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest

_MOST_CHECKED = 10_000
_NAMED = 3
_SHOWN = 8


def find_table(folder: Path, *names: str) -> Path | None:
    """The first of `names` that is in `folder`, plain or gzipped; names end in ``.csv``."""
    for name in names:
        plain = name.removesuffix(".gz")
        for path in (folder / plain, folder / f"{plain}.gz"):
            if path.is_file():
                return path
    return None


def need_table(info: DatasetInfo, folder: Path, *names: str) -> Path:
    """As `find_table`.

    Raises
    ------
    ManifestError
        None of them is there; see `wrong_root`.
    """
    path = find_table(folder, *names)
    if path is None:
        raise wrong_root(info, folder, *names)
    return path


def wrong_root(
    info: DatasetInfo, folder: Path, *looked_for: str, what: str | None = None, kind: str | None = None
) -> ManifestError:
    """The error of a root that is not what it should be: what was looked for, and what was found there.

    Its kind is ``wrong_root`` unless `what` says what else is wrong.
    """
    try:
        entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
        inside = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries)
    except OSError as error:
        inside = [f"nothing readable ({error.strerror})"]
    found = ", ".join(inside[:_SHOWN]) or "nothing"
    more = f" and {len(inside) - _SHOWN} more" if len(inside) > _SHOWN else ""
    return ManifestError(
        f"{what or f'this is not {info.title}'}: looked for {' or '.join(looked_for)}, found {found}{more}",
        where=str(folder),
        remedy=f"point --root at the folder that holds {info.layout.splitlines()[0].strip()}",
        kind=kind or (WRONG_ROOT if what is None else None),
    )


def absent_split(info: DatasetInfo, folder: Path, split: str, *looked_for: str) -> ManifestError:
    """The error of a split that the download can have and this folder has not (kind ``no_split``)."""
    return wrong_root(
        info, folder, *looked_for, kind="no_split", what=f"the {split} split of {info.title} is not there"
    )


def read_table(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read columns of a CSV table, plain or gzipped.

    Parameters
    ----------
    path
        The file.
    needed
        Columns that must be there; names are compared without surrounding spaces.
    optional
        Columns that are read where they are there.

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
            f"there is no column {', '.join(map(repr, missing))}",
            where=str(path),
            remedy=f"the columns are {', '.join(name for name in header if name)}",
        )
    names = [*needed, *(name for name in optional if name in header)]
    return _frame(names, [header.index(name) for name in names], lines)


def _frame(names: Sequence[str], places: Sequence[int], lines: Iterator[list[str]]) -> pd.DataFrame:
    import pandas as pd

    columns: list[list[str]] = [[] for _ in names]
    # One object a distinct cell: tables of labels repeat a handful of texts millions of times.
    known: dict[str, str] = {}
    for cells in lines:
        for column, place in zip(columns, places, strict=True):
            cell = cells[place].strip()
            column.append(known.setdefault(cell, cell))
    return pd.DataFrame(dict(zip(names, columns, strict=True)), dtype=object)


def table_columns(path: Path) -> list[str]:
    """The stripped column names of a table."""
    return next(table_lines(path))


def table_lines(path: Path) -> Iterator[list[str]]:
    """Give the stripped header, then each line's cells, as many as the header has.

    Blank lines are passed over; blank cells beyond the header are cut, and lines that end before columns
    without a name are filled up, as NIH's list of boxes needs.

    Raises
    ------
    ManifestError
        The file cannot be read as UTF-8 CSV, is empty, or a line is too short or too long.
    """
    try:
        with _opened(path) as stream:
            reader = csv.reader(stream)
            header: list[str] | None = None
            for cells in reader:
                if header is None:
                    header = [cell.strip() for cell in cells]
                    yield header
                elif len(cells) == len(header):
                    yield cells
                elif cells:
                    yield _evened(cells, header, path, reader.line_num)
            if header is None:
                raise ManifestError("the table is empty", where=str(path), remedy="download it again")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(
            f"cannot be read as a table ({error})", where=str(path), remedy="download it again"
        ) from error


def _opened(path: Path) -> io.TextIOWrapper:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _evened(cells: list[str], header: list[str], path: Path, line: int) -> list[str]:
    extra, missing = cells[len(header) :], header[len(cells) :]
    if any(cell.strip() for cell in extra) or any(missing):
        raise ManifestError(
            f"line {line} has {len(cells)} cells, the header has {len(header)}",
            where=str(path),
            remedy="download it again, or see whether its last line was cut",
        )
    return [*cells[: len(header)], *([""] * len(missing))]


def build_manifest(
    columns: Mapping[str, Sequence[str] | pd.Series[str]],
    origin: Path | str,
    root: Path,
    notes: Sequence[str] = (),
) -> Manifest:
    """Make a manifest of columns of text, all of one length.

    Parameters
    ----------
    columns
        Column name -> cells; `path` and `split` are needed, blank = not known.
    origin
        The table that the rows came from, for messages.
    root
        The folder of the data set.
    notes
        What people should know; a note on absent images is added when looking is cheap.
    """
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest

    frame = pd.DataFrame({name: list(cells) for name, cells in columns.items()}, dtype=object)
    said = (*notes, *missing_notes([str(path) for path in frame["path"]], root))
    return Manifest(frame, str(origin), str(root), said)


def missing_notes(paths: Sequence[str], root: Path) -> list[str]:
    """Say how many images are not on disk and name the first few; nothing for very many images.

    They stay rows: whoever reads the images counts and lists them.
    """
    if len(paths) > _MOST_CHECKED:
        return []
    missing = [path for path in paths if not Path(path).is_file()]
    if not missing:
        return []
    names = ", ".join(path.removeprefix(f"{root}/") for path in missing[:_NAMED]) + (
        " ..." if len(missing) > _NAMED else ""
    )
    return [f"{len(missing)} of {len(paths)} images are not on disk: {names}"]
