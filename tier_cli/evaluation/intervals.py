"""A number with its interval, as documents and as tables of sections hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tier_cli.metrics.bootstrap import Estimate

_DIGITS = 6


def number(value: float) -> float | None:
    """Give a number for JSON: rounded, null where there is none."""
    return round(float(value), _DIGITS) if math.isfinite(value) else None


def documents(estimate: Estimate, level: float) -> list[dict[str, float | None]]:
    """Give ``value``, ``low`` and ``high`` of each column of an estimate."""
    return [
        {"value": number(value), "low": number(low), "high": number(high)}
        for value, (low, high) in zip(estimate.point, estimate.interval(level), strict=True)
    ]


def value_text(content: Mapping[str, Any], form: str = ".3f") -> str:
    """Write a value for people, a hyphen where there is none."""
    return "-" if content["value"] is None else f"{content['value']:{form}}"


def interval_text(content: Mapping[str, Any], form: str = ".3f") -> str:
    """Write an interval for people, blank where there is none."""
    return "" if content["low"] is None else f"[{content['low']:{form}}, {content['high']:{form}}]"
