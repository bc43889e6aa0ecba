"""Split rows into folds by patient, so that what is fitted on some patients is judged on others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def patient_folds(patients: ArrayLike, positive: ArrayLike, folds: int, seed: int = 0) -> NDArray[np.int64]:
    """Assign each patient to a fold, so that patients with the finding are spread evenly.

    Patients with a positive row are dealt out first, then the others, each group in random order.

    Parameters
    ----------
    patients
        (N,) one key per row.
    positive
        (N,) whether the finding is present.
    folds
        Number of folds.
    seed
        Seed of the random order.

    Returns
    -------
    (N,) the fold of each row, 0 to `folds` - 1.
    """
    keys, row = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    has_positive = np.zeros(len(keys), dtype=bool)
    np.logical_or.at(has_positive, row, np.asarray(positive, dtype=bool))
    order = np.random.default_rng(seed).permutation(len(keys))
    order = np.concatenate([order[has_positive[order]], order[~has_positive[order]]])
    fold_of_patient = np.empty(len(keys), dtype=np.int64)
    fold_of_patient[order] = np.arange(len(keys)) % folds
    return fold_of_patient[row]


def count_patients(patients: ArrayLike, chosen: ArrayLike) -> int:
    """Count the patients with at least one chosen row (N,)."""
    return len(np.unique(np.asarray(patients, dtype=np.str_)[np.asarray(chosen, dtype=bool)]))
