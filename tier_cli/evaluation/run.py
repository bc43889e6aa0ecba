"""Evaluate models or scores against the labels of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tier_cli.errors import UsageError
from tier_cli.evaluation.candidates import Evaluable, ImageScorer, is_table, open_candidates
from tier_cli.evaluation.sections.options import check_model, check_options, check_rows, chosen_sections
from tier_cli.evaluation.settings import EvaluationSettings
from tier_cli.evaluation.source import LabelledSource
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.origin import Origin
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.selection import Selection
    from tier_cli.scoring.operating_points import Rule

DEFAULT_RULE = "youden"

# Called with the report so far: after the table (section "") and after each section by its name.
Observer: TypeAlias = Callable[["Report", "Evaluation", str], None]


def _ignore(report: Report, evaluation: Evaluation, section: str) -> None:
    pass


def evaluate(
    scores: Evaluable,
    manifest: str | Path | Manifest | None = None,
    settings: EvaluationSettings | None = None,
    *,
    compare: Sequence[Evaluable] = (),
    command: str = "",
    progress: Progress = no_progress,
    observe: Observer = _ignore,
    score_images: ImageScorer | None = None,
) -> Report:
    """Measure a model or scores against labels, with 95% intervals over patients.

    Parameters
    ----------
    scores
        A model (name, folder or `ScoringJob`), a list of models whose scores are averaged, or scores: a CSV
        or Parquet file, a data frame, or a mapping of columns. Scores have one column per finding, or the
        columns `finding` and `score`, and a column `path`, `instance` or `settings.join`.
    manifest
        The images and labels: a file or a `Manifest`; None with `settings.dataset`.
    settings
        How to evaluate; None for the defaults of `tier eval`.
    compare
        Further models or scores. All are measured on the units that all have scores for, and each is
        subtracted from the first.
    command
        The command line, recorded in the report.
    progress
        Where progress is reported.
    observe
        Called whenever a part of the report is ready, so that nothing is lost if a later part fails.
    score_images
        What scores the images with a model; None for the plain way.

    Raises
    ------
    UsageError
        The settings do not go together.
    ManifestError
        The manifest or a file of scores cannot be used.
    CheckpointError
        A model cannot be used.
    """
    settings = settings or EvaluationSettings()
    rule = _rule(settings)
    data = Path(manifest) if isinstance(manifest, str) else manifest
    root = None if settings.root is None else Path(settings.root)
    source = LabelledSource(
        settings.dataset, data, root, tuple(settings.exclude), settings.views == "frontal"
    )
    info = source.info
    if info is not None:
        settings = replace(
            settings,
            findings=settings.findings or info.findings,
            unit=settings.unit or info.unit,
            sections=replace(settings.sections, exclusive=settings.sections.exclusive or info.exclusive),
        )
    check_options(settings.sections)
    rows = source.rows(settings.split, settings.by)
    check_rows(settings.sections, rows.manifest)
    selecting = _selecting_rows(source, rows, settings.select_on)
    evaluables = (scores, *compare)
    candidates, findings = open_candidates(
        evaluables, settings.findings, settings.engine, settings.device, settings.runner
    )
    check_model(settings.sections, candidates[0].job is not None)
    from tier_cli.evaluation.scoring_run import ScoringRun
    from tier_cli.evaluation.trained_on import without_seen

    checkpoints = [
        member.checkpoint for one in candidates if one.job is not None for member in one.job.members
    ]
    rows, seen = without_seen(checkpoints, rows, source.dataset, settings.exclude_trained)
    if settings.exclude_trained:
        rows = rows.after("images and patients that no model was trained on")
    if selecting is not None:
        selecting, _ = without_seen(checkpoints, selecting, source.dataset, settings.exclude_trained)
    run = ScoringRun(settings, source, rule, candidates, findings, progress, score_images)
    evaluation = replace(run.score(rows, selecting), seen=seen)
    return _measure(evaluation, settings, _origin(evaluation, source, evaluables, command), observe)


def _rule(settings: EvaluationSettings) -> Rule:
    if settings.operating_point is not None and settings.select_on is None:
        raise UsageError(
            "cannot choose thresholds on the evaluated images",
            where="--operating-point",
            remedy="name a split to choose them on with --select-on, e.g. valid",
        )
    from tier_cli.evaluation.thresholds import check_rule

    return check_rule(settings.operating_point or DEFAULT_RULE)


def _selecting_rows(source: LabelledSource, rows: Selection, select_on: str | None) -> Selection | None:
    """Read the split on which thresholds are chosen; refuse one that overlaps the evaluated rows."""
    if select_on is None:
        return None
    from tier_cli.evaluation.thresholds import check_apart

    selecting = source.rows(select_on)
    check_apart(rows, selecting)
    return selecting


def _origin(
    evaluation: Evaluation, source: LabelledSource, evaluables: Sequence[Evaluable], command: str
) -> Origin:
    from tier_cli.evaluation.fitted_on import rows_hash
    from tier_cli.evaluation.origin import record_origin

    tables = [Path(one) for one in evaluables if isinstance(one, str | Path) and is_table(str(one))]
    files = [*([] if source.file is None else [source.file]), *tables]
    return record_origin(command, files, rows_hash(evaluation.selection.manifest, evaluation.truth))


def _measure(
    evaluation: Evaluation, settings: EvaluationSettings, origin: Origin, observe: Observer
) -> Report:
    """Build the report: first the table, then section by section."""
    from tier_cli.evaluation.build import build_report

    sections = list(chosen_sections(settings.sections))
    pending = tuple(section.name for section in sections)
    report = replace(build_report(evaluation, settings.by), origin=origin, pending=pending)
    observe(report, evaluation, "")
    for done, section in enumerate(sections, 1):
        content = section.measure(evaluation)
        report = replace(report, pending=pending[done:])
        if content is not None:
            report = replace(report, sections={**report.sections, section.name: content})
        observe(report, evaluation, section.name)
    return report
