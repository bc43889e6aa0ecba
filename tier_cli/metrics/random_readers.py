"""Average over readers who are a random sample: the method of Obuchowski and Rockette.

Obuchowski & Rockette, Communications in Statistics 1995; 24: 285-308; with the degrees of freedom of Hillis,
Statistics in Medicine 2007; 26: 596-619, for one test (section 5.3). Two tests read by the same readers are
the same analysis of the readers' differences.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.ranking import Floats
from tier_cli.metrics.statistics import Statistic

Key = TypeVar("Key", bound=Hashable)

_CELLS = 1_000_000  # weights held at a time


@dataclass(frozen=True)
class ReaderMean:
    """The mean of a metric over a random sample of readers, with an interval for all such readers and cases.

    Parameters
    ----------
    value, standard_error, degrees
        The mean, its standard error, and the degrees of freedom of its t distribution.
    low, high
        The bounds of its interval.
    p
        Two-sided, against 0.
    """

    value: float
    standard_error: float = np.nan
    degrees: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan


def mean_over_readers(values: Floats, left_out: Floats, level: float = 0.95) -> ReaderMean:
    """Average a metric, or a difference of two, over readers who are a random sample.

    Parameters
    ----------
    values
        (J,) the metric of each reader on all cases.
    left_out
        (P, J) the same without one patient at a time, for the covariances of the readers by jackknife.
    level
        Level of the interval.

    Returns
    -------
    Only the mean, without an interval, for fewer than two readers, if a metric is missing without a patient,
    or if neither readers nor cases make a difference.

    Examples
    --------
    >>> left_out = np.array([[0.70, 0.79], [0.72, 0.80], [0.74, 0.84]])
    >>> mean = mean_over_readers(np.array([0.72, 0.81]), left_out)
    >>> round(mean.value, 3), round(mean.standard_error, 3), round(mean.degrees, 1)
    (0.765, 0.052, 1.8)
    """
    value, readers = float(values.mean()), values.size
    if readers < 2 or not np.isfinite(left_out).all():
        return ReaderMean(value)
    moved = left_out - left_out.mean(axis=0)
    covariances = (len(moved) - 1) / len(moved) * (moved.T @ moved)
    between = covariances[~np.eye(readers, dtype=bool)].mean()
    spread, shared = values.var(ddof=1), readers * max(between, 0.0)
    error = np.sqrt((spread + shared) / readers)
    # A spread of rounding errors is none.
    if error < 1e-9:
        return ReaderMean(value)
    from scipy.special import stdtr, stdtrit

    degrees = min((readers - 1) * ((spread + shared) / max(spread, 1e-12)) ** 2, 1e9)
    half = stdtrit(degrees, (1 + level) / 2) * error
    p = 2 * stdtr(degrees, -abs(value) / error)
    return ReaderMean(value, float(error), float(degrees), value - half, value + half, float(p))


def without_each_patient(
    statistics: Mapping[Key, Statistic], patients: Sequence[str] | NDArray[np.generic], names: Sequence[str]
) -> dict[Key, dict[str, Floats]]:
    """Measure statistics without one patient at a time.

    Parameters
    ----------
    statistics
        Functions of weights (R, N), from `tier_cli.metrics.statistics`.
    patients
        (N,) one key per row.
    names
        The metrics to return.

    Returns
    -------
    For each key of `statistics`, (P, F) by metric name; NaN where a class is empty without the patient.
    """
    keys, row_patient = np.unique(np.asarray(patients), return_inverse=True)
    parts: dict[Key, dict[str, list[Floats]]] = {key: {name: [] for name in names} for key in statistics}
    chunk = max(1, _CELLS // max(1, len(row_patient)))
    for first in range(0, len(keys), chunk):
        out = np.arange(first, min(first + chunk, len(keys)))
        weights = (row_patient != out[:, None]).astype(np.int32)
        for key, statistic in statistics.items():
            found = statistic(weights)
            for name in names:
                parts[key][name].append(found[name])
    return {key: {name: np.concatenate(one) for name, one in each.items()} for key, each in parts.items()}
