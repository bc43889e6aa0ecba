"""Decide which findings are left out of a fit, and explain why."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from tier_cli.fitting.folds import count_patients

_SHOWN = 3


def too_few_patients(labels: ArrayLike, patients: ArrayLike, method: str, minimum: int) -> str:
    """Return why a finding has too few patients to be fitted; empty if it has enough.

    Parameters
    ----------
    labels, patients
        (N,) 1 = present, 0 = absent, other values are ignored; one key per row.
    method
        What is fitted, for the message.
    minimum
        How many patients with the finding, and how many without, the method needs.
    """
    truth = np.asarray(labels, dtype=np.float64)
    counts = {
        "with": count_patients(patients, truth == 1),
        "without": count_patients(patients, truth == 0),
    }
    side = min(counts, key=lambda one: counts[one])
    count = counts[side]
    if count >= minimum:
        return ""
    found = f"only {count} patient{'s' * (count != 1)}" if count else "no patient"
    return f"{found} {side} the finding; {method} needs at least {minimum}"


def summary(reasons: Mapping[str, str]) -> str:
    """Return the first reasons by finding, and how many more there are."""
    shown = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:_SHOWN])
    more = len(reasons) - _SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown
