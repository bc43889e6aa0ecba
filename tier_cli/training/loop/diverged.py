"""What is told of a step whose loss is not a number: the images that it was of."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

from tier_cli.errors import TierError

# In the output folder, beside metrics.jsonl.
NAMES = "not-a-number.txt"
_NAMED = 3


def not_a_number(loss: float, step: int, images: Sequence[str], folder: Path, write: bool) -> TierError:
    """The error, naming the first images; all of them are listed in a file.

    Parameters
    ----------
    loss
        Where it is finite, the gradient was not.
    step
        Counted from 0.
    images
        Paths of the images of the whole batch.
    folder, write
        Where the list goes, and whether this process is the one that writes it.
    """
    images = list(dict.fromkeys(images))
    more = len(images) - _NAMED
    named = ", ".join(images[:_NAMED]) + (f" and {more} more images" if more > 0 else "")
    file = folder / NAMES
    listed = f", all listed in {file}" if not write or _written(images, file) else ""
    return TierError(
        f"{'the gradient' if math.isfinite(loss) else 'the loss'} is not a finite number at step {step + 1}, "
        f"for {named}",
        remedy=f"lower --learning-rate, or look at these images{listed}",
        kind="diverged",
    )


def forget(folder: Path) -> None:
    """Take away the list that a run before left in this folder."""
    with contextlib.suppress(OSError):
        (folder / NAMES).unlink()


def _written(images: Sequence[str], file: Path) -> bool:
    try:
        file.write_text("\n".join(images) + "\n", encoding="utf-8", errors="surrogateescape")
    except OSError:
        # A disk that is full must not hide what happened.
        return False
    return True
