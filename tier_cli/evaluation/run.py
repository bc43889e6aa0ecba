"""From rows and score sets to an evaluation whose images have been scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tier_cli.evaluation.candidates import Candidate, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tier_cli.commands.evaluate.data import Data
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.measure import Contender
    from tier_cli.evaluation.report import Protocol, SelectedOn
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.selection import Selection, Truth
    from tier_cli.evaluation.unit_scores import Selecting
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.scoring.operating_points import Rule


@dataclass(frozen=True)
class Given:
    """What was asked for.

    Parameters
    ----------
    source
        The data.
    unit
        What is counted: ``image``, ``study`` or ``patient``.
    uncertain
        What labels of -1 count as.
    join
        The column that scores from a file are joined on.
    probabilities
        Files of scores hold probabilities.
    rule
        How thresholds are chosen, if they are.
    replicates, seed
        How patients are resampled.
    stream
        How images are read.
    """

    source: Data
    unit: str
    uncertain: str
    join: str | None
    probabilities: bool
    rule: Rule
    replicates: int
    seed: int
    stream: StreamOptions


def run(
    given: Given,
    rows: Selection,
    selecting: Selection | None,
    sets: Sequence[Candidate],
    findings: FindingSet,
) -> Evaluation:
    """Score the images, first those that thresholds are chosen on.

    Parameters
    ----------
    given
        What was asked for.
    rows, selecting
        What is evaluated, and what thresholds are chosen on.
    sets
        What is measured, one or several.
    findings
        The finding set.
    """
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.sections.radiologists import reads_of
    from tier_cli.evaluation.selection import labelled

    rows, truth = labelled(rows, findings, given.uncertain, given.unit)
    # What is wrong with the reads should not be told after an hour of scoring.
    reads_of(rows.manifest, findings, truth.by_image.findings)
    chosen_on: list[Selecting] = []
    if selecting is not None:
        selecting, theirs = labelled(selecting, findings, given.uncertain, given.unit)
        chosen_on = _selecting(given, selecting, theirs, sets, findings)
    scores = _scores(given, rows, sets, findings)
    contenders, notes = _contend(given, rows, truth, sets, scores, chosen_on)
    return Evaluation(
        findings=findings,
        selection=rows,
        truth=truth.by_image,
        scores=scores,
        units=truth.units,
        by_unit=truth.by_unit,
        contenders=contenders,
        protocol=_protocol(given, rows, sets, findings, _selected_on(given, selecting, chosen_on)),
        job=sets[0].job,
        options=given.stream,
        score=score,
        notes=notes,
    )


def _scores(
    given: Given, rows: Selection, sets: Sequence[Candidate], findings: FindingSet
) -> tuple[Scores, ...]:
    from tier_cli.evaluation.unit_scores import check_probabilities

    # Files first, for the same reason.
    order = sorted(range(len(sets)), key=lambda number: sets[number].job is not None)
    found: dict[int, Scores] = {}
    for number in order:
        found[number] = sets[number].scores(rows.manifest, findings, given.stream, given.join)
        if given.probabilities and sets[number].job is None:
            check_probabilities(found[number])
    return tuple(found[number] for number in range(len(sets)))


def _selecting(
    given: Given, selecting: Selection, truth: Truth, sets: Sequence[Candidate], findings: FindingSet
) -> list[Selecting]:
    from tier_cli.evaluation.unit_scores import Selecting

    scores = _scores(given, selecting, sets, findings)
    return [Selecting(selecting.split, given.rule, truth, one) for one in scores]


def _contend(
    given: Given,
    rows: Selection,
    truth: Truth,
    sets: Sequence[Candidate],
    scores: Sequence[Scores],
    chosen_on: Sequence[Selecting],
) -> tuple[tuple[Contender, ...], tuple[str, ...]]:
    from tier_cli.evaluation.fitted_on import images_of
    from tier_cli.evaluation.trained_on import trained_on_notes
    from tier_cli.evaluation.unit_scores import contend

    images = images_of(rows, truth.by_image, given.source.data, given.source.dataset)
    contenders: list[Contender] = []
    heard: list[list[str]] = []
    for number, (one, values) in enumerate(zip(sets, scores, strict=True)):
        selecting = chosen_on[number] if chosen_on else None
        certain = given.probabilities and one.job is None
        contender, said = contend(values, truth, one.job, selecting, certain, images)
        contenders.append(contender)
        members = [] if one.job is None else one.job.members
        heard.append(
            [*values.notes, *said, *trained_on_notes((member.checkpoint for member in members), rows)]
        )
    notes = _whose(contenders, heard)
    if len({one.job.findings.hash for one in sets if one.job is not None}) > 1:
        notes.append("the two models score with different prompts, each with those of its own finding set")
    return tuple(contenders), tuple(dict.fromkeys(notes))


def _whose(contenders: Sequence[Contender], heard: Sequence[Sequence[str]]) -> list[str]:
    """A note that is not of all score sets says of which it is."""
    return [
        note if note.startswith(one.name) or all(note in said for said in heard) else f"{one.name}: {note}"
        for one, notes in zip(contenders, heard, strict=True)
        for note in notes
    ]


def _selected_on(
    given: Given, selecting: Selection | None, chosen_on: Sequence[Selecting]
) -> SelectedOn | None:
    from tier_cli.evaluation.report import SelectedOn

    if selecting is None:
        return None
    unscored = {image.path: image for one in chosen_on for image in one.scores.unscored}
    return SelectedOn(selecting.split, str(given.rule), len(selecting.manifest), tuple(unscored.values()))


def _protocol(
    given: Given,
    rows: Selection,
    sets: Sequence[Candidate],
    findings: FindingSet,
    selected_on: SelectedOn | None,
) -> Protocol:
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.report import Protocol

    return Protocol(
        data=given.source.name,
        dataset=given.source.dataset,
        split=rows.split,
        images=len(rows.manifest),
        views="frontal" if given.source.frontal else "all",
        excluded=rows.excluded,
        uncertain=given.uncertain,
        finding_set={"name": findings.name, "hash": findings.hash},
        models=tuple(one.stamp for one in sets),
        scoring=next((one.job.scoring for one in sets if one.job is not None), ""),
        resampling=Resampling(given.replicates, given.seed),
        unit=given.unit,
        selected_on=selected_on,
    )
