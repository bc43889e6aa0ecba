"""Compare models with radiologists who are taken as a random sample, and not only with these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.evaluation.intervals import number
from tier_cli.evaluation.measure import holm
from tier_cli.metrics.random_readers import ReaderMean, mean_over_readers, without_each_patient
from tier_cli.metrics.ranking import Floats
from tier_cli.metrics.statistics import Statistic

METHOD = (
    "radiologists and patients are random samples (Obuchowski & Rockette, 1995, with the degrees of freedom "
    "of Hillis, 2007); covariances by jackknife over patients"
)
_LOWEST = {"mcc": -1.0}


@dataclass(frozen=True)
class _Values:
    """A metric of one radiologist or model: (F,) on all rows, and (P, F) without one patient at a time."""

    whole: Floats
    left_out: Floats

    def __sub__(self, other: _Values) -> _Values:
        return _Values(self.whole - other.whole, self.left_out - other.left_out)


def measure_random_readers(
    statistics: Mapping[tuple[str, int], Statistic],
    names: Sequence[str],
    patients: NDArray[np.str_],
    findings: Sequence[str],
    metrics: Sequence[str],
    level: float,
) -> dict[str, Any] | None:
    """Return the radiologists' mean, and score sets minus it, with intervals that hold for others like them.

    Parameters
    ----------
    statistics
        The calls of radiologists and score sets, by ("reader", number) and ("model", number).
    names
        The score sets.
    patients
        (N,) one key per row.
    findings, metrics
        F ids, and the names of the metrics.
    level
        Level of the intervals.

    Returns
    -------
    None for fewer than two radiologists.
    """
    readers = [key for key in statistics if key[0] == "reader"]
    if len(readers) < 2:
        return None
    once = np.ones((1, len(patients)))
    whole = {key: statistic(once) for key, statistic in statistics.items()}
    left_out = without_each_patient(statistics, patients, metrics)
    values = {
        key: {metric: _Values(whole[key][metric][0], left_out[key][metric]) for metric in metrics}
        for key in statistics
    }
    people = {metric: [values[key][metric] for key in readers] for metric in metrics}
    scores: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        table = None
        if ("model", place) in values:
            own = values["model", place]
            minus = {metric: [own[metric] - one for one in each] for metric, each in people.items()}
            table = _table(minus, findings, level, tested=True)
        scores.append({"name": name, "minus_readers": table})
    return {"method": METHOD, "mean_of_readers": _table(people, findings, level), "scores": scores}


def _table(
    values: Mapping[str, Sequence[_Values]], findings: Sequence[str], level: float, tested: bool = False
) -> dict[str, Any]:
    """Return ``findings``, a mapping by id, and ``macro``, the mean over findings that all of them read."""
    rows: dict[str, dict[str, Any]] = {finding: {} for finding in findings}
    macro = {}
    for metric, each in values.items():
        whole, left_out = np.stack([one.whole for one in each]), np.stack([one.left_out for one in each])
        means = [_mean(whole[:, f], left_out[:, :, f], level) for f in range(len(findings))]
        corrected = holm(np.array([one.p for one in means]))
        for finding, mean, p_holm in zip(findings, means, corrected.tolist(), strict=True):
            test = {"p_holm": number(p_holm)} if tested else {}
            rows[finding][metric] = _document(mean, metric, tested) | test
        common = np.isfinite(whole).all(axis=0) & np.isfinite(left_out).all(axis=(0, 1))
        if common.any():
            mean = _mean(whole[:, common].mean(axis=1), left_out[:, :, common].mean(axis=2), level)
        else:
            mean = ReaderMean(np.nan)
        macro[metric] = _document(mean, metric, tested) | {"findings": int(common.sum())}
    return {"findings": rows, "macro": macro}


def _mean(values: Floats, left_out: Floats, level: float) -> ReaderMean:
    """Average over the radiologists (J,) who read the finding; `left_out` is (J, P)."""
    read = np.isfinite(values)
    if not read.any():
        return ReaderMean(np.nan)
    return mean_over_readers(values[read], left_out[read].T, level)


def _document(mean: ReaderMean, metric: str, tested: bool) -> dict[str, Any]:
    low, high = mean.low, mean.high
    if not tested:
        low, high = np.maximum(low, _LOWEST.get(metric, 0.0)), np.minimum(high, 1.0)
    document = {
        "value": number(mean.value),
        "low": number(low),
        "high": number(high),
        "standard_error": number(mean.standard_error),
        "degrees_of_freedom": number(mean.degrees),
    }
    return document | ({"p": number(mean.p)} if tested else {})
