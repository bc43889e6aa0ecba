"""Define the protocol of an evaluation: everything needed to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.scores import Unscored


@dataclass(frozen=True)
class SelectedOn:
    """The split on which thresholds were chosen.

    Parameters
    ----------
    split, rule, images
        Its name, the rule, and the number of images.
    unscored
        Its images without scores.
    """

    split: str
    rule: str
    images: int
    unscored: tuple[Unscored, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """What was evaluated and how.

    Parameters
    ----------
    data, dataset, split
        The manifest, its reader, and the split (``all`` = every row).
    images
        Rows evaluated, with or without scores.
    views
        ``frontal`` or ``all``.
    excluded
        COLUMN=VALUE pairs whose rows were dropped.
    uncertain
        What labels of -1 counted as.
    finding_set
        Its name and hash.
    models
        Name and hashes, one per score set; None for scores from a file.
    scoring
        The checkpoint's own scoring; empty without a model.
    resampling
        How the intervals were made.
    unit
        The unit that is counted: ``image``, ``study`` or ``patient``.
    selected_on
        Where thresholds were chosen, if they were.
    labels
        Where the labels of a public data set come from; empty for a manifest.
    prevalence
        By finding, the share of positives at which predictive values are given.
    decode
        Whether models saw no more pixels than they need (``fast``) or all; empty without a model.
    """

    data: str
    dataset: str
    split: str
    images: int
    views: str
    excluded: tuple[str, ...]
    uncertain: str
    finding_set: dict[str, str]
    models: tuple[dict[str, Any] | None, ...]
    scoring: str
    resampling: Resampling
    unit: str = "image"
    selected_on: SelectedOn | None = None
    labels: str = ""
    prevalence: Mapping[str, float] = field(default_factory=dict)
    decode: str = ""
