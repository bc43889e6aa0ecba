"""Compare models with radiologists: sensitivity, specificity, MCC and F1 on the same units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.datasets.manifest import READER
from tier_cli.errors import ManifestError
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.document import metric_document
from tier_cli.evaluation.measure import as_metrics
from tier_cli.evaluation.sections.random_readers import measure_random_readers
from tier_cli.evaluation.truth import settle_uncertain
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.ranking import Floats, macro_mean
from tier_cli.metrics.statistics import Statistic, decisions

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.evaluation.unit_scores import UnitScores
    from tier_cli.findings.schema import FindingSet

METRICS = ("sensitivity", "specificity", "f1", "mcc")
# The metrics of the comparison, as in the papers on CheXpert's test set.
COMPARED = ("mcc", "f1")


@dataclass(frozen=True)
class Reads:
    """One radiologist's reads of N images or units.

    Parameters
    ----------
    name
        The radiologist.
    values
        (N, F) 1, 0, -1 = uncertain, NaN = none.
    """

    name: str
    values: Floats


def readers_section() -> Section:
    """Return the section ``readers``, which applies if the manifest has ``reader:`` columns."""
    return Section("readers", _measure)


def _measure(evaluation: Evaluation) -> dict[str, Any] | None:
    found = reads_of(evaluation.selection.manifest, evaluation.findings, evaluation.truth.findings)
    if not found:
        return None
    uncertain = evaluation.protocol.uncertain
    reads = [
        replace(one, values=settle_uncertain(evaluation.units.labels(one.values), uncertain)) for one in found
    ]
    return measure_readers(
        evaluation.by_unit,
        reads,
        evaluation.unit_scores,
        evaluation.protocol.resampling,
        evaluation.units.plural,
    )


def reads_of(manifest: Manifest, findings: FindingSet, wanted: Sequence[str]) -> list[Reads]:
    """Read the radiologists' reads from a manifest's columns ``reader:<name>:<finding>``.

    Parameters
    ----------
    manifest
        N rows.
    findings
        The finding set, whose names and aliases the columns are matched to.
    wanted
        F ids of the set.

    Raises
    ------
    ManifestError
        A column name without reader or finding, two columns of one reader for one finding, or a cell that is
        not a label.
    """
    columns: dict[str, dict[str, str]] = {}
    for column in map(str, manifest.frame.columns):
        if not column.startswith(READER):
            continue
        reader, colon, name = column.removeprefix(READER).rpartition(":")
        if not (reader and colon):
            raise ManifestError(
                f"column {column!r} does not name a reader and a finding",
                where=manifest.origin,
                remedy="call it reader:NAME:FINDING",
            )
        finding = findings.match(name)
        if finding is None or finding.id not in wanted:
            continue
        if columns.setdefault(reader, {}).setdefault(finding.id, column) != column:
            raise ManifestError(
                f"two columns hold {reader}'s reads of {finding.id}",
                where=manifest.origin,
                remedy="keep one of them",
            )
    return [Reads(reader, _parsed(manifest, findings, wanted, of)) for reader, of in columns.items()]


def _parsed(
    manifest: Manifest, findings: FindingSet, wanted: Sequence[str], columns: Mapping[str, str]
) -> Floats:
    """Parse a reader's columns as labels (N, F)."""
    kept = manifest.frame[["path", *columns.values()]]
    frame = kept.rename(columns={c: name for name, c in columns.items()})
    labels = replace(manifest, frame=frame, origin=f"{manifest.origin}, reader").labels(findings)
    return labels[:, [findings.ids.index(name) for name in wanted]]


def measure_readers(
    truth: Labelled, reads: Sequence[Reads], score_sets: Sequence[UnitScores], how: Resampling, plural: str
) -> dict[str, Any]:
    """Measure radiologists and models on the same rows under the same resamplings of patients.

    For each finding, only rows count that have a label, a score of every score set, and a read of every
    radiologist who read the finding at all.

    Parameters
    ----------
    truth
        N rows with labels of F findings.
    reads
        (N, F), one per radiologist.
    score_sets
        One or several.
    how, plural
        How patients are resampled; the plural of the unit.
    """
    kept = _common(truth, reads, score_sets)
    truth, reads, score_sets = kept.truth, kept.reads, kept.score_sets
    statistics = _statistics(kept)
    found = resample(statistics, truth.patients, replicates=how.replicates, seed=how.seed)
    people = [found["reader", number] for number in range(len(reads))]
    mean = {name: _mean_over([one[name] for one in people]) for name in METRICS}
    names = truth.findings
    return {
        "unit": plural,
        "n": len(truth.patients),
        "patients": len(np.unique(truth.patients)),
        "findings": [
            {
                "finding": name,
                "n": int(np.isfinite(truth.labels[:, place]).sum()),
                "positives": int((truth.labels[:, place] == 1).sum()),
                "readers": kept.readers[place],
            }
            for place, name in enumerate(names)
        ],
        "readers": [
            {"name": one.name, **_numbers(estimates, METRICS, names, how)}
            for one, estimates in zip(reads, people, strict=True)
        ],
        "mean_of_readers": _numbers(mean, METRICS, names, how),
        "scores": [
            _model(one, found.get(("model", number)), mean, kept, how)
            for number, one in enumerate(score_sets)
        ],
        "random_readers": measure_random_readers(
            statistics, [one.name for one in score_sets], truth.patients, names, METRICS, how.level
        ),
    }


@dataclass(frozen=True)
class _Common:
    """The rows that all have in common.

    Parameters
    ----------
    truth
        Labels; NaN where a read or a score is missing.
    reads, score_sets
        Radiologists and score sets.
    readers
        The number of radiologists who read each finding.
    """

    truth: Labelled
    reads: list[Reads]
    score_sets: list[UnitScores]
    readers: list[int]


def _common(truth: Labelled, reads: Sequence[Reads], score_sets: Sequence[UnitScores]) -> _Common:
    read = np.array([np.isfinite(one.values).any(axis=0) for one in reads])
    common = np.isfinite(truth.labels) & read.any(axis=0)
    for one in score_sets:
        common &= np.isfinite(one.scores)
    for reader, which in zip(reads, read, strict=True):
        common &= np.isfinite(reader.values) | ~which
    used = np.asarray(common.any(axis=1))
    return _Common(
        replace(truth, labels=np.where(common, truth.labels, np.nan)).where(used),
        [replace(one, values=one.values[used]) for one in reads],
        [one.where(used) for one in score_sets],
        [int(count) for count in read.sum(axis=0)],
    )


def _statistics(kept: _Common) -> dict[tuple[str, int], Statistic]:
    labels = kept.truth.labels
    people = {("reader", number): decisions(labels, one.values) for number, one in enumerate(kept.reads)}
    calls = {("model", number): one.calls for number, one in enumerate(kept.score_sets)}
    models = {key: decisions(labels, each) for key, each in calls.items() if each is not None}
    return people | models


def _model(
    score_set: UnitScores,
    estimates: dict[str, Estimate] | None,
    mean: Mapping[str, Estimate],
    kept: _Common,
    how: Resampling,
) -> dict[str, Any]:
    findings, labels = kept.truth.findings, kept.truth.labels
    under = {
        finding: under_curve(labels[:, f], score_set.scores[:, f], [one.values[:, f] for one in kept.reads])
        for f, finding in enumerate(findings)
    }
    document: dict[str, Any] = {"name": score_set.name, "readers_under_curve": under}
    if estimates is None:
        return document | {"findings": None, "macro": None, "minus_readers": None}
    differences = {name: estimates[name] - mean[name] for name in COMPARED}
    return {
        **document,
        **_numbers(estimates, METRICS, findings, how),
        "minus_readers": _numbers(differences, COMPARED, findings, how, tested=True),
    }


def under_curve(labels: Floats, scores: Floats, reads: Sequence[Floats]) -> int | None:
    """Count the readers whose sensitivity is below the ROC curve at their own false positive rate.

    Parameters
    ----------
    labels, scores
        (N,) of one finding; NaN = left out.
    reads
        (N,) each, of the readers; a reader without any read does not count.

    Returns
    -------
    None if there is no curve because there is only one class.
    """
    known = np.isfinite(labels) & np.isfinite(scores)
    truth, values = labels[known] == 1, scores[known]
    if not (truth.any() and (~truth).any()):
        return None
    cuts = np.unique(values)[::-1]
    found = np.array([0.0, *((values[truth][:, None] >= cuts).mean(axis=0))])
    wrong = np.array([0.0, *((values[~truth][:, None] >= cuts).mean(axis=0))])
    points = []
    for read in reads:
        calls = read[known]
        if np.isfinite(calls).all():
            points.append(((calls[~truth] == 1).mean(), (calls[truth] == 1).mean()))
    return sum(bool(height < _height(wrong, found, place)) for place, height in points)


def _height(wrong: Floats, found: Floats, place: float) -> float:
    """Return the height of the ROC curve at a false positive rate: top of a rise, linear between points."""
    last = int(np.searchsorted(wrong, place, side="right")) - 1
    if wrong[last] == place or last + 1 == wrong.size:
        return float(found[last])
    share = (place - wrong[last]) / (wrong[last + 1] - wrong[last])
    return float(found[last] + share * (found[last + 1] - found[last]))


def _mean_over(estimates: Sequence[Estimate]) -> Estimate:
    """Average over the readers who read a finding."""
    points = macro_mean(np.stack([one.point for one in estimates], axis=-1))
    replicates = macro_mean(np.stack([one.replicates for one in estimates], axis=-1))
    first = estimates[0]
    fewest = None
    if first.patients is not None:
        fewest = np.min([one.patients for one in estimates if one.patients is not None], axis=0)
    return Estimate(points, replicates, patients=fewest, share=first.share)


def _numbers(
    estimates: Mapping[str, Estimate],
    names: Sequence[str],
    findings: Sequence[str],
    how: Resampling,
    tested: bool = False,
) -> dict[str, Any]:
    """Return ``findings``, a mapping by id, and ``macro``, the mean over findings."""
    table = {name: as_metrics(estimates[name], how.level, tested) for name in names}
    means = {name: as_metrics(estimates[name].macro, how.level, tested)[0] for name in names}
    return {
        "findings": {
            finding: {name: metric_document(table[name][place]) for name in names}
            for place, finding in enumerate(findings)
        },
        "macro": {name: metric_document(replace(means[name], p_holm=None)) for name in names},
    }
