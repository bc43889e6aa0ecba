"""Check that the files of a checkpoint folder are the listed ones and that the model opens."""

from __future__ import annotations

import os
from pathlib import Path

from tier_cli.errors import CheckpointError, TierError
from tier_cli.model.checkpoint import CHECKSUMS, compute_checksums, open_checkpoint, read_checksums

_SHOWN = 3


def verify(path: str | os.PathLike[str]) -> list[str]:
    """Return the problems of a checkpoint folder; an empty list means that there are none.

    Every hash is computed again. If all match, the model is opened: its files may still not belong together.
    """
    folder = Path(path)
    try:
        listed = read_checksums(folder)
    except CheckpointError as error:
        return [str(error)]
    present = compute_checksums(folder)
    problems = [f"{name}: missing" for name in sorted(set(listed) - set(present))]
    problems += [f"{name}: not listed in {CHECKSUMS}" for name in sorted(set(present) - set(listed))]
    problems += [
        f"{name}: altered" for name in sorted(set(present) & set(listed)) if present[name] != listed[name]
    ]
    return problems or _problems_on_opening(folder)


def require_unaltered(folder: Path) -> None:
    """Check that every file that checksums.json lists is there and as listed.

    Raises
    ------
    CheckpointError
        A file is missing or altered; the error names the first few.
    """
    listed, present = read_checksums(folder), compute_checksums(folder)
    wrong = [
        f"{name} is {'altered' if name in present else 'missing'}"
        for name in sorted(listed)
        if present.get(name) != listed[name]
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise CheckpointError(
            f"its files differ from {CHECKSUMS}: {', '.join(wrong[:_SHOWN])}{more}",
            where=str(folder),
            remedy="download the folder again, or accept its files with `tier model export`",
        )


def _problems_on_opening(folder: Path) -> list[str]:
    from tier_cli.model.onnx_engine import OnnxEngine

    try:
        OnnxEngine(open_checkpoint(folder)).check()
    except TierError as error:
        return [str(error)]
    return []
