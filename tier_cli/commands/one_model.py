"""Refuse a second --model where a command takes one: Click would silently use the last."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperOption

from tier_cli.errors import UsageError

_OPTION = "--model"
# Typer does not export the base class of all usage errors.
_USAGE_ERROR: Any = typer.BadParameter.__base__


def check_one_model(command: Any, context: typer.Context, arguments: list[str]) -> None:
    """Refuse arguments that name several models for a command that takes one.

    Parameters
    ----------
    command, context
        The command, and the context of the group that it belongs to.
    arguments
        What follows the name of the command.

    Raises
    ------
    UsageError
        The option occurs twice.
    """
    try:
        own = typer.Context(command, parent=context)
        _, _, order = command.make_parser(own).parse_args(list(arguments))
    except _USAGE_ERROR:
        # The command itself says what is wrong.
        return
    single = [
        one for one in order if isinstance(one, TyperOption) and _OPTION in one.opts and not one.multiple
    ]
    # Arguments and absent options stand in the order once.
    if len(single) > 1:
        raise UsageError("takes one model", where=_OPTION, remedy="give it once")
