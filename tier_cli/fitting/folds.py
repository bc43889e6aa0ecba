"""Parts of a data set that no patient is in two of, so that what is fitted on some is judged on others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def patient_folds(patients: ArrayLike, positive: ArrayLike, folds: int, seed: int = 0) -> NDArray[np.int64]:
    """Deal patients out to folds: first those with a positive image, then the others, each in random order.

    Parameters
    ----------
    patients
        (N,) one key a row.
    positive
        (N,) whether the finding is present; every fold gets as equal a share of patients with one as can be.
    folds
        How many.
    seed
        Seed of the order.

    Returns
    -------
    (N,) the number of each row's fold, 0 to `folds` - 1.
    """
    keys, row = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    has = np.zeros(len(keys), dtype=bool)
    np.logical_or.at(has, row, np.asarray(positive, dtype=bool))
    order = np.random.default_rng(seed).permutation(len(keys))
    order = np.concatenate([order[has[order]], order[~has[order]]])
    of = np.empty(len(keys), dtype=np.int64)
    of[order] = np.arange(len(keys)) % folds
    return of[row]


def count_patients(patients: ArrayLike, chosen: ArrayLike) -> int:
    """How many patients have a chosen row (N,)."""
    return len(np.unique(np.asarray(patients, dtype=np.str_)[np.asarray(chosen, dtype=bool)]))
