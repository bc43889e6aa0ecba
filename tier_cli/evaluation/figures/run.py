"""Make the figures of one or several models and write them into a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import ManifestError, UsageError
from tier_cli.evaluation.figures.measured import SPREAD, Measured, Rows, grid_of_model, measure_model
from tier_cli.evaluation.intervals import documents
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.source import LabelledSource
from tier_cli.files.atomic import check_new_folder, whole_folder
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    from tier_cli.evaluation.figures.figure import Figure
    from tier_cli.evaluation.figures.question import Against, Question
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.settings import EvaluationSettings
    from tier_cli.findings.schema import FindingSet
    from tier_cli.metrics.bootstrap import Estimate
    from tier_cli.pipeline.scoring_job import ScoringJob

SCHEMA_VERSION = 1
DOCUMENT, CAPTIONS = "figures.json", "README.md"
# As many models as colours, line styles and markers tell apart.
_MOST_MODELS = 7


@dataclass(frozen=True, eq=False)
class WrittenFigures:
    """The figures that were written.

    Parameters
    ----------
    document
        The content of figures.json.
    notes
        Remarks for the reader: what was left out, and which figures were not drawn and why.
    complete
        Whether every image could be used.
    """

    document: Mapping[str, Any]
    notes: tuple[str, ...]
    complete: bool


def make_figures(
    models: Sequence[str],
    data: Path | None,
    output: Path,
    settings: EvaluationSettings,
    against: Against | None = None,
    *,
    command: str = "",
    progress: Progress = no_progress,
) -> WrittenFigures:
    """Draw the figures of Palepu & Beam (MLHC 2023) for one or several models.

    Parameters
    ----------
    models
        Names or folders of checkpoints.
    data
        A manifest; None with `settings.dataset`.
    output
        The folder to write, new or empty: whole or not at all.
    settings
        Which rows, which finding set, and how intervals are made.
    against
        What patches are compared with, see `tier_cli.evaluation.figures.question.ask`.
    command
        The command line, for the record.
    progress
        Where progress is reported.

    Raises
    ------
    UsageError
        The output exists, or there are too many models.
    CheckpointError
        A checkpoint cannot be used, or has no grid of patches.
    ManifestError
        The manifest cannot be used, or no image could be compared with anything.
    """
    check_new_folder(output)
    if len(models) > _MOST_MODELS:
        raise UsageError(
            f"a figure shows at most {_MOST_MODELS} models",
            where="--model",
            remedy="make several sets of figures",
        )
    root = None if settings.root is None else Path(settings.root)
    source = LabelledSource(
        settings.dataset, data, root, tuple(settings.exclude), settings.views == "frontal"
    )
    selection = source.rows(settings.split)
    jobs = _open(models, settings, None if source.info is None else source.info.findings)
    run = _Run(jobs, source, selection, settings, command)
    return run.write(output, against, progress)


def _open(models: Sequence[str], settings: EvaluationSettings, default: str | None) -> dict[str, ScoringJob]:
    """Open the models with the finding set of the first, and refuse one without patches at once."""
    from tier_cli.pipeline.scoring_job import open_job

    first = open_job(models[0], settings.findings or default, settings.engine, settings.device)
    others = [open_job(name, first.findings, settings.engine, settings.device) for name in models[1:]]
    jobs = [first, *others]
    for job in jobs:
        grid_of_model(job.members[0])
    names = [job.checkpoint.name for job in jobs]
    if len(set(names)) < len(names):
        names = list(models)
    if len(set(names)) < len(names):
        raise UsageError("the same model is given twice", where="--model", remedy="name each model once")
    return dict(zip(names, jobs, strict=True))


class _Run:
    """One set of figures."""

    def __init__(
        self,
        jobs: Mapping[str, ScoringJob],
        source: LabelledSource,
        selection: Selection,
        settings: EvaluationSettings,
        command: str,
    ):
        from tier_cli.evaluation.trained_on import trained_on_notes, without_seen

        self._jobs, self._source, self._settings, self._command = jobs, source, settings, command
        checkpoints = [job.checkpoint for job in jobs.values()]
        self._selection, seen = without_seen(checkpoints, selection, source.dataset, settings.exclude_trained)
        self._notes = [*self._selection.notes, *(one.text for one in seen)]
        self._notes += trained_on_notes(checkpoints, self._selection)
        self._how = Resampling(settings.replicates, settings.seed)

    @property
    def _findings(self) -> FindingSet:
        return next(iter(self._jobs.values())).findings

    def write(self, output: Path, against: Against | None, progress: Progress) -> WrittenFigures:
        from tier_cli.evaluation.figures.question import ask

        manifest = self._selection.manifest
        question = ask(against, manifest, self._findings, self._settings.seed)
        if question.blank:
            self._notes.append(f"{question.blank} of {len(manifest)} images not compared: {question.lacking}")
        measured = self._measure(question, progress)
        figures = self._figures(measured, question)
        with whole_folder(output) as folder:
            files = {figure.name: figure.write(folder) for figure in figures}
            document = self._document(measured, question, figures, files)
            text = json.dumps(document, indent=2, allow_nan=False) + "\n"
            (folder / DOCUMENT).write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
            captions = _captions(figures, self._notes)
            (folder / CAPTIONS).write_text(captions, encoding="utf-8", errors="surrogateescape", newline="")
        return WrittenFigures(document, tuple(self._notes), not any(one.left_out for one in measured))

    def _measure(self, question: Question, progress: Progress) -> list[Measured]:
        from tier_cli.evaluation.sections.grounding_cases import read_targets
        from tier_cli.pipeline.stream import stream_options

        manifest, settings = self._selection.manifest, self._settings
        targets, notes = read_targets(manifest, self._findings)
        self._notes += notes
        rows = Rows(manifest.paths, manifest.patients(), self._findings.ids, targets)
        options = stream_options(
            views=settings.views,
            decode=settings.decode,
            batch_size=settings.batch_size,
            workers=settings.workers,
            timeout_per_file=settings.timeout_per_file,
            memory_per_file=settings.memory_per_file,
        )
        found = []
        for name, job in self._jobs.items():
            with progress(len(manifest), f"Comparing patches: {name}") as tick:
                one = measure_model(name, job.members[0], rows, question, options, self._how, tick)
            if not one.pairs:
                raise ManifestError(
                    f"no image could be compared with {question.about}",
                    where=manifest.origin,
                    remedy=f"check the images ({_counts(one.left_out) or question.lacking}) and --against",
                )
            found.append(one)
        return found

    def _figures(self, models: Sequence[Measured], question: Question) -> list[Figure]:
        """Make the figures that can be drawn, and note why others cannot."""
        from tier_cli.evaluation.figures.in_regions import aucs, distribution
        from tier_cli.evaluation.figures.profiles import importance, rank_profile
        from tier_cli.evaluation.figures.spread import spread_figure
        from tier_cli.evaluation.figures.training import training_figure

        figures = [make(models, question, self._how) for make in (rank_profile, importance, spread_figure)]
        if any(one.regions is not None for one in models):
            labels = {finding.id: finding.label for finding in self._findings.findings}
            figures += [distribution(models, self._how), aucs(models, labels, self._how)]
        else:
            self._notes.append(
                "no figure of regions: no image has boxes or a mask, in view, of a finding of the set"
            )
        training = training_figure({name: job.checkpoint.path for name, job in self._jobs.items()})
        if training is None:
            self._notes.append("no figure of the training: no checkpoint has a metrics.jsonl")
        else:
            figures.append(training)
        for one in models:
            self._notes += [
                f"{one.name}: {_counted(count, 'image')} left out: {why}"
                for why, count in one.left_out.items()
            ]
            if one.regions is not None:
                self._notes += [
                    f"{one.name}: {_counted(count, 'region')} left out: {why}"
                    for why, count in one.regions.left_out.items()
                ]
        return figures

    def _document(
        self,
        models: Sequence[Measured],
        question: Question,
        figures: Sequence[Figure],
        files: Mapping[str, Sequence[str]],
    ) -> dict[str, Any]:
        selection = self._selection
        return {
            "schema_version": SCHEMA_VERSION,
            "origin": asdict(self._origin()),
            "data": self._source.name,
            "dataset": self._source.dataset,
            "split": selection.split,
            "views": "frontal" if self._source.frontal else "all",
            "excluded": list(selection.excluded),
            "images": len(selection.manifest),
            "patients": len(np.unique(selection.manifest.patients())),
            "finding_set": {"name": self._findings.name, "hash": self._findings.hash},
            "compared_with": {"against": question.kind, "about": question.about, "blank": question.blank},
            "resampling": asdict(self._how),
            "models": [
                {
                    "model": job.stamp.to_dict(),
                    **_model_document(one, models[0], self._how.level),
                }
                for one, job in zip(models, self._jobs.values(), strict=True)
            ],
            "figures": [
                {"name": one.name, "title": one.title, "caption": one.caption, "files": list(files[one.name])}
                for one in figures
            ],
            "notes": list(self._notes),
        }

    def _origin(self) -> Any:
        from tier_cli.evaluation.fitted_on import rows_hash
        from tier_cli.evaluation.origin import record_origin
        from tier_cli.evaluation.truth import Labelled
        from tier_cli.training.loop.log import METRICS

        manifest = self._selection.manifest
        labels = Labelled(self._findings.ids, manifest.labels(self._findings), manifest.patients())
        logs = [job.checkpoint.path / METRICS for job in self._jobs.values()]
        files = [*([] if self._source.file is None else [self._source.file]), *logs]
        return record_origin(self._command, files, rows_hash(manifest, labels))


def _model_document(one: Measured, first: Measured, level: float) -> dict[str, Any]:
    """Return a model's numbers, and its differences from the first model on the same images."""
    paired = one is not first and bool(np.array_equal(one.images, first.images))
    content: dict[str, Any] = {
        "name": one.name,
        "grid": list(one.grid),
        "images": int(one.images.sum()),
        "patients": one.patients,
        "pairs": one.pairs,
        "pairs_with_positive_total": one.positive_pairs,
        "spread": dict(zip(SPREAD, documents(one.spread, level), strict=True)),
        "left_out": dict(one.left_out),
    }
    if paired:
        difference = documents(one.spread - first.spread, level)
        content["spread_minus_first"] = dict(zip(SPREAD, difference, strict=True))
    if one.regions is not None:
        content["regions"] = {
            "similarity": one.regions.similarity,
            "cases": sum(one.regions.cases),
            "patients": one.regions.all_patients,
            "auc": _first(one.regions.auc.macro, level),
            "inside_minus_outside": _first(one.regions.gap, level),
            "left_out": dict(one.regions.left_out),
        }
        if paired and first.regions is not None and one.regions.cases == first.regions.cases:
            gap = one.regions.auc - first.regions.auc
            content["regions"]["auc_minus_first"] = _first(gap.macro, level)
    return content


def _first(estimate: Estimate, level: float) -> dict[str, float | None]:
    return documents(estimate, level)[0]


def _counts(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {why}" for why, count in left_out.items())


def _captions(figures: Sequence[Figure], notes: Sequence[str]) -> str:
    """Return a page with the figures and their captions."""
    parts = ["# Figures", f"`{DOCUMENT}` holds what determines them. For research use."]
    for figure in figures:
        parts += [f"## {figure.title}", f"![{figure.title}]({figure.name}.png)", figure.caption]
    if notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
