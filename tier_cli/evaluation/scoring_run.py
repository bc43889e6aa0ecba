"""Score the rows of an evaluation, and choose thresholds on another split first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tier_cli.evaluation.context import Evaluation
from tier_cli.evaluation.fitted_on import images_of
from tier_cli.evaluation.measure import Resampling
from tier_cli.evaluation.prevalence import NO_CALLS, prevalence_by_finding
from tier_cli.evaluation.protocol import Protocol, SelectedOn
from tier_cli.evaluation.sections.radiologists import reads_of
from tier_cli.evaluation.trained_on import trained_on_notes
from tier_cli.evaluation.truth import labelled
from tier_cli.evaluation.unit_scores import Note, SelectionSplit, check_probabilities, combine_scores

if TYPE_CHECKING:
    from tier_cli.evaluation.candidates import Candidate, ImageScorer
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.selection import Selection
    from tier_cli.evaluation.settings import EvaluationSettings
    from tier_cli.evaluation.source import LabelledSource
    from tier_cli.evaluation.truth import Truth
    from tier_cli.evaluation.unit_scores import UnitScores
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.progress import Progress
    from tier_cli.scoring.operating_points import Rule


@dataclass(frozen=True)
class ScoringRun:
    """Everything that scoring needs.

    Parameters
    ----------
    settings, source, rule
        How to evaluate, on which data, and how thresholds are chosen if they are.
    candidates, findings
        The opened models and scores, and the finding set.
    progress
        Where progress is reported.
    score_images
        What scores the images with a model; None for the plain way.
    """

    settings: EvaluationSettings
    source: LabelledSource
    rule: Rule
    candidates: Sequence[Candidate]
    findings: FindingSet
    progress: Progress
    score_images: ImageScorer | None = None

    @property
    def unit(self) -> str:
        """``image``, ``study`` or ``patient``."""
        return self.settings.unit or "image"

    @property
    def stream(self) -> StreamOptions:
        """How images are read."""
        from tier_cli.pipeline.stream import stream_options

        return stream_options(
            views=self.settings.views,
            decode=self.settings.decode,
            batch_size=self.settings.batch_size,
            workers=self.settings.workers,
            timeout_per_file=self.settings.timeout_per_file,
            memory_per_file=self.settings.memory_per_file,
            runner=self.settings.runner,
        )

    def score(self, rows: Selection, selecting: Selection | None) -> Evaluation:
        """Score the images; first those on which thresholds are chosen."""
        uncertain = self.settings.uncertain
        rows, truth = labelled(rows, self.findings, uncertain, self.unit)
        prevalence = prevalence_by_finding(self.settings.prevalence, self.findings, truth.by_image.findings)
        # Errors in the reads should not come up after an hour of scoring.
        reads_of(rows.manifest, self.findings, truth.by_image.findings)
        selection_splits: list[SelectionSplit] = []
        if selecting is not None:
            selecting, selecting_truth = labelled(selecting, self.findings, uncertain, self.unit)
            selection_splits = self._selection_splits(selecting, selecting_truth)
        scores = self._scores(rows)
        unit_scores, notes = self._unit_scores(rows, truth, scores, selection_splits)
        if prevalence and not any(one.thresholds is not None for one in unit_scores):
            notes = (*notes, NO_CALLS)
        return Evaluation(
            findings=self.findings,
            selection=rows,
            truth=truth.by_image,
            scores=scores,
            units=truth.units,
            by_unit=truth.by_unit,
            unit_scores=unit_scores,
            protocol=self._protocol(rows, self._selected_on(selecting, selection_splits), prevalence),
            job=self.candidates[0].job,
            options=self.stream,
            notes=notes,
            progress=self.progress,
        )

    def _scores(self, rows: Selection) -> tuple[Scores, ...]:
        # Files first: their errors should not come up after an hour of scoring either.
        order = sorted(range(len(self.candidates)), key=lambda n: self.candidates[n].job is not None)
        found: dict[int, Scores] = {}
        for number in order:
            candidate, join = self.candidates[number], self.settings.join
            found[number] = candidate.scores(
                rows.manifest, self.findings, self.stream, join, self.progress, self.score_images
            )
            if self.settings.probabilities and candidate.job is None:
                check_probabilities(found[number])
        return tuple(found[number] for number in range(len(self.candidates)))

    def _selection_splits(self, selecting: Selection, truth: Truth) -> list[SelectionSplit]:
        return [SelectionSplit(selecting.split, self.rule, truth, one) for one in self._scores(selecting)]

    def _unit_scores(
        self,
        rows: Selection,
        truth: Truth,
        scores: Sequence[Scores],
        selection_splits: Sequence[SelectionSplit],
    ) -> tuple[tuple[UnitScores, ...], tuple[str, ...]]:
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
        if selecting is None:
            return None
        unscored = {image.path: image for one in selection_splits for image in one.scores.unscored}
        return SelectedOn(selecting.split, str(self.rule), len(selecting.manifest), tuple(unscored.values()))

    def _protocol(
        self, rows: Selection, selected_on: SelectedOn | None, prevalence: Mapping[str, float]
    ) -> Protocol:
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
            prevalence=prevalence,
            labels="" if self.source.info is None else self.source.info.labels,
            decode=self.settings.decode if any(one.job for one in self.candidates) else "",
        )


def _attributed(score_sets: Sequence[UnitScores], notes: Sequence[Sequence[Note]]) -> list[str]:
    """Prefix the notes that do not apply to all score sets with the name of theirs."""
    return [
        note.text if note.names_set or all(note in others for others in notes) else f"{one.name}: {note.text}"
        for one, own in zip(score_sets, notes, strict=True)
        for note in own
    ]
