"""Define the settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tier_cli.datasets.registry import CSV
from tier_cli.evaluation.sections.options import SectionOptions


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate; the defaults are those of `tier eval`.

    Parameters
    ----------
    findings
        Name or file of the finding set; None for that of the data set, else of the model.
    dataset, root
        Public data set instead of a manifest, and its folder; for a manifest, the folder of its images.
    split
        Rows to evaluate: a split, ``all``, or None for ``test``, else ``valid``, else all.
    exclude
        (column, value) pairs whose rows are dropped.
    exclude_trained
        Drop the images, and the patients, that a model was trained on according to its own list.
    views
        ``frontal`` or ``all``.
    uncertain
        What labels of -1 count as: ``ignore``, ``positive`` or ``negative``.
    unit
        ``image``, ``study`` or ``patient``; None for that of the data set, else image.
    by
        Columns to group by.
    select_on, operating_point
        Split on which thresholds are chosen, and the rule (``youden`` by default).
    join
        Column on which scores are joined; None for ``path``, else ``instance``.
    probabilities
        The scores from files or tables are probabilities.
    replicates, seed
        Resamplings of patients for the intervals.
    sections
        Optional sections.
    engine, device, batch_size, workers
        How a model computes; None = automatic.
    """

    findings: str | None = None
    dataset: str = CSV
    root: Path | None = None
    split: str | None = None
    exclude: tuple[tuple[str, str], ...] = ()
    exclude_trained: bool = False
    views: str = "frontal"
    uncertain: str = "ignore"
    unit: str | None = None
    by: tuple[str, ...] = ()
    select_on: str | None = None
    operating_point: str | None = None
    join: str | None = None
    probabilities: bool = False
    replicates: int = 1000
    seed: int = 0
    sections: SectionOptions = field(default_factory=SectionOptions)
    engine: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
