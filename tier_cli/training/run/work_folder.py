"""What a run keeps in its output folder until it is over: images read, features computed, its state."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tier_cli.errors import UsageError
from tier_cli.files.atomic import remove_partial
from tier_cli.model.checkpoint import CHECKSUMS, TRAINING, WEIGHTS, read_json
from tier_cli.training.run.record import check_identity

WORK, STATE = ".training", "state.pt"
# The runs of a sweep.
POINTS = "points"
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
    # Of a run that was killed while it computed features, as large as these.
    remove_partial(work)
    if not resume and ((work / STATE).exists() or _arrays(work)):
        raise UsageError(
            "holds a run that is not finished",
            where=str(output),
            remedy="go on with --resume, or name another --output folder",
        )


def finished(output: Path, same: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """The record of a run that is over; None where there is none, or one that is not over.

    Parameters
    ----------
    output
        Of the run.
    same
        Gives what it must have been started with.

    Raises
    ------
    UsageError
        It was started with something else, or the checkpoint that is there is not of such a run.
    """
    if not (output / WEIGHTS).exists() or (output / WORK / STATE).exists():
        return None
    whole = (output / CHECKSUMS).is_file() and (output / TRAINING).is_file()
    record = read_json(output / TRAINING) if whole else {}
    if "identity" not in record:
        raise UsageError("holds a checkpoint already", where=str(output), remedy="name another folder")
    check_identity(json.dumps({**record["settings"], **record["identity"]}), same(), output)
    shutil.rmtree(output / _OVER, ignore_errors=True)
    return {**record, "over": True}


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
    if (output / POINTS).exists():
        return "The same command with --resume goes on from there."
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
