"""What a run keeps in its output folder until it is over: images read, features computed, its state."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from tier_cli.errors import UsageError

WORK, STATE = ".training", "state.pt"
_OVER = ".training-over"


def take(output: Path, resume: bool) -> None:
    """Make the folder of a run.

    Raises
    ------
    UsageError
        It cannot be made; or a run was left there and is not to be gone on with.
    """
    work = output / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}",
            where=str(output),
            remedy="name another --output folder",
        ) from error
    if not resume and ((work / STATE).exists() or _arrays(work)):
        raise UsageError(
            "holds a run that is not finished",
            where=str(output),
            remedy="go on with --resume, or name another --output folder",
        )


def leave(output: Path) -> None:
    """After an error: what took hours stays for --resume, and a folder with nothing in it goes."""
    with suppress(OSError):
        (output / WORK).rmdir()


def discard(output: Path) -> None:
    """After the end: all of it at once, for a state that outlives its log would start the run again."""
    over = output / _OVER
    shutil.rmtree(over, ignore_errors=True)
    with suppress(OSError):
        (output / WORK).rename(over)
    shutil.rmtree(over, ignore_errors=True)


def kept(output: Path) -> str:
    """What a run that was ended left to go on from, for the person who ended it."""
    if (output / WORK / STATE).exists():
        return "The same command with --resume goes on from the last state that was saved."
    return kept_images(output) or "Nothing was saved yet."


def kept_images(output: Path) -> str:
    """The same for a run that has no state: empty where nothing was read of the images either."""
    if (output / WORK / STATE).exists() or not _arrays(output / WORK):
        return ""
    return (
        "Nothing of the training was saved yet. What was read of the images is kept: the same command "
        "with --resume uses it."
    )


def _arrays(work: Path) -> list[Path]:
    return list(work.glob("*.npy"))
