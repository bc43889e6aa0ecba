"""Which images `tier eval` measures on: a manifest or a public data set, and the rows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.info import DatasetInfo
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.selection import Selection
    from tier_cli.pipeline.stream import StreamOptions


@dataclass(frozen=True)
class Data:
    """Images with labels, as the options name them.

    Parameters
    ----------
    dataset, data, root
        As given: the name of a data set, a manifest, a folder.
    exclude
        Column and value of rows that are dropped.
    frontal
        Lateral views are left out.
    """

    dataset: str
    data: Path | None
    root: Path | None
    exclude: tuple[tuple[str, str], ...]
    frontal: bool

    @property
    def name(self) -> str:
        """What results call it: the manifest's path, else the data set's name."""
        return str(self.data) if self.data is not None else self.dataset

    @property
    def info(self) -> DatasetInfo | None:
        """The public data set; None for a manifest of one's own."""
        if self.dataset == CSV:
            return None
        from tier_cli.datasets.registry import dataset_info

        return dataset_info(self.dataset)

    def rows(self, split: str | None, by: Sequence[str] = ()) -> Selection:
        """Read the data and choose the rows of a split, by default the one to evaluate.

        Parameters
        ----------
        split
            Its name, ``all``, or None.
        by
            Columns that will be measured within.

        Raises
        ------
        UsageError, ManifestError
            Options that make no sense; data that cannot be used; no rows.
        """
        from tier_cli.datasets.opening import open_data
        from tier_cli.evaluation.selection import select

        manifest = open_data(self.dataset, self.data, self.root, split)
        wanted = split if self.dataset == CSV else _only_split(manifest)
        return select(manifest, wanted, self.exclude, self.frontal, by)


def stream_options(views: Any, batch_size: int | None, workers: int | None) -> StreamOptions:
    """How labelled images are read and streamed."""
    from tier_cli.imaging.radiograph import ReadOptions
    from tier_cli.pipeline.stream import StreamOptions

    return StreamOptions(ReadOptions(views=views), batch_size, workers)


def exclusions(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read ``--exclude``.

    Raises
    ------
    UsageError
        A text that is not COLUMN=VALUE.
    """
    pairs = []
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals):
            raise UsageError(f"{text!r} is not COLUMN=VALUE", where="--exclude", remedy="e.g. contradicted=1")
        pairs.append((column.strip(), value))
    return tuple(pairs)


def _only_split(manifest: Manifest) -> str:
    """A public data set comes with the rows of the split that was asked for, or with several splits: all."""
    names = {str(name) for name in manifest.column("split")}
    return names.pop() if len(names) == 1 else "all"
