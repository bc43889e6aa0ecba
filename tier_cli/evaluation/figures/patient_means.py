"""Average rows of numbers, with intervals over patients, without keeping the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.ranking import ratio

if TYPE_CHECKING:
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.metrics.ranking import Floats
    from tier_cli.metrics.statistics import Weights

# The most groups of patients for which sums are kept, so that memory stays bounded.
_MOST_GROUPS = 4096


def groups_of(patients: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return the number (N,) of each row's patient.

    More than 4,096 patients share numbers, so that memory stays bounded: intervals are then those of as many
    random groups of patients.
    """
    keys, numbers = np.unique(patients, return_inverse=True)
    if len(keys) > _MOST_GROUPS:
        numbers = np.random.default_rng(0).permutation(len(keys))[numbers] % _MOST_GROUPS
    return np.asarray(numbers, dtype=np.intp)


class PatientMeans:
    """The means of rows of K numbers, which come one by one.

    Parameters
    ----------
    groups
        (N,) the patient of each image, from `groups_of`.
    width
        K.

    Attributes
    ----------
    images
        (N,) which images had a number.
    """

    def __init__(self, groups: NDArray[np.intp], width: int):
        self._groups = groups
        self._sums = np.zeros((2, int(groups.max()) + 1, width))
        self.images = np.zeros(len(groups), dtype=bool)

    def add(self, image: int, values: Floats) -> None:
        """Add rows (n, K) of an image; NaN leaves a number out."""
        known = np.isfinite(values)
        group = self._groups[image]
        self._sums[0, group] += np.where(known, values, 0.0).sum(axis=0)
        self._sums[1, group] += known.sum(axis=0)
        self.images[image] |= bool(known.any())

    @property
    def rows(self) -> NDArray[np.int64]:
        """(K,) how many rows had each number."""
        found: NDArray[np.int64] = self._sums[1].sum(axis=0).astype(np.int64)
        return found

    def estimate(self, how: Resampling) -> Estimate:
        """Return the K means with their resamplings of patients; NaN where no row has the number."""
        used = np.flatnonzero(self._sums[1].any(axis=1))
        sums, counts = self._sums[:, used]

        def statistic(weights: Weights) -> dict[str, Floats]:
            drawn = np.asarray(weights, dtype=np.float64)
            return {"mean": ratio(drawn @ sums, drawn @ counts)}

        return resample({0: statistic}, used, replicates=how.replicates, seed=how.seed)[0]["mean"]
