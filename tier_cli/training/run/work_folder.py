"""Manage the work folder of a run in its output folder: images read, features computed, the state."""

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
# The folder with the runs of a sweep.
POINTS = "points"
_OVER = ".training-over"


def prepare_folder(output: Path, resume: bool) -> None:
    """Create the work folder of a run.

    Raises
    ------
    UsageError
        It cannot be created; or it holds an unfinished run, and `resume` is False.
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
    # Large files of a run that was killed while it computed features.
    remove_partial(work)
    if not resume and ((work / STATE).exists() or _arrays(work)):
        raise UsageError(
            "holds an unfinished run",
            where=str(output),
            remedy="continue it with --resume, or name another --output folder",
        )


def finished_record(output: Path, same: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Return the record of a finished run; None if there is no run, or an unfinished one.

    Parameters
    ----------
    output
        The output folder of the run.
    same
        Returns the identity that the run must have; see `identity`.

    Raises
    ------
    UsageError
        The run was started differently, or the folder holds a checkpoint of another origin.
    """
    if not (output / WEIGHTS).exists() or (output / WORK / STATE).exists():
        return None
    whole = (output / CHECKSUMS).is_file() and (output / TRAINING).is_file()
    record = read_json(output / TRAINING) if whole else {}
    if "identity" not in record:
        raise UsageError("already holds a checkpoint", where=str(output), remedy="name another folder")
    check_identity(json.dumps({**record["settings"], **record["identity"]}), same(), output)
    shutil.rmtree(output / _OVER, ignore_errors=True)
    return {**record, "over": True}


def remove_if_empty(output: Path) -> None:
    """Remove an empty work folder after a run; anything in it stays for --resume."""
    with suppress(OSError):
        (output / WORK).rmdir()


def delete_work(output: Path) -> None:
    """Delete the work folder of a finished run.

    It is renamed first, so that all of it goes at once: a state left behind would make --resume continue.
    """
    over = output / _OVER
    shutil.rmtree(over, ignore_errors=True)
    with suppress(OSError):
        (output / WORK).rename(over)
    shutil.rmtree(over, ignore_errors=True)


def describe_state(output: Path) -> str:
    """Return what a stopped run has kept, and how to continue it, as a sentence for people."""
    if (output / WORK / STATE).exists():
        return "Repeat the command with --resume to continue from the last saved state."
    if (output / POINTS).exists():
        return "Repeat the command with --resume to continue the sweep."
    return describe_images(output) or "Nothing was saved yet."


def describe_images(output: Path) -> str:
    """Return the same sentence for a run without a state; empty if no image was read either."""
    if (output / WORK / STATE).exists() or not _arrays(output / WORK):
        return ""
    return (
        "No training state was saved yet. The images read so far are kept: repeat the command with "
        "--resume to use them."
    )


def _arrays(work: Path) -> list[Path]:
    return list(work.glob("*.npy"))
