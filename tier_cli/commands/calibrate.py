"""`tier calibrate`: probabilities and calls from scores, fitted on labelled images."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli.commands import fit_options as f
from tier_cli.commands import options as o
from tier_cli.commands.evaluate import options as e
from tier_cli.commands.evaluate.data import exclusions, stream_options
from tier_cli.console import is_terminal, tell
from tier_cli.evaluation.candidates import score

if TYPE_CHECKING:
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.selection import Selection
    from tier_cli.pipeline.scoring_job import ScoringJob


class Method(StrEnum):
    """The kind of curve."""

    PLATT = "platt"
    ISOTONIC = "isotonic"


_FIT = "Fit"
Curve = Annotated[
    Method,
    typer.Option(help="platt: a logistic curve; isotonic: steps, for many images.", rich_help_panel=_FIT),
]
OperatingPoint = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="What is called present: youden, f1, mcc, sensitivity=X or specificity=X.",
        rich_help_panel=_FIT,
    ),
]
ScoresFile = Annotated[
    Path | None,
    typer.Option(
        "--scores",
        metavar="FILE",
        help="What classify --output wrote for these images with this model, instead of scoring them again.",
        show_default=False,
        rich_help_panel="Model and findings",
    ),
]
FitUnit = Annotated[
    o.Unit,
    typer.Option("--unit", help="What gets a probability: an image, or a study.", rich_help_panel=_FIT),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Rows to fit on; valid by default, all where there are no splits.",
        show_default=False,
        rich_help_panel="Data",
    ),
]


def calibrate(
    output: f.Output,
    data: e.Data = None,
    dataset: e.Dataset = "csv",
    root: e.Root = None,
    split: Split = None,
    exclude: e.Exclude = None,
    uncertain: e.Unsure = e.Uncertain.IGNORE,
    views: o.Views = o.ViewsName.FRONTAL,
    model: o.Models = None,
    findings: o.Findings = None,
    scores: ScoresFile = None,
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = o.DeviceName.AUTO,
    method: Curve = Method.PLATT,
    operating_point: OperatingPoint = "youden",
    unit: FitUnit = o.Unit.IMAGE,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Fit probabilities and calls on labelled images; write them into a copy of the checkpoint.

    What classify gives with the copy holds where the findings are as frequent as
    in the images fitted on, and only for the same finding set, unit and models.
    A table of cross-validated figures goes to stderr, JSON to stdout in a pipe.

    Exit codes: 0 when every image had scores, 3 when some had none, 2 for wrong
    usage. For research use.
    """
    from tier_cli.commands import fit_data as d
    from tier_cli.evaluation.calls import check_rule
    from tier_cli.evaluation.selection import labelled
    from tier_cli.pipeline.scoring_job import open_job

    rule, excluded = check_rule(operating_point), exclusions(exclude or [])
    d.check_output(output)
    selection = d.choose_rows(dataset, data, root, split, "valid", excluded, views.value == "frontal")
    job = open_job(model or ["tier-small"], findings, engine.value, device.value)
    selection, truth = labelled(selection, job.findings, uncertain.value, unit.value)
    options = stream_options(views.value, batch_size, workers)
    known = score(job, selection.manifest, options) if scores is None else _read(scores, job, selection)
    from tier_cli.fitting.calibrate import Plan, calibrate
    from tier_cli.fitting.calibrated_copy import describe, write_calibrated

    values = truth.units.mean(known.of(truth.by_image.findings))
    plan = Plan(method.value, rule)
    fitted = calibrate(truth.by_unit, values, plan)
    facts = d.describe(selection, data, dataset, views.value, uncertain.value, truth.by_image)
    facts["images_without_scores"] = len(known.unscored)
    content = describe(job, unit.value, truth, values, plan, fitted, facts)
    write_calibrated(job.checkpoint.path, output, content)
    _give(content, output, [*selection.notes, *known.notes])
    if known.unscored:
        raise typer.Exit(3)


def _read(path: Path, job: ScoringJob, selection: Selection) -> Scores:
    from tier_cli.fitting.own_scores import read_own_scores

    return read_own_scores(path, selection.manifest, job)


def _give(content: dict[str, Any], output: Path, notes: list[str]) -> None:
    """Show the cross-validated figures, and say what has no calibration and why."""
    from rich.console import Console

    from tier_cli.fitting.calibrated_copy import show

    show(content, notes, Console(stderr=True))
    tell(f"The calibrated checkpoint is in {output}")
    if not is_terminal("stdout"):
        typer.echo(json.dumps({"output": str(output), **content}))
