"""Evaluate models, results or scores from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tier_cli.api.model import Model
from tier_cli.api.python_terms import python_terms
from tier_cli.arguments import check_flags, path_text
from tier_cli.datasets.registry import CSV
from tier_cli.errors import ManifestError, UsageError
from tier_cli.evaluation.candidates import is_table
from tier_cli.evaluation.settings import EvaluationSettings
from tier_cli.packages import require_extras
from tier_cli.progress import no_progress
from tier_cli.results.record import Result

if TYPE_CHECKING:
    import pandas as pd

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.candidates import Evaluable
    from tier_cli.evaluation.report import Report
    from tier_cli.findings.load import FindingSpec
    from tier_cli.findings.schema import FindingSet

    Scores: TypeAlias = (
        str | os.PathLike[str] | Model | Iterable[Result] | pd.DataFrame | Mapping[str, Sequence[Any]]
    )
    Given: TypeAlias = str | Path | Model | list[Result] | pd.DataFrame | Mapping[str, Sequence[Any]]


@python_terms(data="manifest=", model="a model")
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
        `Model.classify`, measured on the built-in finding set that they have scores for; or scores with one
        column per finding and a column ``path`` or ``instance``: a CSV or Parquet file, a data frame, or a
        mapping of columns.
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
        If an argument is wrong, the settings contradict each other, or no finding set is known.
    ManifestError
        If the manifest or the scores cannot be used.
    CheckpointError
        If a model cannot be used.
    """
    from tier_cli.evaluation import run

    require_extras("evaluate", "eval")
    check_flags(progress=progress)
    shown = no_progress
    if progress:
        from tier_cli.display.progress import progress_on_stderr as shown
    if not isinstance(settings, EvaluationSettings):
        raise UsageError(
            f"cannot be {settings!r}", where="settings=", remedy="give tier.EvaluationSettings(...)"
        )
    given = [_results(one) for one in (scores, *compare)]
    if settings.findings is None and settings.dataset == CSV:
        settings = replace(settings, findings=_findings_of_results(given))
    first, *others = (_evaluable(one, settings) for one in given)
    return run.evaluate(first, _manifest(manifest), settings, compare=others, progress=shown)


def _manifest(manifest: object) -> Path | Manifest | None:
    from tier_cli.datasets.manifest import Manifest

    if manifest is None or isinstance(manifest, Manifest):
        return manifest
    return Path(path_text("manifest", manifest))


def _results(
    scores: Scores,
) -> str | Path | Model | list[Result] | pd.DataFrame | Mapping[str, Sequence[Any]]:
    """Refuse scores of a wrong kind; collect results, which may come from a generator, in a list."""
    if isinstance(scores, str | os.PathLike):
        name = path_text("scores", scores)
        if is_table(name) and not os.path.exists(name):
            raise ManifestError("no such file", where=name, remedy="check the path")
        return Path(scores) if isinstance(scores, os.PathLike) else scores
    if isinstance(scores, Model):
        return scores
    import pandas as pd

    if isinstance(scores, pd.DataFrame | Mapping):
        return scores
    results = list(scores) if isinstance(scores, Iterable) else [scores]
    if not results:
        raise UsageError("no results", where="scores=", remedy="give the results of Model.classify")
    for one in results:
        if not isinstance(one, Result):
            raise UsageError(
                f"cannot evaluate {one!r}",
                where="scores=",
                remedy="give a model, results of Model.classify, a file or a table of scores; "
                "average several models with tier.load([...])",
            )
    return results


def _evaluable(scores: Given, settings: EvaluationSettings) -> Evaluable:
    """Return scores in a form that the evaluation takes."""
    if isinstance(scores, Model):
        return scores.job(_findings(settings))
    if isinstance(scores, list):
        from tier_cli.results.dataframe import to_dataframe

        return to_dataframe(scores, wide=True)
    return scores


def _findings_of_results(given: Sequence[Given]) -> str | None:
    """Return the built-in finding set that results have scores for; None if a model brings its own set.

    Raises
    ------
    UsageError
        The results have scores for another set, which only the caller knows.
    """
    results = [result for one in given if isinstance(one, list) for result in one]
    named = (isinstance(one, str | Path) and not is_table(str(one)) for one in given)
    if not results or any(named) or any(isinstance(one, Model) for one in given):
        return None
    from tier_cli.findings.load import builtin, builtin_names

    hashes = {result.model.findings for result in results}
    name = next((name for name in builtin_names() if hashes == {builtin(name).hash}), None)
    if name is None:
        raise UsageError(
            "the results do not belong to one built-in finding set",
            where="settings=",
            remedy="give their finding set: tier.EvaluationSettings(findings=...)",
        )
    return name


def _findings(settings: EvaluationSettings) -> FindingSpec | FindingSet | None:
    """Return the finding set to evaluate, that of the data set by default; None for the model's own."""
    if settings.findings is not None or settings.dataset == CSV:
        return settings.findings
    from tier_cli.datasets.registry import dataset_info

    return dataset_info(settings.dataset).findings
