"""Import a command when it is used: importing all of them takes longer than the help of the program."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from tier_cli.commands.help_writer import import_help_writer
from tier_cli.commands.verbosity import Group
from tier_cli.signals import exit_code_of


class Place(NamedTuple):
    """Where a command is, and what the help of the program says of it.

    Parameters
    ----------
    path
        The module in `tier_cli.commands`, a colon, and the function or the Typer application in it.
    line
        The first line of the command's own help.
    """

    path: str
    line: str


class LazyGroup(Group):
    """A group that imports its commands when they are asked for; its help imports none of them."""

    places: ClassVar[Mapping[str, Place]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(self.places)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; each signal that ends it has its own exit code, where Typer gives that of Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise typer.Exit(exit_code_of(stop)) from stop

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help as a group with the same names and lines writes it."""
        import_help_writer()
        lines = {name: TyperCommand(name, help=place.line) for name, place in self.places.items()}
        outline = TyperGroup(name=self.name, help=self.help, params=self.params, commands=dict(lines))
        outline.format_help(ctx, formatter)


class _Commands(UserDict[str, Any]):
    """The commands by name, each imported once."""

    def __init__(self, places: Mapping[str, Place]):
        super().__init__(places)

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, Place):
            self.data[name] = found = _imported(name, found)
        return found


def _imported(name: str, place: Place) -> Any:
    """Import a command and have Typer build it as part of a group, which adds --quiet and --verbose."""
    module, attribute = place.path.split(":")
    found = getattr(import_module(f"tier_cli.commands.{module}"), attribute)
    group = typer.Typer(cls=Group)
    if isinstance(found, typer.Typer):
        group.add_typer(found, name=name)
    else:
        group.command(name)(found)
    return typer.main.get_group(group).commands[name]
