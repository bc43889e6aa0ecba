"""The optional parts of a report, and what asks for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tier_cli.errors import ManifestError, UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.context import Section


@dataclass(frozen=True)
class Wishes:
    """What was asked for beyond the table: a field an option, as it was given."""

    corrupt: str | None = None
    prompt_sensitivity: bool = False
    grounding: bool = False
    exclusive: bool = False
    retrieval: bool = False

    @property
    def corruptions(self) -> list[str]:
        """The kinds of damage that were named."""
        return [kind.strip() for kind in (self.corrupt or "").split(",") if kind.strip()]


def check_wishes(wishes: Wishes) -> None:
    """Refuse what cannot work before anything is loaded.

    Raises
    ------
    UsageError
        An option that makes no sense.
    """
    if wishes.corrupt is not None:
        from tier_cli.imaging.corrupt import corruptions

        if not corruptions(wishes.corruptions):
            raise UsageError("no kind is named", where="--corrupt", remedy="write all for every kind")


def check_rows(wishes: Wishes, manifest: Manifest) -> None:
    """Refuse what cannot work with these images before any is scored.

    Raises
    ------
    ManifestError
        Places were asked for, and no row has any or a cell is no list of them; reports, and there are none.
    """
    if wishes.retrieval:
        from tier_cli.evaluation.sections.retrieval import check_texts

        check_texts(manifest.column("text"), manifest.origin)
    if wishes.grounding:
        from tier_cli.datasets.regions import regions

        if not any(regions(manifest)):
            raise ManifestError(
                "no image has a place to look for",
                where=manifest.origin,
                remedy="--grounding needs a column boxes or mask",
            )


def check_model(wishes: Wishes, there: bool) -> None:
    """Refuse what needs a model where a file of scores is what is measured first.

    Raises
    ------
    UsageError
        There is no model.
    """
    asked = (
        ("--corrupt", wishes.corrupt is not None),
        ("--prompt-sensitivity", wishes.prompt_sensitivity),
        ("--grounding", wishes.grounding),
        ("--retrieval", wishes.retrieval),
    )
    for option, wanted in asked:
        if wanted and not there:
            raise UsageError("a file of scores is no model to ask", where=option, remedy="add --model")


def sections(wishes: Wishes) -> list[Section]:
    """Give the sections that were asked for, in the order in which they are made and shown.

    Whatever a section needs is imported here, inside the condition that asks for it.
    """
    from tier_cli.evaluation.sections.radiologists import readers_section

    found: list[Section] = [readers_section()]
    if wishes.exclusive:
        from tier_cli.evaluation.sections.exclusive import exclusive_section

        found.append(exclusive_section())
    if wishes.corrupt is not None:
        from tier_cli.evaluation.sections.robustness import robustness_section

        found.append(robustness_section(wishes.corruptions))
    if wishes.prompt_sensitivity:
        from tier_cli.evaluation.sections.prompts import prompts_section

        found.append(prompts_section())
    if wishes.grounding:
        from tier_cli.evaluation.sections.grounding import grounding_section

        found.append(grounding_section())
    if wishes.retrieval:
        from tier_cli.evaluation.sections.retrieval import retrieval_section

        found.append(retrieval_section())
    return found
