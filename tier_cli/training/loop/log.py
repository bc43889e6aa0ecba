"""Log a run's steps and epochs as JSON lines and as TensorBoard events."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tier_cli.training.loop.step import Outcome


METRICS = "metrics.jsonl"


class Log:
    """Write one JSON line per logged step and epoch, and the same figures for TensorBoard on request.

    Parameters
    ----------
    file
        The log file.
    length
        Lines after this many bytes belong to steps that will be repeated; they are removed.
    tensorboard
        Folder for TensorBoard events.
    step
        Number of steps already made; TensorBoard hides events of later ones.
    """

    def __init__(self, file: Path, length: int = 0, tensorboard: Path | None = None, step: int = 0):
        self._file = file.open("ab")
        self._file.truncate(_whole_lines(file, length))
        # Truncating does not move the position, and `length` reports the position.
        self._file.seek(0, os.SEEK_END)
        self._board = None if tensorboard is None else _writer(tensorboard, step)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a line; its `step` is the position on TensorBoard's axis."""
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        if self._board is not None:
            for name, value in record.items():
                if isinstance(value, (int, float)) and name != "step":
                    self._board.add_scalar(name, value, record["step"])

    def length(self) -> int:
        """Return the number of bytes written so far."""
        return self._file.tell()

    def close(self) -> None:
        """Flush and close the log."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def step_figures(outcome: Outcome) -> dict[str, float]:
    """Return the loss, its terms, and the sparsity of the similarities; see `Outcome`."""
    hoyer, share = outcome.sparsity.tolist()
    return {
        **{name: value.item() for name, value in outcome.parts._asdict().items()},
        "similarity_share_above_0.1": share,
        "similarity_hoyer": max(hoyer, 0.0),
    }


def _whole_lines(file: Path, length: int) -> int:
    """Count the bytes of whole lines within the first `length`; the file may be shorter."""
    with file.open("rb") as opened:
        return opened.read(length).rfind(b"\n") + 1


def _writer(folder: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
