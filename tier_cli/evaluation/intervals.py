"""Write numbers with their intervals, for JSON and for tables of sections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tier_cli.metrics.bootstrap import Estimate

_DIGITS = 6


def number(value: float) -> float | None:
    """Round a number for JSON; None if it is not finite."""
    return round(float(value), _DIGITS) if math.isfinite(value) else None


def documents(estimate: Estimate, level: float) -> list[dict[str, float | None]]:
    """Return ``value``, ``low`` and ``high`` of each column of an estimate."""
    return [
        {"value": number(value), "low": number(low), "high": number(high)}
        for value, (low, high) in zip(estimate.point, estimate.interval(level), strict=True)
    ]


def value_text(content: Mapping[str, Any], form: str = ".3f") -> str:
    """Format a value; a hyphen if there is none."""
    return "-" if content["value"] is None else f"{content['value']:{form}}"


def interval_text(content: Mapping[str, Any], form: str = ".3f") -> str:
    """Format an interval; blank if there is none."""
    return "" if content["low"] is None else f"[{content['low']:{form}}, {content['high']:{form}}]"
