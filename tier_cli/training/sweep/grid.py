"""The points of a sweep: ranges of settings, and every combination of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from itertools import product

from tier_cli.errors import UsageError
from tier_cli.training.settings import TrainSettings

SEED = "seed"
_BOTH = "reg-weight"
_MOST = 1000
# Less of these is no run, or no contrast.
_LEAST = {"epochs": 1, "batch-size": 2, "images-per-epoch": 1, "cached-views": 1, "accumulate": 1}
_AT_MOST_ONE = ("warmup-share", "average-decay")

Point = Mapping[str, float]


@dataclass(frozen=True)
class Axis:
    """One setting and its values, by the name of its option without dashes before it."""

    name: str
    values: tuple[float, ...]


def sweepable() -> dict[str, type]:
    """The numeric settings, by option name: ``int`` or ``float``."""
    kinds = {"int": int, "float": float, "int | None": int}
    found = {f.name.replace("_", "-"): kinds[str(f.type)] for f in fields(TrainSettings) if f.type in kinds}
    return {**found, _BOTH: float}


def parse_axis(text: str) -> Axis:
    """Read ``lambda-patch=0:0.25:0.05`` (start:stop:step, both ends included) or ``seed=0,1,2``.

    Raises
    ------
    UsageError
        No such setting, or values that it cannot have.
    """
    name, equals, spec = text.partition("=")
    name = name.strip().removeprefix("--").replace("_", "-")
    kinds = sweepable()
    if not equals or name not in kinds:
        raise UsageError(
            f"{text!r} is no setting with values",
            where="--sweep",
            remedy=f"write e.g. lambda-patch=0:0.25:0.05; settings are {', '.join(sorted(kinds))}",
        )
    try:
        decimals = _range(spec) if ":" in spec else [Decimal(part.strip()) for part in spec.split(",")]
        if not all(value.is_finite() for value in decimals):
            raise ValueError("not finite")
    except (InvalidOperation, ValueError) as error:
        raise UsageError(
            f"{spec!r} is neither start:stop:step nor a list a,b,c", where=f"--sweep {name}"
        ) from error
    return Axis(name, tuple(_value(name, kinds[name], value) for value in dict.fromkeys(decimals)))


def _range(spec: str) -> list[Decimal]:
    start, stop, step = (Decimal(part.strip()) for part in spec.split(":"))
    # Decimals: 0.25 is reached from 0 in steps of 0.05.
    if not step > 0 or not start <= stop or (stop - start) / step > _MOST:
        raise ValueError("no range")
    return [start + step * number for number in range(int((stop - start) / step) + 1)]


def _value(name: str, kind: type, value: Decimal) -> float:
    low, high = _LEAST.get(name, 0), 1 if name in _AT_MOST_ONE else None
    whole = value == value.to_integral_value()
    if (kind is int and not whole) or value < low or (high is not None and value > high):
        raise UsageError(f"it cannot be {value}", where=f"--sweep {name}", remedy="leave that value out")
    return int(value) if kind is int else float(value)


def points(axes: Sequence[Axis]) -> list[Point]:
    """Every combination; seeds last, so that all runs of one setting follow each other.

    Raises
    ------
    UsageError
        A setting twice, or very many points.
    """
    names = [axis.name for axis in axes]
    covered = {*names, *(("lambda-patch", "lambda-token") if _BOTH in names else ())}
    if len(covered) < len(names) + 2 * (_BOTH in names):
        raise UsageError("one setting has values twice", where="--sweep", remedy="give each setting once")
    ordered = sorted(axes, key=lambda axis: axis.name == SEED)
    found = [
        dict(zip((a.name for a in ordered), values, strict=True))
        for values in product(*(a.values for a in ordered))
    ]
    if len(found) > _MOST:
        raise UsageError(
            f"{len(found)} points are more than {_MOST}", where="--sweep", remedy="take fewer values"
        )
    return list(found)


def at(settings: TrainSettings, point: Point) -> TrainSettings:
    """The settings of a point."""
    values = {name.replace("-", "_"): value for name, value in point.items() if name != _BOTH}
    if _BOTH in point:
        values |= {"lambda_patch": point[_BOTH], "lambda_token": point[_BOTH]}
    return replace(settings, **values)  # type: ignore[arg-type]


def label(point: Point) -> str:
    """A point for people."""
    return ", ".join(f"{name} {value:g}" for name, value in point.items())


def folder_name(point: Point) -> str:
    """A point as the name of a folder."""
    return "_".join(f"{name}-{value:g}" for name, value in point.items())
