"""Collect scores for a manifest's images from a model's results, or match scores made elsewhere."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.datasets.csv_file import read_rows
from tier_cli.errors import ManifestError, did_you_mean
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.results.record import Result

# Prefixes that people put before the name of a finding in a column of scores.
_PREFIXES = ("", "prob_", "score_", "pred_")
_NOT_A_SCORE = frozenset({"", "nan", "na", "none", "null"})


@dataclass(frozen=True)
class Unscored:
    """An image without scores, and why.

    Parameters
    ----------
    path
        The image.
    kind, message
        The reason, as a word and as a sentence.
    """

    path: str
    kind: str
    message: str


@dataclass(frozen=True)
class Scores:
    """Scores of a manifest's images.

    Parameters
    ----------
    name
        The model or the file.
    findings
        F finding ids.
    values
        (N, F) in manifest order; NaN = none, never a substitute.
    unscored
        The images without scores.
    notes
        How the scores were matched to images.
    """

    name: str
    findings: tuple[str, ...]
    values: NDArray[np.float64]
    unscored: tuple[Unscored, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, findings: Sequence[str]) -> NDArray[np.float64]:
        """Return the scores (N, F) of some findings, in the order given; NaN for a finding without scores."""
        chosen = np.full((len(self.values), len(findings)), np.nan)
        for number, name in enumerate(findings):
            if name in self.findings:
                chosen[:, number] = self.values[:, self.findings.index(name)]
        return chosen


def collect(name: str, results: Iterable[Result], findings: FindingSet) -> Scores:
    """Collect one result per image, in manifest order."""
    rows: list[list[float]] = []
    unscored = []
    for result in results:
        known = {score.finding: score.score for score in result.findings}
        rows.append([known.get(finding, math.nan) for finding in findings.ids])
        if result.error is not None:
            unscored.append(Unscored(result.paths[0], result.error.kind, result.error.message))
    values = np.array(rows, dtype=np.float64).reshape(-1, len(findings.ids))
    return Scores(name, findings.ids, values, tuple(unscored))


def read_scores(
    path: str | Path, manifest: Manifest, findings: FindingSet, join: str | None = None
) -> Scores:
    """Read scores made elsewhere and match them to a manifest's rows.

    Parameters
    ----------
    path
        CSV or Parquet: one column per finding, named by id or alias (optionally prefixed by ``prob_``,
        ``score_`` or ``pred_``), or tidy with columns `finding` and `score`.
    manifest, findings
        The images and the finding set.
    join
        A column that both tables have. By default `path` (or `file`), else `instance`.

    Raises
    ------
    ManifestError
        No column to join on, no finding, a score that is not a number, two rows for one image, or no match.
    """
    header, rows = read_table(Path(path))
    return _match_table(Path(path).name, str(path), header, rows, manifest, findings, join)


def match_scores(
    name: str, frame: pd.DataFrame, manifest: Manifest, findings: FindingSet, join: str | None = None
) -> Scores:
    """Match a data frame of scores to a manifest's rows; columns and errors as in `read_scores`."""
    header, rows = _text_cells(frame)
    return _match_table(name, name, header, rows, manifest, findings, join)


def _match_table(
    name: str,
    where: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    manifest: Manifest,
    findings: FindingSet,
    join: str | None,
) -> Scores:
    column, keys, notes = _join_keys(header, manifest, join, where)
    layout = _tidy if {"finding", "score"} <= set(header) else _wide
    known = layout(header, rows, header.index(column), findings, where)
    if not known:
        raise ManifestError(
            "holds no scores",
            where=where,
            remedy="give a file with one column per finding, or columns finding and score",
        )
    matched, how = _match(list(known), keys, manifest.root if column in ("path", "file") else None)
    if not matched:
        raise ManifestError(
            f"no row of column {column!r} is an image of the manifest",
            where=where,
            remedy="use the same paths or instance UIDs, or name a column that both tables have with --join",
        )
    values = np.full((len(manifest), len(findings.ids)), np.nan)
    for row, key in matched.items():
        values[row] = known[key]
    paths = manifest.paths
    unscored = tuple(
        Unscored(paths[row], "no_score", f"no score in {name}")
        for row in np.flatnonzero(~np.isfinite(values).any(axis=1))
    )
    return Scores(name, findings.ids, values, unscored, (*notes, *how))


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read CSV or Parquet as a header and rows of text.

    Raises
    ------
    ManifestError
        The file cannot be read.
    UsageError
        See `require_parquet`.
    """
    if path.suffix.lower() != ".parquet":
        return read_rows(path)
    require_parquet(path)
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ManifestError(
            "cannot be read as Parquet", where=str(path), remedy="write the file again, or use CSV"
        ) from error
    return _text_cells(frame)


def require_parquet(path: Path) -> None:
    """Raise `UsageError` if a table is Parquet and pyarrow is not installed."""
    if path.suffix.lower() == ".parquet":
        require_extras("reading Parquet", "parquet", where=str(path), otherwise="use CSV")


def _text_cells(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    frame = frame.astype(object).where(frame.notna(), "")
    return [str(name) for name in frame.columns], [[str(cell) for cell in row] for row in frame.to_numpy()]


def _join_keys(
    header: Sequence[str], manifest: Manifest, join: str | None, where: str
) -> tuple[str, NDArray[np.str_], tuple[str, ...]]:
    """Choose the column of the scores to join on; return it, the manifest's cells, and notes."""
    if join is not None:
        if join not in header:
            raise ManifestError(
                f"no column {join!r}{did_you_mean(join, header)}",
                where=where,
                remedy=f"name one of its columns with --join: {', '.join(header)}",
            )
        return join, manifest.column(join), ()
    for name in ("path", "file"):
        if name in header:
            return name, manifest.column("path"), ()
    if "instance" in header and (manifest.column("instance") != "").any():
        return "instance", manifest.column("instance"), ("scores were joined by instance UID",)
    raise ManifestError(
        "has no column path or instance to join with the manifest",
        where=where,
        remedy="name a column that both tables have with --join",
    )


def _tidy(
    header: Sequence[str], rows: Sequence[Sequence[str]], place: int, findings: FindingSet, where: str
) -> dict[str, list[float]]:
    """Read one row per image and finding, as `tier classify` writes CSV."""
    name, value = header.index("finding"), header.index("score")
    order = {finding: number for number, finding in enumerate(findings.ids)}
    known: dict[str, list[float]] = {}
    seen: set[tuple[str, int]] = set()
    for row in rows:
        scores = known.setdefault(row[place], [math.nan] * len(order))
        finding = findings.match(row[name]) if row[name] else None
        if finding is None:
            continue
        number = order[finding.id]
        if (row[place], number) in seen:
            raise ManifestError(
                f"{row[place]!r} has two scores for {finding.id}", where=where, remedy="keep one of them"
            )
        seen.add((row[place], number))
        scores[number] = _score(row[value], where, "score")
    if not seen:
        raise ManifestError(
            "no row belongs to a finding of the finding set", where=where, remedy="check --findings"
        )
    return known


def _wide(
    header: Sequence[str], rows: Sequence[Sequence[str]], place: int, findings: FindingSet, where: str
) -> dict[str, list[float]]:
    """Read one column per finding."""
    columns: dict[str, int] = {}
    for number, name in enumerate(header):
        finding = None if number == place else _finding(name, findings)
        if finding is None:
            continue
        if finding in columns:
            raise ManifestError(
                f"columns {header[columns[finding]]!r} and {name!r} both name the finding {finding}",
                where=where,
                remedy="keep one of them",
            )
        columns[finding] = number
    if not columns:
        raise ManifestError(
            "no column is a finding of the finding set", where=where, remedy="check --findings"
        )
    known: dict[str, list[float]] = {}
    for row in rows:
        if row[place] in known:
            raise ManifestError(f"{row[place]!r} has two rows", where=where, remedy="keep one of them")
        known[row[place]] = [
            _score(row[columns[name]], where, header[columns[name]]) if name in columns else math.nan
            for name in findings.ids
        ]
    return known


def _finding(column: str, findings: FindingSet) -> str | None:
    for prefix in _PREFIXES:
        if column.lower().startswith(prefix):
            finding = findings.match(column[len(prefix) :])
            if finding is not None:
                return finding.id
    return None


def _score(cell: str, where: str, column: str) -> float:
    if cell.lower() in _NOT_A_SCORE:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise ManifestError(
            f"{cell!r} is not a score",
            where=f"{where}, column {column!r}",
            remedy="scores are finite numbers or blank",
        )
    return value


def _match(
    names: Sequence[str], keys: NDArray[np.str_], root: str | None
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Match manifest rows to names; `root` is the folder of relative paths, None if names are not paths."""
    if root is None:
        return _joined(names, keys, str, str), ()
    # Relative paths may be relative to the images' folder or to the working directory.
    ways = [lambda name: os.path.abspath(os.path.join(root, name)), os.path.abspath]
    found = max((_joined(names, keys, way, os.path.abspath) for way in ways), key=len)
    if found:
        return found, ()
    ambiguous = any(len({os.path.basename(name) for name in side}) < len(side) for side in (names, keys))
    found = {} if ambiguous else _joined(names, keys, os.path.basename, os.path.basename)
    return found, ("scores were joined by file name, without folders",)


def _joined(
    names: Sequence[str], keys: NDArray[np.str_], theirs: Callable[[str], str], ours: Callable[[str], str]
) -> dict[int, str]:
    table = {theirs(name): name for name in names if name}
    forms = [ours(str(key)) if key else "" for key in keys]
    return {row: table[form] for row, form in enumerate(forms) if form in table}
