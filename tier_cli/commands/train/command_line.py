"""The command as it was given, for records that others read: files without their folders."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import typer

# Of no consequence to anybody else.
_LEFT_OUT = ("resume", "workers", "threads", "tensorboard", "sweep", "keep")


def command_line(context: typer.Context, instead: Mapping[str, Any] | None = None) -> str:
    """The options that were given, with the names of files and folders alone.

    Parameters
    ----------
    context
        Of the command.
    instead
        Options to write with other values, as a point of a sweep has them.
    """
    given = {
        str(parameter.name): parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in context.params and was_given(context, str(parameter.name))
    }
    values = {option: context.params[name] for name, option in given.items() if name not in _LEFT_OUT}
    values |= {f"--{name}": value for name, value in (instead or {}).items()}
    words = [word for option, value in values.items() for word in _words(option, value)]
    return shlex.join(["tier", *str(context.info_name).split(), *words])


def was_given(context: typer.Context, name: str) -> bool:
    """Whether somebody gave the parameter, so that it is not the default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _words(option: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [option] if value else []
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path) or (isinstance(value, str) and os.sep in value):
        value = Path(value).resolve().name
    return [option, str(value)]
