"""What a section of the report works with, and what a section is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.measure import Contender, Labelled
    from tier_cli.evaluation.report import Protocol
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.units import Units
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions


@dataclass(frozen=True)
class Evaluation:
    """An evaluation whose images have been scored.

    Parameters
    ----------
    findings
        The finding set.
    selection
        The rows that are evaluated: `selection.manifest`.
    truth
        Their labels (N, F'), for the findings that have a column, and one patient key a row.
    scores
        One score set, or several that are compared, each with a row a row of the manifest.
    units
        Which unit (image, study, patient) each row belongs to; `units.mean` takes scores of rows to units.
    by_unit
        The labels of the units (U, F').
    contenders
        One a score set: the scores of the units (U, F'), with calls and probabilities where there are any.
    protocol
        What is being done; `protocol.resampling` says how intervals are made.
    job
        The model of the first score set, open; None where that is a file of scores.
    options
        How images are read and streamed, to score them again under other circumstances.
    score
        ``score(job, manifest, options)`` scores the images of a manifest, showing progress.
    notes
        What a reader should know about how calls and probabilities came about.
    """

    findings: FindingSet
    selection: Selection
    truth: Labelled
    scores: tuple[Scores, ...]
    units: Units
    by_unit: Labelled
    contenders: tuple[Contender, ...]
    protocol: Protocol
    job: ScoringJob | None
    options: StreamOptions
    score: Callable[[ScoringJob, Manifest, StreamOptions], Scores]
    notes: tuple[str, ...] = ()

    @cached_property
    def embeddings(self) -> tuple[NDArray[np.float32], ...]:
        """Every image as each model of `job` embeds it (N, D), NaN where it cannot be used; made once."""
        from tier_cli.pipeline.encode import embedding_matrix

        paths = self.selection.manifest.paths
        members = () if self.job is None else self.job.members
        return tuple(embedding_matrix(paths, member, self.options) for member in members)


@dataclass(frozen=True)
class Section:
    """A part of the report that is made after scoring.

    Parameters
    ----------
    name
        Its key under ``sections`` of the JSON document.
    make
        Gives what JSON can hold (no NaN: null), or None where the section does not apply.
    show
        Prints what `make` gave, for people.
    """

    name: str
    make: Callable[[Evaluation], dict[str, Any] | None]
    show: Callable[[Mapping[str, Any], Console], None]
