"""Record which images a run was started with, so that a resumed run draws the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tier_cli.errors import ManifestError, UsageError
from tier_cli.model.checkpoint import read_json, write_json

_FILE = "images.json"


@dataclass(frozen=True)
class Started:
    """Describe how the images of a run were read when it began.

    Parameters
    ----------
    images
        ``memory-map`` or ``stream``.
    left_out
        Unreadable rows and the reasons, for each set of images.
    passed_over
        Unreadable rows, met while streaming, that were replaced by others.
    """

    images: str
    left_out: Mapping[str, Mapping[int, str]]
    passed_over: Mapping[int, str]

    def mode(self, requested: str) -> str:
        """Return how to read the images now; raises `UsageError` if that would change the rows."""
        if requested in ("auto", self.images):
            return self.images
        if any(self.left_out.values()) or self.passed_over:
            raise UsageError(
                f"the run was started with {self.images} and some images were unreadable; {requested} would"
                " draw other images",
                where="--images",
                remedy="omit the option, or start again in another --output folder",
            )
        return requested

    def same(self, name: str, bad: Mapping[int, str]) -> Mapping[int, str]:
        """Return the rows to leave out; raises `ManifestError` if more are unreadable than before."""
        before = self.left_out.get(name, {})
        more = sorted(set(bad) - set(before))
        if more:
            raise ManifestError(
                f"{len(more)} images that the run was started with can no longer be read; the first: "
                f"{bad[more[0]]}",
                remedy="restore them and continue with --resume, or start again in another --output folder",
            )
        return before


def write_started(folder: Path, images: str, left_out: Mapping[str, Mapping[int, str]]) -> None:
    """Write the record beside the state."""
    rows = {name: {str(row): why for row, why in bad.items()} for name, bad in left_out.items()}
    write_json(folder / _FILE, {"images": images, "left_out": rows})


def read_started(folder: Path, passed_over: Mapping[int, str]) -> Started | None:
    """Read the record; None if the run was started by a version that wrote none."""
    file = folder / _FILE
    if not file.is_file():
        return None
    kept = read_json(file)
    rows = {name: {int(row): why for row, why in bad.items()} for name, bad in kept["left_out"].items()}
    return Started(kept["images"], rows, passed_over)
