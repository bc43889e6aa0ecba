"""Write an evaluation as one self-contained HTML file, without scripts or external resources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import UsageError
from tier_cli.evaluation.page.origin import images, notes, protocol_part, reproduction_part, sentence
from tier_cli.evaluation.page.parts import Part, Table
from tier_cli.evaluation.yardsticks import TITLE
from tier_cli.files.atomic import whole_file
from tier_cli.files.page import render, resource
from tier_cli.results.output import check_writable

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.report import Report

_ENDINGS = (".html", ".htm")
_HERE = "tier_cli.evaluation.page"


@dataclass(frozen=True)
class PageOptions:
    """Optional content of a page.

    Parameters
    ----------
    images
        Whether to show pictures of the worst errors.
    paths
        Whether to show image paths.
    note
        A note at the top.
    """

    images: bool = True
    paths: bool = False
    note: str = ""


def check_page(path: str) -> None:
    """Refuse a file that cannot be written before any work is done.

    Raises
    ------
    UsageError
        If the suffix is not .html, or the file cannot be written.
    """
    if Path(path).suffix.lower() not in _ENDINGS:
        raise UsageError(
            f"'{path}' is not an HTML file", where="--report", remedy="choose a name that ends in .html"
        )
    check_writable(path)


def write_page(
    report: Report,
    evaluation: Evaluation,
    path: str,
    options: PageOptions = PageOptions(),
) -> None:
    """Write the page completely or not at all."""
    with whole_file(Path(os.path.realpath(path))) as partial:
        partial.write_text(page(report, evaluation, options), encoding="utf-8")


def page(report: Report, evaluation: Evaluation, options: PageOptions = PageOptions()) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    report
        The numbers.
    evaluation
        The evaluation that they come from.
    options
        Optional content.
    """
    first, *others = (measured.name for measured in report.measured)
    also = f" and {others[0] if len(others) == 1 else f'{len(others)} others'}" if others else ""
    return render(
        resource(_HERE, "page.html"),
        title=f"Evaluation of {first}{also}",
        sentence=sentence(report),
        note=options.note,
        trained_on=[one.text for one in report.trained_on],
        style=_style(),
        parts=list(_parts(report, evaluation, options)),
    )


def _parts(report: Report, evaluation: Evaluation, options: PageOptions) -> Iterator[Part]:
    from tier_cli.evaluation.page import numbers
    from tier_cli.evaluation.page.cohort import cohort_part
    from tier_cli.evaluation.page.groups import groups
    from tier_cli.evaluation.page.sections import section_parts
    from tier_cli.evaluation.unit_scores import common_units

    labels = {finding.id: finding.label for finding in evaluation.findings.findings}
    manifest = evaluation.selection.manifest
    found: list[Part | None] = [
        numbers.overview(report),
        cohort_part(report, labels),
        _yardsticks(report),
        numbers.by_finding(report, labels),
        numbers.differences(report, labels),
        *numbers.curves(report, evaluation.by_unit, common_units(evaluation.unit_scores), labels),
        *groups(report, labels),
        *section_parts(report.sections, labels),
        _errors(report, evaluation, labels, options) if options.images else None,
        images(report, options.paths),
        notes(report, manifest.paths, manifest.root, options.paths),
        protocol_part(report, evaluation),
        reproduction_part(report),
    ]
    yield from (part for part in found if part is not None)


def _errors(
    report: Report, evaluation: Evaluation, labels: dict[str, str], options: PageOptions
) -> Part | None:
    from tier_cli.evaluation.page.errors import worst_errors

    rows = report.measured[0].rows
    places = [place for place, row in enumerate(rows) if row.both_classes]
    names = [labels.get(rows[place].finding, rows[place].finding) for place in places]
    return worst_errors(evaluation, places, names, options.paths)


def _yardsticks(report: Report) -> Part | None:
    if not report.yardsticks:
        return None
    heads = ("model", "mean AUC", "prompts", "model selected on", "source")
    rows = [
        (one.model, f"{one.auc:.3f}", one.prompts, one.selection, one.source) for one in report.yardsticks
    ]
    return Part(TITLE, (report.yardsticks_caveat,), tables=(Table(TITLE, heads, rows),))


def _style() -> Any:
    from markupsafe import Markup

    return Markup(resource(_HERE, "page.css"))  # noqa: S704 - a file of this package
