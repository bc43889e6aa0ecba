"""Give every command the options --quiet and --verbose, before its name and behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup, TyperOption

from tier_cli.commands.help_writer import import_help_writer
from tier_cli.commands.one_model import check_one_model
from tier_cli.console import set_verbosity


def _set_quiet(wanted: bool) -> None:
    # Only if given: the option may stand before and behind the command.
    if wanted:
        set_verbosity(quiet=True)


def _set_verbose(wanted: bool) -> None:
    if wanted:
        set_verbosity(verbose=True)


_QUIET = "Print no progress and no remarks on stderr, only errors."
_VERBOSE = "Print details on stderr, such as the engine and skipped files."

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help=_QUIET, callback=_set_quiet)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help=_VERBOSE, callback=_set_verbose)]


class Group(TyperGroup):
    """A group whose commands take --quiet and --verbose without declaring them, and refuse a second model."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in self.commands.values():
            if not isinstance(command, TyperGroup):
                command.params += [
                    _option("--quiet", "-q", _QUIET, _set_quiet),
                    _option("--verbose", "-v", _VERBOSE, _set_verbose),
                ]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments name, and refuse a second model for it."""
        name, command, rest = super().resolve_command(ctx, args)
        if "--help" in rest or "-h" in rest:
            import_help_writer()
        if command is not None and not ctx.resilient_parsing and not isinstance(command, TyperGroup):
            check_one_model(command, ctx, rest)
        return name, command, rest


def _option(name: str, letter: str, text: str, action: Callable[[bool], None]) -> TyperOption:
    return TyperOption(
        param_decls=[name, letter],
        is_flag=True,
        expose_value=False,
        help=text,
        callback=lambda context, parameter, value: action(value),
    )
