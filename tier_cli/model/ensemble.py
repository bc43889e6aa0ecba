"""Handle ensembles: folders of checkpoints used as one model, which gives their mean score."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import ENSEMBLE, find, read_json, resolve, write_json


def members(name_or_path: str | os.PathLike[str]) -> list[Path]:
    """Return the checkpoint folders that a name or path stands for: one, or the members of an ensemble.

    Raises
    ------
    CheckpointError
        The checkpoint does not exist, or an ensemble names a missing member.
    """
    folder = find(name_or_path)
    listed = folder / ENSEMBLE
    if not listed.is_file():
        return [resolve(folder)]
    names = read_json(listed).get("members")
    # A name must not lead outside the folder.
    if not isinstance(names, list) or not names or not all(map(_is_name, names)):
        raise CheckpointError(
            "does not list its members", where=str(listed), remedy="convert the files again"
        )
    return [resolve(folder / name) for name in names]


def _is_name(name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and "\0" not in name


def write_ensemble(folder: Path, names: Sequence[str]) -> None:
    """Write ensemble.json for the checkpoint folders in `folder`."""
    write_json(folder / ENSEMBLE, {"members": list(names)})
