"""Evaluate models, results or scores from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tier_cli.api.model import Model
from tier_cli.datasets.registry import CSV
from tier_cli.evaluation.settings import EvaluationSettings
from tier_cli.progress import no_progress
from tier_cli.results.record import Result

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.candidates import Evaluable
    from tier_cli.evaluation.report import Report

    Scores: TypeAlias = (
        str | os.PathLike[str] | Model | Iterable[Result] | pd.DataFrame | Mapping[str, Sequence[Any]]
    )


def evaluate(
    scores: Scores,
    manifest: str | os.PathLike[str] | Manifest | None = None,
    settings: EvaluationSettings = EvaluationSettings(),
    *,
    compare: Sequence[Scores] = (),
    progress: bool = False,
) -> Report:
    """Measure scores against labels, with the same numbers as ``tier eval``.

    Parameters
    ----------
    scores
        A `Model`, or the name or folder of a checkpoint, which scores the images first; results of
        `Model.classify`; or scores with one column per finding and a column ``path`` or ``instance``: a CSV
        or Parquet file, a data frame, or a mapping of columns.
    manifest
        The images and labels; None with `EvaluationSettings.dataset`.
    settings
        How to evaluate.
    compare
        Further models or scores, each subtracted from the first.
    progress
        Show a progress bar.

    Returns
    -------
    The report. ``report.to_dict()`` is the JSON document that ``tier eval --output`` writes.

    Raises
    ------
    UsageError
        If the settings contradict each other.
    ManifestError
        If the manifest or the scores cannot be used.
    CheckpointError
        If a model cannot be used.
    """
    from tier_cli.evaluation import run

    shown = no_progress
    if progress:
        from tier_cli.display.progress import progress_on_stderr as shown
    return run.evaluate(
        _evaluable(scores, settings),
        Path(manifest) if isinstance(manifest, os.PathLike) else manifest,
        settings,
        compare=[_evaluable(one, settings) for one in compare],
        progress=shown,
    )


def _evaluable(scores: Scores, settings: EvaluationSettings) -> Evaluable:
    """Return scores in a form that the evaluation takes."""
    if isinstance(scores, str):
        return scores
    if isinstance(scores, os.PathLike):
        return Path(scores)
    if isinstance(scores, Model):
        return scores.job(_findings(settings))
    import pandas as pd

    if isinstance(scores, pd.DataFrame | Mapping):
        return scores
    from tier_cli.results.dataframe import to_dataframe

    return to_dataframe(scores, wide=True)


def _findings(settings: EvaluationSettings) -> str | None:
    """Return the finding set to evaluate, that of the data set by default; None for the model's own."""
    if settings.findings is not None or settings.dataset == CSV:
        return settings.findings
    from tier_cli.datasets.registry import dataset_info

    return dataset_info(settings.dataset).findings
