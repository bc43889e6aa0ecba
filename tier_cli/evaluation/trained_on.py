"""Note which checkpoints were trained on the rows that are evaluated, by their own records."""

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
    """Return one note per checkpoint that was trained on rows of the same file and split.

    Parameters
    ----------
    checkpoints
        The checkpoints; one without a training.json gets no note, because nothing is known about it.
    selection
        The rows that are evaluated.
    """
    table = Path(selection.manifest.origin)
    return [
        f"{one.name} was trained on rows of {table.name}, as its {TRAINING} says: numbers on images that it "
        "has seen say little about others"
        for one in checkpoints
        if _trained_on(_record(one), table, selection.split)
    ]


def _record(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the record of the training data; empty if there is no readable record."""
    file = checkpoint.path / TRAINING
    try:
        data = read_json(file).get("data") if file.is_file() else None
    except CheckpointError:
        return {}
    return data if isinstance(data, dict) else {}


def _trained_on(record: dict[str, Any], table: Path, split: str) -> bool:
    known = record.get("manifest_sha256")
    seen = _may_overlap(record, usual_split(split))
    return known is not None and seen and table.is_file() and known == file_hash(table)


def _may_overlap(record: dict[str, Any], split: str) -> bool:
    """Return whether training rows may lie in a split of the same file."""
    if "train_split" not in record:
        # Older records do not name the split; a test split was never trained on.
        return split != "test"
    trained = record["train_split"]
    return trained is None or split in ("all", usual_split(str(trained)))
