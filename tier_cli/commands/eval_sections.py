"""The optional parts of a report, and what asks for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Section


@dataclass(frozen=True)
class Wishes:
    """What was asked for beyond the table: a field an option, as it was given."""


def check_wishes(wishes: Wishes) -> None:
    """Refuse what cannot work before anything is loaded.

    Raises
    ------
    UsageError
        An option that makes no sense.
    """


def sections(wishes: Wishes) -> list[Section]:
    """Give the sections that were asked for, in the order in which they are made and shown.

    Whatever a section needs is imported here, inside the condition that asks for it.
    """
    found: list[Section] = []
    return found
