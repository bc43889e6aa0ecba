"""Which images a run was started with: a resumed one draws the same, or the rest of it would differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tier_cli.errors import ManifestError, UsageError
from tier_cli.model.checkpoint import read_json, write_json

_FILE = "images.json"


@dataclass(frozen=True)
class Started:
    """How the images of a run were read when it began.

    Parameters
    ----------
    images
        ``memory-map`` or ``stream``.
    left_out
        The rows that could not be read, and why, for each of what was read.
    passed_over
        Streamed rows for which others stood in.
    """

    images: str
    left_out: Mapping[str, Mapping[int, str]]
    passed_over: Mapping[int, str]

    def mode(self, asked: str) -> str:
        """How to read them now; raises `UsageError` where another way gives other rows."""
        if asked in ("auto", self.images):
            return self.images
        if any(self.left_out.values()) or self.passed_over:
            raise UsageError(
                f"the run was started with {self.images}, and not every image could be read: {asked} would "
                "draw others",
                where="--images",
                remedy="leave it out, or start again in another --output folder",
            )
        return asked

    def same(self, name: str, bad: Mapping[int, str]) -> Mapping[int, str]:
        """The rows to leave out; raises `ManifestError` where more cannot be read than before."""
        before = self.left_out.get(name, {})
        more = sorted(set(bad) - set(before))
        if more:
            raise ManifestError(
                f"{len(more)} images that the run was started with cannot be read any more, the first: "
                f"{bad[more[0]]}",
                remedy="put them back and go on with --resume, or start again in another --output folder",
            )
        return before


def write_started(folder: Path, images: str, left_out: Mapping[str, Mapping[int, str]]) -> None:
    """Keep it beside the state."""
    rows = {name: {str(row): why for row, why in bad.items()} for name, bad in left_out.items()}
    write_json(folder / _FILE, {"images": images, "left_out": rows})


def read_started(folder: Path, passed_over: Mapping[int, str]) -> Started | None:
    """What was kept; None where the run was started by a version that kept nothing."""
    file = folder / _FILE
    if not file.is_file():
        return None
    kept = read_json(file)
    rows = {name: {int(row): why for row, why in bad.items()} for name, bad in kept["left_out"].items()}
    return Started(kept["images"], rows, passed_over)
