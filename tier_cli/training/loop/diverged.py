"""Report a step whose loss or gradient is not finite, with the images of its batch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

from tier_cli.errors import TierError

# In the output folder, beside metrics.jsonl.
LIST_FILE = "not-a-number.txt"
_NAMED = 3


def divergence_error(loss: float, step: int, images: Sequence[str], folder: Path, write: bool) -> TierError:
    """Return an error that names the first images, after listing all of them in a file.

    Parameters
    ----------
    loss
        The loss; if it is finite, the gradient was not.
    step
        The step, counted from 0.
    images
        Paths of the images in the whole batch.
    folder, write
        The folder for the list, and whether this process writes it.
    """
    images = list(dict.fromkeys(images))
    more = len(images) - _NAMED
    named = ", ".join(images[:_NAMED]) + (f" and {more} more images" if more > 0 else "")
    file = folder / LIST_FILE
    listed = f", all listed in {file}" if not write or _write_list(images, file) else ""
    return TierError(
        f"{'the gradient' if math.isfinite(loss) else 'the loss'} is not a finite number at step {step + 1}, "
        f"for {named}",
        remedy=f"lower --learning-rate, or check these images{listed}",
        kind="diverged",
    )


def remove_list(folder: Path) -> None:
    """Remove the list that an earlier run left in this folder."""
    with contextlib.suppress(OSError):
        (folder / LIST_FILE).unlink()


def _write_list(images: Sequence[str], file: Path) -> bool:
    try:
        file.write_text("\n".join(images) + "\n", encoding="utf-8", errors="surrogateescape")
    except OSError:
        # A full disk must not hide the actual error.
        return False
    return True
