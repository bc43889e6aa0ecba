"""Measure several models on several data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tier_cli.datasets.registry import CSV
from tier_cli.errors import TierError, UsageError
from tier_cli.evaluation.data_set import DataSet
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.model_table import Cell, ModelTable
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    from tier_cli.evaluation.settings import EvaluationSettings
    from tier_cli.pipeline.scoring_job import ScoringJob

# Called with the table so far, after each cell.
Observer = Callable[[ModelTable], None]


def measure_table(
    models: Sequence[str],
    datasets: Sequence[DataSet],
    settings: EvaluationSettings,
    *,
    command: str = "",
    progress: Progress = no_progress,
    observe: Observer = lambda table: None,
) -> ModelTable:
    """Measure each model on each data set; what fails becomes a cell with the reason.

    Scores are kept in the cache folder, see `score_with_cache`. Each model is opened once.

    Parameters
    ----------
    models
        Names or folders; a folder of an ensemble is one model.
    datasets
        Each with the folder of its download, or its manifest.
    settings
        For all of them. A data set's own finding set and unit are used where the settings name none.
    command
        The command line, recorded in the table.
    progress
        Where progress is reported.
    observe
        Called with the table so far, so that an interrupted run loses nothing.

    Raises
    ------
    UsageError
        A model or a data set is named twice.
    CheckpointError
        A model does not exist.
    """
    from tier_cli.evaluation.origin import record_origin
    from tier_cli.model.ensemble import members

    _check_distinct("--model", models)
    _check_distinct("--dataset", [one.label for one in datasets])
    for model in models:
        members(model)
    table = ModelTable(
        tuple(one.label for one in datasets),
        tuple(models),
        Resampling(settings.replicates, settings.seed),
        origin=record_origin(command, [], ""),
    )
    for model in models:
        job: ScoringJob | None = None
        for dataset in datasets:
            try:
                job = job or _open(model, settings)
                cell = _cell(model, job, dataset, settings, progress)
            except TierError as error:
                cell = Cell(dataset.label, model, reason=str(error))
            table = replace(table, cells={**table.cells, (dataset.label, model): cell})
            observe(table)
    return table


def _open(model: str, settings: EvaluationSettings) -> ScoringJob:
    from tier_cli.pipeline.scoring_job import open_job

    return open_job([model], settings.findings, settings.engine, settings.device, settings.runner)


def _cell(
    model: str, job: ScoringJob, dataset: DataSet, settings: EvaluationSettings, progress: Progress
) -> Cell:
    from tier_cli.evaluation.run import evaluate
    from tier_cli.evaluation.score_cache import score_with_cache
    from tier_cli.pipeline.scoring_job import choose_findings

    own = replace(settings, dataset=dataset.name, root=None if dataset.name == CSV else dataset.place)
    findings = own.findings
    if findings is None and dataset.name != CSV:
        from tier_cli.datasets.registry import dataset_info

        findings = dataset_info(dataset.name).findings
    if findings is not None:
        job = job.with_findings(choose_findings(findings, job.checkpoint.findings))
    manifest = dataset.place if dataset.name == CSV else None
    report = evaluate(job, manifest, own, progress=progress, score_images=score_with_cache)
    return Cell(dataset.label, model, report)


def _check_distinct(option: str, names: Sequence[str]) -> None:
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice!r} is given twice", where=option, remedy="name each once")
