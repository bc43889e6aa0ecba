"""A folder of several checkpoints that is opened as one model: the mean of their scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import ENSEMBLE, find, read_json, resolve, write_json


def members(name_or_path: str | os.PathLike[str]) -> list[Path]:
    """The checkpoint folders that a name or a path stands for: one, or those of an ensemble.

    Raises
    ------
    CheckpointError
        If there is none, or an ensemble names what is not in it.
    """
    folder = find(name_or_path)
    listed = folder / ENSEMBLE
    if not listed.is_file():
        return [resolve(folder)]
    names = read_json(listed).get("members")
    # A name must not lead out of the folder.
    if not isinstance(names, list) or not names or not all(Path(str(name)).name == name for name in names):
        raise CheckpointError("has no list of members", where=str(listed), remedy="convert the files again")
    return [resolve(folder / name) for name in names]


def write_ensemble(folder: Path, names: Sequence[str]) -> None:
    """Make an ensemble of checkpoint folders that lie in `folder`."""
    write_json(folder / ENSEMBLE, {"members": list(names)})
