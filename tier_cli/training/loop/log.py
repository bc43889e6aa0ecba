"""What a run tells of itself while it goes on: lines of JSON, TensorBoard, figures for people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.training.loop.step import Outcome


METRICS = "metrics.jsonl"


class Log:
    """One JSON line a logged step and epoch, and the same for TensorBoard where wanted.

    Parameters
    ----------
    file
        Lines after the first `length` bytes are of steps that will be made again, and are taken off.
    tensorboard
        Folder for TensorBoard's events.
    step
        So many steps were made before: what is there of later ones is not shown.
    """

    def __init__(self, file: Path, length: int = 0, tensorboard: Path | None = None, step: int = 0):
        self._file = file.open("ab")
        self._file.truncate(_whole_lines(file, length))
        # Truncating leaves the place where it was, and the place is the length that a state is saved with.
        self._file.seek(0, os.SEEK_END)
        self._board = None if tensorboard is None else _writer(tensorboard, step)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add a line; `step` places it."""
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        if self._board is not None:
            for name, value in record.items():
                if isinstance(value, (int, float)) and name != "step":
                    self._board.add_scalar(name, value, record["step"])

    def length(self) -> int:
        """Bytes so far."""
        return self._file.tell()

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def measures(outcome: Outcome) -> dict[str, float]:
    """The loss, its terms, and how sparse the similarities of valid tokens are; see `Outcome`."""
    hoyer, share = outcome.sparsity.tolist()
    return {
        **{name: value.item() for name, value in outcome.parts._asdict().items()},
        "similarity_share_above_0.1": share,
        "similarity_hoyer": max(hoyer, 0.0),
    }


def _whole_lines(file: Path, length: int) -> int:
    """Bytes of the whole lines among the first `length`; the file may be shorter, or gone."""
    with file.open("rb") as opened:
        return opened.read(length).rfind(b"\n") + 1


def require_tensorboard(folder: Path | None) -> None:
    """Raise `UsageError` where events are wanted and the package that writes them is not installed."""
    if folder is not None:
        _summary_writer()


def _writer(folder: Path, step: int) -> Any:
    return _summary_writer()(str(folder), purge_step=step + 1 if step else None)


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "TensorBoard is not installed",
            where="--tensorboard",
            remedy="pip install 'tier-cli[tensorboard]', or leave the option out",
        ) from error
    return SummaryWriter
