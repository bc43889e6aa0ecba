"""Check the arguments of the Python API: choices, flags, whole numbers, texts and paths that callers pass."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from typing import Any, get_args

from tier_cli.errors import UsageError, did_you_mean


def check_choice(argument: str, value: object, literal: Any) -> None:
    """Refuse a value that is not one of the texts of a ``Literal``.

    Raises
    ------
    UsageError
        The message names the argument and its choices.
    """
    choices: tuple[str, ...] = get_args(literal)
    if not (isinstance(value, str) and value in choices):
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise UsageError(
            f"unknown value {value!r}{near}", where=f"{argument}=", remedy=f"use one of {', '.join(choices)}"
        )


def check_flags(**values: object) -> None:
    """Refuse values that are neither True nor False: the text "no" would count as True.

    Raises
    ------
    UsageError
        The message names the argument.
    """
    for argument, value in values.items():
        if not isinstance(value, bool):
            raise UsageError(f"cannot be {value!r}", where=f"{argument}=", remedy="give True or False")


def check_names(**values: object) -> None:
    """Refuse values that are neither a text nor None.

    Raises
    ------
    UsageError
        The message names the argument.
    """
    for argument, value in values.items():
        if value is not None and not isinstance(value, str):
            raise UsageError(f"cannot be {value!r}", where=f"{argument}=", remedy="give a name, as a text")


def whole_number(argument: str, value: object, least: int) -> int:
    """Return a whole number as an int; refuse anything else, and numbers below `least`.

    Raises
    ------
    UsageError
        The message names the argument and its range.
    """
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least:
        raise UsageError(
            f"cannot be {value!r}", where=f"{argument}=", remedy=f"give a whole number of at least {least}"
        )
    return number


def optional_number(argument: str, value: object, least: int) -> int | None:
    """Return None for None; otherwise see `whole_number`."""
    return None if value is None else whole_number(argument, value, least)


def texts(argument: str, value: object, example: str) -> tuple[str, ...]:
    """Return one text or several as a tuple.

    Raises
    ------
    UsageError
        Something is not a text; the message gives the example.
    """
    given = (value,) if isinstance(value, str) else value
    found = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in found:
        if not isinstance(one, str):
            raise UsageError(f"{one!r} is not a text", where=f"{argument}=", remedy=f"give {example}")
    return found


def path_text(argument: str, value: object) -> str:
    """Return a path as text.

    Raises
    ------
    UsageError
        The value is not a path.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise UsageError(
            f"{value!r} is not a path", where=f"{argument}=", remedy="give a text or a pathlib.Path"
        )
    return path
