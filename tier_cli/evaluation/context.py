"""Define a scored evaluation, and the optional sections that measure more of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.evaluation.protocol import Protocol
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.trained_on import Seen
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.evaluation.unit_scores import UnitScores
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
        The evaluated rows: `selection.manifest`.
    truth
        Their labels (N, F) for the findings that have a column, and one patient key per row.
    scores
        One or several score sets, each with one row per manifest row.
    units
        The unit (image, study, patient) of each row; `units.mean` averages scores over units.
    by_unit
        The labels of the units (U, F).
    unit_scores
        One per score set: the scores of the units (U, F), with calls and probabilities where there are any.
    protocol
        What is evaluated and how; `protocol.resampling` says how intervals are made.
    job
        The opened model of the first score set; None if that is a file or table of scores.
    options
        How images are read and streamed.
    notes
        Remarks on how calls and probabilities came about.
    progress
        Where sections report their progress.
    seen
        What the models were trained on of the evaluated rows.
    """

    findings: FindingSet
    selection: Selection
    truth: Labelled
    scores: tuple[Scores, ...]
    units: Units
    by_unit: Labelled
    unit_scores: tuple[UnitScores, ...]
    protocol: Protocol
    job: ScoringJob | None
    options: StreamOptions
    notes: tuple[str, ...] = ()
    progress: Progress = no_progress
    seen: tuple[Seen, ...] = ()

    @cached_property
    def embeddings(self) -> tuple[NDArray[np.float32], ...]:
        """(N, D) embeddings of every image by each model of `job`, NaN for unusable files; computed once."""
        from tier_cli.pipeline.encode import embedding_matrix

        paths = self.selection.manifest.paths
        members = () if self.job is None else self.job.members
        return tuple(embedding_matrix(paths, member, self.options, self.progress) for member in members)


@dataclass(frozen=True)
class Section:
    """An optional part of the report, measured after scoring.

    Parameters
    ----------
    name
        Its key under ``sections`` of the JSON document.
    measure
        Returns the content, ready for JSON (None instead of NaN); None if the section does not apply.
    """

    name: str
    measure: Callable[[Evaluation], dict[str, Any] | None]
