"""Select the manifest rows to evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.split_names import usual_split
from tier_cli.datasets.views import lateral_rows
from tier_cli.errors import ManifestError
from tier_cli.evaluation.divisions import divide

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest


@dataclass(frozen=True)
class Step:
    """A step of the selection.

    Parameters
    ----------
    step
        What the rows that are left have in common.
    images, patients
        Their numbers.
    left_out
        Images that the step left out.
    """

    step: str
    images: int
    patients: int
    left_out: int = 0


@dataclass(frozen=True)
class Selection:
    """The selected rows, and how they were selected.

    Parameters
    ----------
    manifest
        The selected rows.
    split
        Name of the split; ``all`` = every row.
    excluded
        COLUMN=VALUE pairs whose rows were dropped.
    notes
        Remarks for the reader.
    numbers
        Path to row number in the whole table, counted from 1 below its header.
    flow
        The steps of the selection, in their order.
    """

    manifest: Manifest
    split: str
    excluded: tuple[str, ...]
    notes: tuple[str, ...]
    numbers: Mapping[str, int] = field(default_factory=dict)
    flow: tuple[Step, ...] = ()

    def after(self, step: str) -> Selection:
        """Add a step that led to the rows as they are now."""
        return replace(self, flow=(*self.flow, _step(step, self.manifest, self.flow)))


def _step(name: str, rows: Manifest, before: Sequence[Step]) -> Step:
    left_out = before[-1].images - len(rows) if before else 0
    return Step(name, len(rows), len(np.unique(rows.patients())), left_out)


def select(
    manifest: Manifest,
    split: str | None,
    exclude: Sequence[tuple[str, str]],
    frontal_only: bool,
    by: Sequence[str] = (),
) -> Selection:
    """Select rows of a manifest.

    Parameters
    ----------
    manifest
        All rows.
    split
        Name of the split; ``all`` for every row; None for ``test`` if present, else ``valid``, else all.
    exclude
        (column, value) pairs whose rows are dropped.
    frontal_only
        Drop rows with a lateral view.
    by
        Columns to group by later; checked here, before a model runs.

    Raises
    ------
    ManifestError
        A column or split is unknown, a column has too many groups, no row is left, or an image is repeated.
    """
    name = split or _default_split(manifest)
    chosen = manifest if name == "all" else manifest.split(name)
    dropped: list[str] = []
    flow = [_step("all rows", manifest, ())]
    if name != "all":
        flow.append(_step(f"split {name}", chosen, flow))
    for column, value in exclude:
        before = len(chosen)
        chosen = chosen.without(column, value)
        dropped.append(f"images excluded by {column}={value}: {before - len(chosen)} of {before}")
        flow.append(_step(f"without {column}={value}", chosen, flow))
    if frontal_only:
        chosen = _frontal(chosen, dropped)
        flow.append(_step("frontal views", chosen, flow))
    _check_rows(chosen)
    training = _training_notes(chosen) if split is None and name == "all" else []
    notes = (*chosen.reading_notes, *training, *dropped)
    for column in by:
        divide(column, chosen.column(column))
    numbers = {path: row for row, path in enumerate(manifest.paths, 1)}
    excluded = tuple(f"{column}={value}" for column, value in exclude)
    return Selection(chosen, name, excluded, notes, numbers, tuple(flow))


def _default_split(manifest: Manifest) -> str:
    present = sorted({str(name).lower() for name in manifest.column("split")})
    # A split called exactly "test" or "valid" takes precedence over a synonym such as "val".
    usual = {usual_split(name): name for name in present} | {name: name for name in present}
    return next((usual[name] for name in ("test", "valid") if name in usual), "all")


def _training_notes(chosen: Manifest) -> list[str]:
    """Warn if the default selection includes rows of a training split."""
    splits = [str(name).lower() for name in chosen.column("split")]
    training = [name for name in splits if usual_split(name) == "train"]
    if not training:
        return []
    others = ", ".join(sorted({*splits} - {*training, ""}))
    return [
        f"no split is called test or valid, so all rows were evaluated, including {len(training)} of split "
        f"{training[0]}; choose a split with --split{f', e.g. {others}' if others else ''}"
    ]


def _frontal(manifest: Manifest, notes: list[str]) -> Manifest:
    lateral = lateral_rows(manifest)
    if not lateral.any():
        return manifest
    notes.append(f"lateral and oblique images left out: {int(lateral.sum())}; include them with --views all")
    return manifest.where(~lateral)


def _check_rows(manifest: Manifest) -> None:
    if not len(manifest):
        raise ManifestError(
            "no image is left to evaluate",
            where=manifest.origin,
            remedy="check --split, --exclude and --views",
        )
    repeated = manifest.repeated_paths()
    if repeated:
        raise ManifestError(
            f"{len(repeated)} images appear in more than one row, first {repeated[0]!r}",
            where=manifest.origin,
            remedy="keep one row per image; repeated rows would count several times",
        )
