"""Write the command for records that others read: file names without their folders."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

# Options that matter only to this run on this machine.
_LEFT_OUT = ("resume", "workers", "threads", "tensorboard", "sweep", "keep")


def command_line(context: typer.Context, instead: Mapping[str, Any] | None = None) -> str:
    """Return the command with the options that were given, and file names without their folders.

    Parameters
    ----------
    context
        The context of the command.
    instead
        Options with other values, such as the values of a sweep's point.
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
    """Return whether the user gave the parameter."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _words(option: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [option] if value else []
    if isinstance(value, Path) or (isinstance(value, str) and os.sep in value):
        value = Path(value).resolve().name
    return [option, str(value)]
