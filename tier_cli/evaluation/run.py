"""Evaluate models or scores against the labels of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError
from tier_cli.evaluation.candidates import Candidate, Evaluable, is_table, open_candidates
from tier_cli.evaluation.sections.options import (
    SectionOptions,
    check_model,
    check_options,
    check_rows,
    chosen_sections,
)
from tier_cli.evaluation.source import LabelledSource, stream_options
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.origin import Origin
    from tier_cli.evaluation.protocol import Protocol, SelectedOn
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.truth import Truth
    from tier_cli.evaluation.unit_scores import Note, SelectionSplit, UnitScores
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.scoring.operating_points import Rule

DEFAULT_RULE = "youden"

# Called with the report so far: after the table (section "") and after each section by its name.
Observer: TypeAlias = Callable[["Report", "Evaluation", str], None]


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


def _ignore(report: Report, evaluation: Evaluation, section: str) -> None:
    pass


def evaluate(
    scores: Evaluable,
    manifest: str | Path | Manifest | None = None,
    settings: EvaluationSettings = EvaluationSettings(),
    *,
    compare: Sequence[Evaluable] = (),
    command: str = "",
    progress: Progress = no_progress,
    observe: Observer = _ignore,
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
        How to evaluate.
    compare
        Further models or scores. All are measured on the units that all have scores for, and each is
        subtracted from the first.
    command
        The command line, recorded in the report.
    progress
        Where progress is reported.
    observe
        Called whenever a part of the report is ready, so that nothing is lost if a later part fails.

    Raises
    ------
    UsageError
        The settings do not go together.
    ManifestError
        The manifest or a file of scores cannot be used.
    CheckpointError
        A model cannot be used.
    """
    rule = _rule(settings)
    data = Path(manifest) if isinstance(manifest, str) else manifest
    source = LabelledSource(
        settings.dataset, data, settings.root, settings.exclude, settings.views == "frontal"
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
    candidates, findings = open_candidates(evaluables, settings.findings, settings.engine, settings.device)
    check_model(settings.sections, candidates[0].job is not None)
    run = _Run(settings, source, rule, candidates, findings, progress)
    evaluation = run.score(rows, selecting)
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

    report = replace(build_report(evaluation, settings.by), origin=origin)
    observe(report, evaluation, "")
    for section in chosen_sections(settings.sections):
        content = section.measure(evaluation)
        if content is not None:
            report = replace(report, sections={**report.sections, section.name: content})
            observe(report, evaluation, section.name)
    return report


@dataclass(frozen=True)
class _Run:
    """What scoring needs: the settings, and the opened candidates with their finding set."""

    settings: EvaluationSettings
    source: LabelledSource
    rule: Rule
    candidates: Sequence[Candidate]
    findings: FindingSet
    progress: Progress

    @property
    def unit(self) -> str:
        return self.settings.unit or "image"

    @property
    def stream(self) -> StreamOptions:
        return stream_options(self.settings.views, self.settings.batch_size, self.settings.workers)

    def score(self, rows: Selection, selecting: Selection | None) -> Evaluation:
        """Score the images; first those on which thresholds are chosen."""
        from tier_cli.evaluation.context import Evaluation
        from tier_cli.evaluation.sections.radiologists import reads_of
        from tier_cli.evaluation.truth import labelled

        uncertain = self.settings.uncertain
        rows, truth = labelled(rows, self.findings, uncertain, self.unit)
        # Errors in the reads should not come up after an hour of scoring.
        reads_of(rows.manifest, self.findings, truth.by_image.findings)
        selection_splits: list[SelectionSplit] = []
        if selecting is not None:
            selecting, selecting_truth = labelled(selecting, self.findings, uncertain, self.unit)
            selection_splits = self._selection_splits(selecting, selecting_truth)
        scores = self._scores(rows)
        unit_scores, notes = self._unit_scores(rows, truth, scores, selection_splits)
        return Evaluation(
            findings=self.findings,
            selection=rows,
            truth=truth.by_image,
            scores=scores,
            units=truth.units,
            by_unit=truth.by_unit,
            unit_scores=unit_scores,
            protocol=self._protocol(rows, self._selected_on(selecting, selection_splits)),
            job=self.candidates[0].job,
            options=self.stream,
            notes=notes,
            progress=self.progress,
        )

    def _scores(self, rows: Selection) -> tuple[Scores, ...]:
        from tier_cli.evaluation.unit_scores import check_probabilities

        # Files first: their errors should not come up after an hour of scoring either.
        order = sorted(range(len(self.candidates)), key=lambda n: self.candidates[n].job is not None)
        found: dict[int, Scores] = {}
        for number in order:
            candidate, join = self.candidates[number], self.settings.join
            found[number] = candidate.scores(rows.manifest, self.findings, self.stream, join, self.progress)
            if self.settings.probabilities and candidate.job is None:
                check_probabilities(found[number])
        return tuple(found[number] for number in range(len(self.candidates)))

    def _selection_splits(self, selecting: Selection, truth: Truth) -> list[SelectionSplit]:
        from tier_cli.evaluation.unit_scores import SelectionSplit

        return [SelectionSplit(selecting.split, self.rule, truth, one) for one in self._scores(selecting)]

    def _unit_scores(
        self,
        rows: Selection,
        truth: Truth,
        scores: Sequence[Scores],
        selection_splits: Sequence[SelectionSplit],
    ) -> tuple[tuple[UnitScores, ...], tuple[str, ...]]:
        from tier_cli.evaluation.fitted_on import images_of
        from tier_cli.evaluation.trained_on import trained_on_notes
        from tier_cli.evaluation.unit_scores import Note, combine_scores

        images = images_of(rows, truth.by_image, self.source.file, self.source.dataset)
        found: list[UnitScores] = []
        notes: list[list[Note]] = []
        for number, (candidate, values) in enumerate(zip(self.candidates, scores, strict=True)):
            split = selection_splits[number] if selection_splits else None
            certain = self.settings.probabilities and candidate.job is None
            one, own = combine_scores(values, truth, candidate.job, split, certain, images)
            members = [] if candidate.job is None else candidate.job.members
            trained = trained_on_notes((member.checkpoint for member in members), rows)
            found.append(one)
            notes.append([*map(Note, values.notes), *own, *(Note(text, names_set=True) for text in trained)])
        texts = _attributed(found, notes)
        if len({one.job.findings.hash for one in self.candidates if one.job is not None}) > 1:
            texts.append("the models score with different prompts: each uses those of its own finding set")
        return tuple(found), tuple(dict.fromkeys(texts))

    def _selected_on(
        self, selecting: Selection | None, selection_splits: Sequence[SelectionSplit]
    ) -> SelectedOn | None:
        from tier_cli.evaluation.protocol import SelectedOn

        if selecting is None:
            return None
        unscored = {image.path: image for one in selection_splits for image in one.scores.unscored}
        return SelectedOn(selecting.split, str(self.rule), len(selecting.manifest), tuple(unscored.values()))

    def _protocol(self, rows: Selection, selected_on: SelectedOn | None) -> Protocol:
        from tier_cli.evaluation.measure import Resampling
        from tier_cli.evaluation.protocol import Protocol

        return Protocol(
            data=self.source.name,
            dataset=self.source.dataset,
            split=rows.split,
            images=len(rows.manifest),
            views="frontal" if self.source.frontal else "all",
            excluded=rows.excluded,
            uncertain=self.settings.uncertain,
            finding_set={"name": self.findings.name, "hash": self.findings.hash},
            models=tuple(one.stamp for one in self.candidates),
            scoring=next((one.job.scoring for one in self.candidates if one.job is not None), ""),
            resampling=Resampling(self.settings.replicates, self.settings.seed),
            unit=self.unit,
            selected_on=selected_on,
        )


def _attributed(score_sets: Sequence[UnitScores], notes: Sequence[Sequence[Note]]) -> list[str]:
    """Prefix the notes that do not apply to all score sets with the name of theirs."""
    return [
        note.text if note.names_set or all(note in others for others in notes) else f"{one.name}: {note.text}"
        for one, own in zip(score_sets, notes, strict=True)
        for note in own
    ]
