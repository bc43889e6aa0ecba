"""Choose the optional sections of a report, and refuse those that cannot be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tier_cli.arguments import check_flags, texts
from tier_cli.errors import ManifestError, UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.context import Section


@dataclass(frozen=True)
class SectionOptions:
    """The sections to measure beside the table.

    Parameters
    ----------
    corrupt
        Kinds of corruption, or one kind, or ``all``; None = no section ``robustness``.
    prompt_sensitivity
        Measure each pair of prompts on its own.
    grounding
        Compare patches with boxes or masks.
    exclusive
        Measure top-1 accuracy.
    retrieval
        Match images and reports.
    grounding_protocols
        Published protocols to measure as well, or one, or ``all``; any of them chooses `grounding` too.
    """

    corrupt: Sequence[str] | None = None
    prompt_sensitivity: bool = False
    grounding: bool = False
    exclusive: bool = False
    retrieval: bool = False
    grounding_protocols: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_flags(
            prompt_sensitivity=self.prompt_sensitivity,
            grounding=self.grounding,
            exclusive=self.exclusive,
            retrieval=self.retrieval,
        )
        if self.corrupt is not None:
            object.__setattr__(
                self, "corrupt", texts("corrupt", self.corrupt, 'kinds of corruption, or "all"')
            )
        if self.grounding_protocols is not None:
            names = texts("grounding_protocols", self.grounding_protocols, 'protocols, or "all"')
            object.__setattr__(self, "grounding_protocols", names)
            object.__setattr__(self, "grounding", True)


def check_options(options: SectionOptions) -> None:
    """Refuse options that cannot work, before anything is loaded.

    Raises
    ------
    UsageError
        An unknown kind of corruption or protocol, or none.
    """
    if options.grounding_protocols is not None:
        from tier_cli.evaluation.sections.grounding_protocols import check_protocols

        check_protocols(options.grounding_protocols)
    if options.corrupt is not None:
        from tier_cli.imaging.corrupt import corruptions

        if not corruptions(options.corrupt):
            raise UsageError("no kind is named", where="--corrupt", remedy="name some, or all")


def check_rows(options: SectionOptions, manifest: Manifest) -> None:
    """Refuse sections that these images do not allow, before any image is scored.

    Raises
    ------
    ManifestError
        No row has a region, or a report; or a cell of regions cannot be read.
    """
    if options.retrieval:
        from tier_cli.evaluation.sections.retrieval import check_texts

        check_texts(manifest.column("text"), manifest.origin)
    if options.grounding:
        from tier_cli.datasets.regions import regions

        if not any(regions(manifest)):
            raise ManifestError(
                "no image has a box or a mask",
                where=manifest.origin,
                remedy="--grounding needs a column boxes or mask",
            )


def check_model(options: SectionOptions, has_model: bool) -> None:
    """Refuse sections that need a model if scores from elsewhere are measured first.

    Raises
    ------
    UsageError
        There is no model.
    """
    wanted = (
        ("--corrupt", options.corrupt is not None),
        ("--prompt-sensitivity", options.prompt_sensitivity),
        ("--grounding", options.grounding),
        ("--retrieval", options.retrieval),
    )
    for option, asked in wanted:
        if asked and not has_model:
            raise UsageError("needs a model, not scores from a file", where=option, remedy="add --model")


def chosen_sections(options: SectionOptions) -> list[Section]:
    """Return the chosen sections in the order in which they are measured and shown.

    What a section needs is imported only if the section is chosen.
    """
    from tier_cli.evaluation.sections.radiologists import readers_section

    found: list[Section] = [readers_section()]
    if options.exclusive:
        from tier_cli.evaluation.sections.exclusive import exclusive_section

        found.append(exclusive_section())
    if options.corrupt is not None:
        from tier_cli.evaluation.sections.robustness import robustness_section

        found.append(robustness_section(options.corrupt))
    if options.prompt_sensitivity:
        from tier_cli.evaluation.sections.prompts import prompts_section

        found.append(prompts_section())
    if options.grounding:
        from tier_cli.evaluation.sections.grounding import grounding_section
        from tier_cli.evaluation.sections.grounding_protocols import check_protocols

        names = options.grounding_protocols
        found.append(grounding_section(() if names is None else check_protocols(names)))
    if options.retrieval:
        from tier_cli.evaluation.sections.retrieval import retrieval_section

        found.append(retrieval_section())
    return found
