"""Translate the names that others give to the splits train, valid and test."""

from __future__ import annotations

# What others call a split -> its name here.
SPLIT_NAMES = {
    "val": "valid",
    "validate": "valid",
    "validation": "valid",
    "dev": "valid",
    "training": "train",
    "testing": "test",
}


def usual_split(name: str) -> str:
    """Return ``train``, ``valid`` or ``test`` for a synonym of these; any other name in lower case."""
    return SPLIT_NAMES.get(name.lower(), name.lower())
