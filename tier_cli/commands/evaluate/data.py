"""Parse the data options that `tier eval`, `tier calibrate` and `tier adapt` share."""

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
