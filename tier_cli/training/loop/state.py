"""Save and load the state of an unfinished run: one file with all that the next step depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import torch

from tier_cli.errors import TierError, UsageError
from tier_cli.files.atomic import whole_file

_FORMAT = 1


def save_state(file: Path, state: dict[str, Any]) -> None:
    """Write the state to a temporary file and rename it once it is complete.

    Raises
    ------
    TierError
        The state cannot be written; the previous one is kept.
    """
    try:
        with whole_file(file) as partial, partial.open("wb") as opened:
            _write({"format": _FORMAT, **state}, opened)
    except OSError as error:
        kept = "; the previous state is kept" if file.exists() else ""
        raise TierError(
            f"the state of the run cannot be saved ({error.strerror}){kept}",
            where=str(file),
            remedy="free disk space and continue with --resume",
        ) from error


def _write(state: dict[str, Any], opened: BinaryIO) -> None:
    """Re-raise disk errors of torch.save as OSError; torch wraps every failure in RuntimeError."""
    file = _ErrorRecorder(opened)
    try:
        torch.save(state, file)  # type: ignore[arg-type]
    except RuntimeError as error:
        if file.error is None:
            raise
        raise file.error from error


class _ErrorRecorder:
    """Wrap a file and remember the error that a write raised."""

    def __init__(self, opened: BinaryIO):
        self._opened = opened
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return self._opened.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._opened.flush()


def load_state(file: Path) -> dict[str, Any]:
    """Read a state: tensors and plain values, never code.

    Raises
    ------
    UsageError
        The file is damaged or has another version's format.
    """
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(
            "the state of the run cannot be read",
            where=str(file),
            remedy="start again in another output folder",
        ) from error
    if state.get("format") != _FORMAT:
        raise UsageError(
            f"the state has format {state.get('format')}, not {_FORMAT}",
            where=str(file),
            remedy="continue with the version that wrote it, or start again in another output folder",
        )
    return state
