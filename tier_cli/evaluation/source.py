"""Read the images and labels to evaluate: from a manifest or from a public data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.registry import CSV

if TYPE_CHECKING:
    from tier_cli.datasets.info import DatasetInfo
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.selection import Selection


@dataclass(frozen=True)
class LabelledSource:
    """Where images and labels come from, and which rows are left out.

    Parameters
    ----------
    dataset, data, root
        Name of a public data set or ``csv``; a manifest, as a file or already read; the folder of images.
    exclude
        Column and value of rows to drop.
    frontal
        Leave out lateral views.
    """

    dataset: str
    data: Path | Manifest | None
    root: Path | None
    exclude: tuple[tuple[str, str], ...]
    frontal: bool

    @property
    def name(self) -> str:
        """The name in results: the manifest's path, else the data set's name."""
        return self.dataset if self.file is None else str(self.file)

    @property
    def file(self) -> Path | None:
        """The manifest's file; None for a public data set."""
        if self.data is None or isinstance(self.data, Path):
            return self.data
        return Path(self.data.origin)

    @property
    def info(self) -> DatasetInfo | None:
        """The public data set; None for a manifest."""
        if self.dataset == CSV:
            return None
        from tier_cli.datasets.registry import dataset_info

        return dataset_info(self.dataset)

    def rows(self, split: str | None, by: Sequence[str] = ()) -> Selection:
        """Read the data and select the rows of a split.

        Parameters
        ----------
        split
            Its name, ``all``, or None for the default split.
        by
            Columns to group by later.

        Raises
        ------
        UsageError, ManifestError
            The options do not go together, the data cannot be used, or no row is left.
        """
        from tier_cli.datasets.opening import open_data
        from tier_cli.evaluation.selection import select

        if self.data is None or isinstance(self.data, Path):
            manifest = open_data(self.dataset, self.data, self.root, split)
        else:
            manifest = self.data
        wanted = split if self.dataset == CSV else _only_split(manifest)
        return select(manifest, wanted, self.exclude, self.frontal, by)


def _only_split(manifest: Manifest) -> str:
    """Return the split that a public data set was read for; ``all`` if its rows have several splits."""
    names = {str(name) for name in manifest.column("split")}
    return names.pop() if len(names) == 1 else "all"
