"""Parse the ranges of a sweep, and list all combinations of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from itertools import product

from tier_cli.errors import UsageError, did_you_mean
from tier_cli.training.settings import TrainSettings, bounds

SEED = "seed"
# Sets lambda-patch and lambda-token.
_BOTH = "reg-weight"
_MAX_POINTS = 1000

Point = Mapping[str, float]


@dataclass(frozen=True)
class Axis:
    """One setting, named like its option without the leading dashes, and its values."""

    name: str
    values: tuple[float, ...]


def sweepable() -> dict[str, type]:
    """Return the numeric settings by option name, each with its type, ``int`` or ``float``."""
    kinds = {"int": int, "float": float, "int | None": int}
    found = {f.name.replace("_", "-"): kinds[str(f.type)] for f in fields(TrainSettings) if f.type in kinds}
    return {**found, _BOTH: float}


def parse_axis(text: str) -> Axis:
    """Read ``lambda-patch=0:0.25:0.05`` (start:stop:step, both ends included) or ``seed=0,1,2``.

    Raises
    ------
    UsageError
        There is no such setting, or a value is out of its bounds.
    """
    name, equals, spec = text.partition("=")
    name = name.strip().removeprefix("--").replace("_", "-")
    kinds = sweepable()
    if not equals or name not in kinds:
        near = "" if name in kinds else did_you_mean(name, kinds)
        raise UsageError(
            f"{text!r} does not name a setting with values{near}",
            where="--sweep",
            remedy=f"write for example lambda-patch=0:0.25:0.05; the settings are {', '.join(sorted(kinds))}",
        )
    try:
        decimals = _range(spec) if ":" in spec else [Decimal(part.strip()) for part in spec.split(",")]
        if not all(value.is_finite() for value in decimals):
            raise ValueError("not finite")
    except (InvalidOperation, ValueError) as error:
        raise UsageError(
            f"{spec!r} is neither start:stop:step nor a list a,b,c",
            where=f"--sweep {name}",
            remedy="write for example 0:0.25:0.05 or 0,0.1,0.2",
        ) from error
    return Axis(name, tuple(_value(name, kinds[name], value) for value in dict.fromkeys(decimals)))


def _range(spec: str) -> list[Decimal]:
    start, stop, step = (Decimal(part.strip()) for part in spec.split(":"))
    # In decimals, steps of 0.05 reach 0.25 exactly.
    if not step > 0 or not start <= stop or (stop - start) / step > _MAX_POINTS:
        raise ValueError("not a range")
    return [start + step * number for number in range(int((stop - start) / step) + 1)]


def _value(name: str, kind: type, value: Decimal) -> float:
    low, high = bounds(TrainSettings).get(name.replace("-", "_"), (0, None))
    whole = value == value.to_integral_value()
    if (kind is int and not whole) or value < low or (high is not None and value > high):
        raise UsageError(f"cannot be {value}", where=f"--sweep {name}", remedy="leave that value out")
    return int(value) if kind is int else float(value)


def points(axes: Sequence[Axis]) -> list[Point]:
    """Return all combinations; seeds vary fastest, so that the runs of one setting are consecutive.

    Raises
    ------
    UsageError
        A setting is given twice, or there are too many points.
    """
    names = [axis.name for axis in axes]
    covered = {*names, *(("lambda-patch", "lambda-token") if _BOTH in names else ())}
    if len(covered) < len(names) + 2 * (_BOTH in names):
        raise UsageError("a setting is given twice", where="--sweep", remedy="give each setting once")
    ordered = sorted(axes, key=lambda axis: axis.name == SEED)
    found = [
        dict(zip((a.name for a in ordered), values, strict=True))
        for values in product(*(a.values for a in ordered))
    ]
    if len(found) > _MAX_POINTS:
        raise UsageError(
            f"{len(found)} points are more than {_MAX_POINTS}", where="--sweep", remedy="use fewer values"
        )
    return list(found)


def apply_point(settings: TrainSettings, point: Point) -> TrainSettings:
    """Return the settings with the values of a point."""
    values = {name.replace("-", "_"): value for name, value in point.items() if name != _BOTH}
    if _BOTH in point:
        values |= {"lambda_patch": point[_BOTH], "lambda_token": point[_BOTH]}
    return replace(settings, **values)  # type: ignore[arg-type]


def label(point: Point) -> str:
    """Return a point as text for people."""
    return ", ".join(f"{name} {value:g}" for name, value in point.items())


def folder_name(point: Point) -> str:
    """Return a point as the name of a folder."""
    return "_".join(f"{name}-{value:g}" for name, value in point.items())
