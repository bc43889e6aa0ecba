"""Check the fields of a configuration (config.json), without loading what builds the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tier_cli.errors import CheckpointError

ENTROPY_MODES = ("masked", "paper")
# Allowed values; see `tier_cli.model.configuration.TierConfig` for their meaning.
CHOICES = {
    "entropy": ENTROPY_MODES,
    "image_pooling": ("mean", "class", "first", "pooler"),
    "image_head": ("mlp", "linear", "affine", "none"),
    "text_pooling": ("first", "end", "last", "mean"),
    "text_head": ("mlp", "linear", "affine", "two_layer", "none"),
    "text_padding": ("longest", "fixed"),
    "prompt_average": ("unit", "projection"),
    "text_cleaning": ("none", "clip"),
}
# Beyond any published model, and small enough for memory.
_WIDEST, _DEEPEST, _MOST_TOKENS, _LARGEST_SIZE = 1 << 15, 512, 1 << 14, 1 << 22
_LONGEST_STRIP = 100


@dataclass(frozen=True)
class _Field:
    """What a field may hold, and how a message says it."""

    accepts: Callable[[Any], bool]
    wanted: str

    def or_null(self) -> _Field:
        return _Field(lambda value: value is None or self.accepts(value), f"{self.wanted}, or null")


def _whole(low: int, high: int) -> _Field:
    return _Field(lambda value: _is_whole(value) and low <= value <= high, f"a whole number, {low} to {high}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (isinstance(value, float) and math.isfinite(value)) or (_is_whole(value) and abs(value) < 1 << 53)


def _are_layers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _DEEPEST
        and all(_is_whole(layer) and abs(layer) <= _DEEPEST for layer in value)
    )


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_STRIP


def _choice(known: tuple[str, ...]) -> _Field:
    return _Field(lambda value: isinstance(value, str) and value in known, f"one of {', '.join(known)}")


def _number(low: float, high: float) -> _Field:
    return _Field(lambda value: _is_number(value) and low <= value <= high, f"a number, {low:g} to {high:g}")


_WIDTH = _whole(1, _WIDEST)
_TABLE = _Field(lambda value: isinstance(value, dict), "an object")
_FIELDS = {
    **{name: _choice(known) for name, known in CHOICES.items()},
    "image_tower": _TABLE.or_null(),
    "text_tower": _TABLE.or_null(),
    "projection_dim": _WIDTH,
    "image_hidden_dim": _WIDTH.or_null(),
    "text_hidden_dim": _WIDTH.or_null(),
    "logit_scale_init": _number(-100, 100),
    "max_logit_scale": _number(1e-6, 1e6).or_null(),
    "logit_bias_init": _number(-1e6, 1e6).or_null(),
    "scoring": _Field(lambda value: isinstance(value, str), "a text"),
    "max_tokens": _whole(1, _MOST_TOKENS),
    "text_layers": _Field(_are_layers, f"a list of layers, -{_DEEPEST} to {_DEEPEST}").or_null(),
    "end_token": _whole(0, _LARGEST_SIZE).or_null(),
    "text_mask": _Field(lambda value: isinstance(value, bool), "true or false"),
    "quantised": _TABLE.or_null(),
    "strip": _Field(_is_short, f"a text of at most {_LONGEST_STRIP} characters"),
}


def check_config(config: Mapping[str, Any], where: str = "config.json") -> None:
    """Check the fields that `TierConfig` defines, and the sizes in the configurations of the towers.

    Parameters
    ----------
    config
        The content of config.json; fields that are missing have their defaults.
    where
        Place named in the error.

    Raises
    ------
    CheckpointError
        A field has the wrong type, or is out of range.
    """
    for name, field in _FIELDS.items():
        if name in config and not field.accepts(config[name]):
            raise _invalid(name, config[name], field.wanted, where)
    for tower in ("image_tower", "text_tower"):
        _check_tower(config.get(tower) or {}, tower, where)


def _check_tower(table: Mapping[str, Any], place: str, where: str) -> None:
    """Check the type of a tower and its numbers: a size or a depth without bounds fills the memory."""
    kind = table.get("model_type", "")
    if not isinstance(kind, str):
        raise _invalid(f"{place}.model_type", kind, "a text", where)
    for name, value in table.items():
        for number in _numbers(value):
            if not _is_number(number) or abs(number) > _limit(name):
                raise _invalid(f"{place}.{name}", number, f"a number, at most {_limit(name)}", where)


def _limit(name: str) -> float:
    """Return how large the numbers of a tower's field may be, by what its name says that they count."""
    if any(word in name for word in ("layers", "depth", "blocks")):
        return _DEEPEST
    # The base of rotary positions is not a size.
    return math.inf if "theta" in name else _LARGEST_SIZE


def _numbers(value: Any) -> list[float]:
    """Return the numbers in a value or in nested lists and objects."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    return [number for part in parts for number in _numbers(part)]


def _invalid(name: str, value: object, wanted: str, where: str) -> CheckpointError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return CheckpointError(f"{name} is {shown}", where=where, remedy=f"it must be {wanted}")
