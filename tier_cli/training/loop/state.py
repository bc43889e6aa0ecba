"""The state of a run that is not finished: all that the next step depends on, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import torch

from tier_cli.errors import TierError, UsageError
from tier_cli.files.atomic import whole_file

_FORMAT = 1


def save_state(file: Path, state: dict[str, Any]) -> None:
    """Write the state beside the file and put it in its place when it is whole.

    Raises
    ------
    TierError
        It cannot be written; the last one stays.
    """
    try:
        with whole_file(file) as partial, partial.open("wb") as opened:
            _write({"format": _FORMAT, **state}, opened)
    except OSError as error:
        kept = "; the state saved before it is kept" if file.exists() else ""
        raise TierError(
            f"the state of the run cannot be saved ({error.strerror}){kept}",
            where=str(file),
            remedy="make room and go on with --resume",
        ) from error


def _write(state: dict[str, Any], opened: BinaryIO) -> None:
    """torch.save, with errors of the disk as what they are: it makes a RuntimeError of them, as of all."""
    file = _Remembering(opened)
    try:
        torch.save(state, file)  # type: ignore[arg-type]
    except RuntimeError as error:
        if file.error is None:
            raise
        raise file.error from error


class _Remembering:
    """A file that remembers why it could not be written."""

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
    """Read a state; tensors and plain values alone, no code.

    Raises
    ------
    UsageError
        It is damaged, or of another version.
    """
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(
            "the state of the run cannot be read", where=str(file), remedy="start again in another folder"
        ) from error
    if state.get("format") != _FORMAT:
        raise UsageError(
            f"the state is of format {state.get('format')}, not {_FORMAT}",
            where=str(file),
            remedy="go on with the version that wrote it, or start again in another folder",
        )
    return state
