"""Define the settings of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tier_cli.arguments import (
    check_choice,
    check_flags,
    check_names,
    optional_number,
    path_text,
    texts,
    whole_number,
)
from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError
from tier_cli.evaluation.sections.options import SectionOptions
from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT, Decode

if TYPE_CHECKING:
    from tier_cli.findings.load import FindingSpec
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.runners.work import Runner

Views = Literal["frontal", "all"]
Uncertain = Literal["ignore", "positive", "negative"]
Unit = Literal["image", "study", "patient"]


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate; the defaults are those of `tier eval`.

    Parameters
    ----------
    findings
        The finding set as for `Model.classify`; None for that of the data set, else of the model.
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
    decode
        ``fast`` reads no more pixels than a model needs, ``full`` all of them.
    uncertain
        What labels of -1 count as: ``ignore``, ``positive`` or ``negative``.
    unit
        ``image``, ``study`` or ``patient``; None for that of the data set, else image.
    by
        Columns to group by, or one column.
    select_on, operating_point
        Split on which thresholds are chosen, and the rule (``youden`` by default).
    prevalence
        Share of positives at which PPV and NPV are also given: one for all findings, or one by id or alias.
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
    timeout_per_file, memory_per_file
        Seconds and bytes that reading one image may take.
    runner
        Distributes the work, see `tier_cli.pipeline.runners.opening.open_runner`; None for this machine.
    """

    findings: FindingSpec | FindingSet | None = None
    dataset: str = CSV
    root: str | os.PathLike[str] | None = None
    split: str | None = None
    exclude: Sequence[tuple[str, str]] = ()
    exclude_trained: bool = False
    views: Views = "frontal"
    decode: Decode = "fast"
    uncertain: Uncertain = "ignore"
    unit: Unit | None = None
    by: Sequence[str] = ()
    select_on: str | None = None
    operating_point: str | None = None
    prevalence: float | Mapping[str, float] | None = None
    join: str | None = None
    probabilities: bool = False
    replicates: int = 1000
    seed: int = 0
    sections: SectionOptions = field(default_factory=SectionOptions)
    engine: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    timeout_per_file: float = DEFAULT_TIMEOUT
    memory_per_file: int = DEFAULT_MEMORY
    runner: Runner | None = None

    def __post_init__(self) -> None:
        check_flags(exclude_trained=self.exclude_trained, probabilities=self.probabilities)
        check_names(
            dataset=self.dataset,
            split=self.split,
            select_on=self.select_on,
            operating_point=self.operating_point,
            join=self.join,
            engine=self.engine,
            device=self.device,
        )
        check_choice("views", self.views, Views)
        check_choice("decode", self.decode, Decode)
        check_choice("uncertain", self.uncertain, Uncertain)
        if self.unit is not None:
            check_choice("unit", self.unit, Unit)
        if not isinstance(self.sections, SectionOptions):
            raise UsageError(
                f"{self.sections!r} chooses no sections", where="sections=", remedy="give SectionOptions(...)"
            )
        self._set("by", texts("by", self.by, 'names of columns, e.g. by=("sex", "age")'))
        self._set("exclude", tuple(_pair(one) for one in _sequence(self.exclude)))
        if self.root is not None:
            path_text("root", self.root)
        for one in self.prevalence.values() if isinstance(self.prevalence, Mapping) else [self.prevalence]:
            _check_share(one)
        self._set("replicates", whole_number("replicates", self.replicates, 1))
        self._set("seed", whole_number("seed", self.seed, 0))
        self._set("batch_size", optional_number("batch_size", self.batch_size, 1))
        self._set("workers", optional_number("workers", self.workers, 0))
        self._set("memory_per_file", whole_number("memory_per_file", self.memory_per_file, 1))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _check_share(share: object) -> None:
    if share is not None and not (isinstance(share, int | float) and 0 < share < 1):
        raise UsageError(
            f"{share!r} is not between 0 and 1",
            where="--prevalence",
            remedy="give a share of patients, e.g. 0.02 for 2 in 100",
        )


def _sequence(exclude: object) -> Sequence[Any]:
    return exclude if isinstance(exclude, list | tuple) else (exclude,)


def _pair(one: object) -> tuple[str, str]:
    match one:
        case (str(column), str(value)):
            return column, value
    raise UsageError(
        f"{one!r} is not a column and a value",
        where="exclude=",
        remedy='give pairs, e.g. exclude=[("view", "AP")]',
    )
