"""`tier calibrate`: fit probabilities and calls on labelled images."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli.commands.evaluate.data import exclusions
from tier_cli.commands.evaluate.options import Data, Dataset, Exclude, ExcludeTrained, Root, Unsure, Views
from tier_cli.commands.fit_options import FIT_PANEL, Output, split_option
from tier_cli.commands.options import (
    BatchSize,
    Device,
    DeviceName,
    Engine,
    EngineName,
    Findings,
    Models,
    Workers,
    option,
)
from tier_cli.console import is_terminal, print_message
from tier_cli.evaluation.candidates import score
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.packages import require_extras
from tier_cli.results.record import Unit

if TYPE_CHECKING:
    from tier_cli.evaluation.scores import Scores
    from tier_cli.evaluation.selection import Selection
    from tier_cli.pipeline.scoring_job import ScoringJob


class Method(StrEnum):
    """The kind of curve."""

    PLATT = "platt"
    ISOTONIC = "isotonic"


MethodOption = Annotated[
    Method,
    typer.Option(
        help="Curve to fit: platt (logistic), or isotonic (monotonic steps, which need more images).",
        rich_help_panel=FIT_PANEL,
    ),
]
OperatingPoint = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="Rule for the threshold of a call: youden, f1, mcc, sensitivity=X or specificity=X.",
        rich_help_panel=FIT_PANEL,
    ),
]
ScoresFile = Annotated[
    Path | None,
    option(
        "Model and findings",
        "FILE",
        "Use scores that `tier classify --output` wrote with this model, instead of scoring again.",
        "--scores",
    ),
]
FitUnit = Annotated[
    Unit,
    typer.Option("--unit", help="Unit that gets a probability: image or study.", rich_help_panel=FIT_PANEL),
]
_DEFAULT_SPLIT = "valid"
Split = Annotated[str | None, split_option(_DEFAULT_SPLIT)]


def calibrate(
    output: Output,
    data: Data = None,
    dataset: Dataset = "csv",
    root: Root = None,
    split: Split = None,
    exclude: Exclude = None,
    exclude_trained: ExcludeTrained = False,
    uncertain: Unsure = "ignore",
    views: Views = "frontal",
    model: Models = None,
    findings: Findings = None,
    scores: ScoresFile = None,
    engine: Engine = EngineName.AUTO,
    device: Device = DeviceName.AUTO,
    method: MethodOption = Method.PLATT,
    operating_point: OperatingPoint = "youden",
    unit: FitUnit = "image",
    batch_size: BatchSize = None,
    workers: Workers = None,
) -> None:
    """Fit probabilities and calls on labelled images; write them into a copy of the checkpoint.

    The probabilities hold only where the findings are as frequent as in the
    images fitted on, and only for the same finding set, unit and models. A
    table of cross-validated figures goes to stderr, and JSON to stdout if it is
    a pipe.

    Exit codes: 0 when every image had scores, 3 when some had none, 2 for wrong
    usage. For research use.
    """
    require_extras("tier calibrate", "eval")
    from tier_cli.commands.fit_data import choose_rows, describe_rows, without_trained
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.evaluation.thresholds import check_rule
    from tier_cli.evaluation.truth import labelled
    from tier_cli.files.atomic import check_new_folder
    from tier_cli.pipeline.scoring_job import open_job
    from tier_cli.pipeline.stream import stream_options

    rule, excluded = check_rule(operating_point), exclusions(exclude or [])
    check_new_folder(output)
    selection = choose_rows(dataset, data, root, split, _DEFAULT_SPLIT, excluded, views == "frontal")
    job = open_job(model or [DEFAULT_MODEL], findings, engine.value, device.value)
    selection, trained_on = without_trained(job, selection, dataset, exclude_trained)
    selection, truth = labelled(selection, job.findings, uncertain, unit)
    options = stream_options(views=views, batch_size=batch_size, workers=workers)
    if scores is None:
        known = score(job, selection.manifest, options, progress_on_stderr)
    else:
        known = _saved(scores, job, selection)
    from tier_cli.fitting.calibrate import Plan, fit_calibration
    from tier_cli.fitting.calibrated_copy import calibration_content, write_calibrated

    values = truth.units.mean(known.of(truth.by_image.findings))
    plan = Plan(method.value, rule)
    fitted = fit_calibration(truth.by_unit, values, plan)
    fitted_on = describe_rows(selection, data, dataset, views, uncertain, truth.by_image)
    fitted_on |= trained_on
    fitted_on["images_without_scores"] = len(known.unscored)
    content = calibration_content(job, unit, truth, values, plan, fitted, fitted_on)
    write_calibrated(job.checkpoint.path, output, content)
    _report(content, output, [*selection.notes, *known.notes])
    if known.unscored:
        raise typer.Exit(3)


def _saved(path: Path, job: ScoringJob, selection: Selection) -> Scores:
    from tier_cli.fitting.saved_scores import read_saved_scores

    return read_saved_scores(path, selection.manifest, job)


def _report(content: dict[str, Any], output: Path, notes: list[str]) -> None:
    from rich.console import Console

    from tier_cli.display.fitted_table import show_calibration

    show_calibration(content, notes, Console(stderr=True))
    print_message(f"Wrote the calibrated checkpoint to {output}")
    if not is_terminal("stdout"):
        typer.echo(json.dumps({"output": str(output), **content}))
