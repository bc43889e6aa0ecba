"""One self-contained HTML file of an evaluation: no script, nothing loaded from anywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.console import printable
from tier_cli.errors import UsageError
from tier_cli.evaluation.page.origin import again, images, notes, protocol_part, sentence
from tier_cli.evaluation.page.parts import Part, Table
from tier_cli.evaluation.yardsticks import TITLE
from tier_cli.files.atomic import written_aside
from tier_cli.results.output import check_writable

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.report import Report

_ENDINGS = (".html", ".htm")
# Not printable to Python, and harmless.
_KEPT = ("\n", "\N{NO-BREAK SPACE}")


@dataclass(frozen=True)
class PageOptions:
    """What goes into a page beyond numbers: pictures of the worst errors, paths of images, a note."""

    images: bool = True
    paths: bool = False
    note: str = ""


def check_page(path: str) -> None:
    """Refuse a file that cannot be written, before the work.

    Raises
    ------
    UsageError
        An ending other than .html, or a place that cannot be written to.
    """
    if Path(path).suffix.lower() not in _ENDINGS:
        raise UsageError(f"'{path}' is no name for a page", where="--report", remedy="end it in .html")
    check_writable(path)


def write_page(
    report: Report,
    evaluation: Evaluation,
    path: str,
    options: PageOptions = PageOptions(),
) -> None:
    """Write the page, whole or not at all."""
    with written_aside(Path(os.path.realpath(path))) as partial:
        partial.write_text(page(report, evaluation, options), encoding="utf-8")


def page(report: Report, evaluation: Evaluation, options: PageOptions = PageOptions()) -> str:
    """Give the page as HTML.

    Parameters
    ----------
    report
        The numbers.
    evaluation
        What they were measured on.
    options
        What else goes in.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_visible
    )
    first, *others = (measured.name for measured in report.measured)
    also = f" and {others[0] if len(others) == 1 else f'{len(others)} others'}" if others else ""
    return environment.from_string(_resource("page.html")).render(
        title=f"Evaluation of {first}{also}",
        sentence=sentence(report),
        note=options.note,
        style=_style(),
        parts=list(_parts(report, evaluation, options)),
    )


def _parts(report: Report, evaluation: Evaluation, options: PageOptions) -> Iterator[Part]:
    from tier_cli.evaluation.page import numbers
    from tier_cli.evaluation.page.groups import groups
    from tier_cli.evaluation.page.sections import section_parts
    from tier_cli.evaluation.unit_scores import common_units

    labels = {finding.id: finding.label for finding in evaluation.findings.findings}
    manifest = evaluation.selection.manifest
    found: list[Part | None] = [
        numbers.overview(report),
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
        again(report),
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
    heads = ("model", "mean AUC", "prompts", "what chose the model", "source")
    rows = [
        (one.model, f"{one.auc:.3f}", one.prompts, one.selection, one.source) for one in report.yardsticks
    ]
    return Part(TITLE, (report.yardsticks_caveat,), tables=(Table(TITLE, heads, rows),))


def _visible(value: Any) -> Any:
    """Nothing that is not printable goes into the page, whatever a file name holds."""
    from markupsafe import Markup

    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(
        one if one in _KEPT else printable(one) for one in re.split("([\n\N{NO-BREAK SPACE}])", value)
    )


def _style() -> Any:
    from markupsafe import Markup

    return Markup(_resource("page.css"))  # noqa: S704 - a file of this package


def _resource(name: str) -> str:
    return resources.files("tier_cli.evaluation.page").joinpath(name).read_text(encoding="utf-8")
