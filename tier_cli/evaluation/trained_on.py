"""Whether a model was trained on the file whose rows are measured, as far as its own record tells."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.datasets.split_names import usual_split
from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import TRAINING, file_hash, read_json

if TYPE_CHECKING:
    from tier_cli.evaluation.selection import Selection
    from tier_cli.model.checkpoint import Checkpoint


def trained_on_notes(checkpoints: Iterable[Checkpoint], selection: Selection) -> list[str]:
    """Say which checkpoints have seen rows of the same file and split in training.

    Parameters
    ----------
    checkpoints
        Each with its training.json, or without: then nothing is known, and nothing is said.
    selection
        The rows that are measured.
    """
    table = Path(selection.manifest.origin)
    return [
        f"{one.name} was trained on rows of {table.name}, as its {TRAINING} says: numbers on images that it "
        "has seen say little about others"
        for one in checkpoints
        if _trained_on(_record(one), table, selection.split)
    ]


def _record(checkpoint: Checkpoint) -> dict[str, Any]:
    """What is recorded of its training data; empty where nothing is, or nothing that can be read."""
    file = checkpoint.path / TRAINING
    try:
        data = read_json(file).get("data") if file.is_file() else None
    except CheckpointError:
        return {}
    return data if isinstance(data, dict) else {}


def _trained_on(record: dict[str, Any], table: Path, split: str) -> bool:
    known = record.get("manifest_sha256")
    # How a run divided its data is recorded in words, with the name of the split in some of them alone.
    said = (split, f"rows of split {split} train")
    seen = usual_split(split) in ("all", "train") or str(record.get("split")) in said
    return known is not None and seen and table.is_file() and known == file_hash(table)
