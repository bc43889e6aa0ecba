"""What `tier calibrate` and `tier adapt` read: labelled images of one split, and the model's view of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.console import tell
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.truth import Labelled


def check_output(output: Path) -> None:
    """Refuse a folder that is there before an hour is spent on filling it."""
    from tier_cli.files.atomic import check_new_folder

    check_new_folder(output)


def choose_rows(
    dataset: str,
    data: Path | None,
    root: Path | None,
    split: str | None,
    usual: str,
    exclude: Sequence[tuple[str, str]],
    frontal_only: bool,
) -> Selection:
    """Read the data and choose one split: the one named, else `usual`, else all where there are no splits."""
    from tier_cli.datasets.opening import open_data
    from tier_cli.datasets.registry import CSV
    from tier_cli.evaluation.selection import select

    manifest = open_data(dataset, data, root, split or (None if dataset == CSV else usual))
    selection = select(manifest, split or _usual(manifest, usual), exclude, frontal_only)
    if selection.split.lower() == "test":
        tell("What is fitted on a test split must not be judged on it any more.", colour="yellow")
    return selection


def _usual(manifest: Manifest, usual: str) -> str:
    there = sorted({str(name).lower() for name in manifest.column("split")} - {""})
    if there and usual not in there:
        raise UsageError(
            f"there is no split '{usual}'",
            where="--split",
            remedy=f"name one of {', '.join(there)}, or all; not the one that you will judge the model on",
        )
    return usual if there else "all"


def describe(
    selection: Selection, data: Path | None, dataset: str, views: str, uncertain: str, truth: Labelled
) -> dict[str, Any]:
    """Say which images and labels something was fitted on, and how they were chosen."""
    from tier_cli.evaluation.fitted_on import images_of

    facts = images_of(selection, truth, data, dataset).to_dict()
    return {**facts, "views": views, "uncertain": uncertain, "images": len(selection.manifest)}
