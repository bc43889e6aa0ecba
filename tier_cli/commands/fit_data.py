"""Choose and describe the labelled images that `tier calibrate` and `tier adapt` fit on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.console import print_message
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.pipeline.scoring_job import ScoringJob


def choose_rows(
    dataset: str,
    data: Path | None,
    root: Path | None,
    split: str | None,
    default_split: str,
    exclude: Sequence[tuple[str, str]],
    frontal_only: bool,
) -> Selection:
    """Read the data and choose one split: `split` if given, else `default_split`, else all rows.

    All rows are chosen only if the data have no splits.
    """
    from tier_cli.datasets.opening import open_data
    from tier_cli.datasets.registry import CSV
    from tier_cli.evaluation.selection import select

    manifest = open_data(dataset, data, root, split or (None if dataset == CSV else default_split))
    selection = select(manifest, split or _default_or_all(manifest, default_split), exclude, frontal_only)
    if selection.split.lower() == "test":
        print_message(
            "This fits on a test split: do not evaluate the result on the same split.", colour="yellow"
        )
    return selection


def without_trained(
    job: ScoringJob, selection: Selection, dataset: str, exclude: bool
) -> tuple[Selection, dict[str, Any]]:
    """Tell which rows the models were trained on; leave them out if `exclude` is set.

    Returns
    -------
    tuple
        The rows to fit on, and what to add to ``fitted_on``: nothing if no row was trained on.
    """
    from tier_cli.evaluation.trained_on import without_seen

    kept, seen = without_seen([member.checkpoint for member in job.members], selection, dataset, exclude)
    for one in seen:
        print_message(f"Trained on: {one.text}.", colour="yellow")
    return kept, {"trained_on": [one.to_dict() for one in seen]} if seen else {}


def _default_or_all(manifest: Manifest, default_split: str) -> str:
    splits = sorted({str(name).lower() for name in manifest.column("split")} - {""})
    if splits and default_split not in splits:
        raise UsageError(
            f"there is no split '{default_split}'",
            where="--split",
            remedy=f"choose {', '.join(splits)} or all, but not the split that you will evaluate on",
        )
    return default_split if splits else "all"


def describe_rows(
    selection: Selection, data: Path | None, dataset: str, views: str, uncertain: str, truth: Labelled
) -> dict[str, Any]:
    """Return which images and labels are fitted on, and how they were chosen, for ``fitted_on``."""
    from tier_cli.evaluation.fitted_on import images_of

    images = images_of(selection, truth, data, dataset).to_dict()
    return {**images, "views": views, "uncertain": uncertain, "images": len(selection.manifest)}
