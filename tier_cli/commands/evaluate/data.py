"""Parse the options of `tier eval`, of which `tier calibrate` and `tier adapt` share --exclude."""

from __future__ import annotations

from collections.abc import Sequence

from tier_cli.errors import UsageError


def exclusions(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Parse ``--exclude`` into (column, value) pairs.

    Raises
    ------
    UsageError
        A text is not COLUMN=VALUE.
    """
    pairs = []
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals):
            raise UsageError(f"{text!r} is not COLUMN=VALUE", where="--exclude", remedy="e.g. contradicted=1")
        pairs.append((column.strip(), value))
    return tuple(pairs)


def prevalences(texts: Sequence[str]) -> float | dict[str, float] | None:
    """Parse ``--prevalence``: one share for all findings, or shares by finding; None without any.

    Raises
    ------
    UsageError
        A text is neither SHARE nor FINDING=SHARE, a finding is repeated, or both forms are mixed.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            share = float(value)
        except ValueError:
            raise UsageError(
                f"{text!r} is neither SHARE nor FINDING=SHARE",
                where="--prevalence",
                remedy="e.g. 0.02 or pneumothorax=0.02",
            ) from None
        if name.strip() in found:
            raise UsageError(
                f"{text!r} is a second value", where="--prevalence", remedy="give each finding one value"
            )
        found[name.strip()] = share
    if "" not in found:
        return found or None
    if len(found) > 1:
        raise UsageError(
            "one share for all findings cannot be combined with FINDING=SHARE",
            where="--prevalence",
            remedy="name every finding, or none",
        )
    return found[""]
