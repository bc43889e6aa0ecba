"""Define one of several data sets that are evaluated together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tier_cli.datasets.registry import CSV


@dataclass(frozen=True)
class DataSet:
    """A data set of the table.

    Parameters
    ----------
    name
        Its name in the registry, or ``csv``.
    place
        The folder of the download, or the manifest; None for the folder in TIER_DATA_ROOT.
    """

    name: str
    place: Path | None = None

    @property
    def label(self) -> str:
        """How the table calls it: by its name, a manifest by its path."""
        return str(self.place) if self.name == CSV else self.name
