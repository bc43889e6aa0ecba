"""Build a manifest from the columns that a reader collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.datasets.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

# Beyond this many images, looking for each file takes too long.
_MOST_CHECKED = 10_000
_MOST_NAMED = 3


def build_manifest(
    columns: Mapping[str, Sequence[str] | pd.Series[str]],
    origin: Path | str,
    root: Path,
    notes: Sequence[str] = (),
) -> Manifest:
    """Build a manifest from columns of text, all of one length.

    Parameters
    ----------
    columns
        Column name -> cells, blank = not known; `path` and `split` are required.
    origin
        The table that the rows came from, for messages.
    root
        The folder of the data set.
    notes
        What people should know about the data; a note on missing images is added.
    """
    import pandas as pd

    frame = pd.DataFrame({name: list(cells) for name, cells in columns.items()}, dtype=object)
    all_notes = (*notes, *missing_notes([str(path) for path in frame["path"]], root))
    return Manifest(frame, str(origin), str(root), all_notes)


def missing_notes(paths: Sequence[str], root: Path) -> list[str]:
    """Return a note that counts the images that are not on disk and names the first few.

    Their rows stay: whatever reads the images counts and lists them. More than 10,000 images are not
    looked for.
    """
    if len(paths) > _MOST_CHECKED:
        return []
    missing = [path for path in paths if not Path(path).is_file()]
    if not missing:
        return []
    names = ", ".join(path.removeprefix(f"{root}/") for path in missing[:_MOST_NAMED]) + (
        " ..." if len(missing) > _MOST_NAMED else ""
    )
    return [f"{len(missing)} of {len(paths)} images are not on disk: {names}"]
