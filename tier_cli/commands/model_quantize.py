"""`tier model quantize`: write a copy of a checkpoint that computes images with int8 weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tier_cli.commands.evaluate.data import exclusions
from tier_cli.commands.evaluate.options import Data, Dataset, Exclude, Root
from tier_cli.commands.fit_options import FIT_PANEL, Output, split_option
from tier_cli.commands.options import BatchSize, Workers
from tier_cli.console import is_terminal, print_message
from tier_cli.packages import require_extras

_SPLIT = "valid"
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, or the name of a model.")]
Split = Annotated[str | None, split_option(_SPLIT)]
Images = Annotated[
    int,
    typer.Option(
        "--images",
        min=10,
        metavar="N",
        help="Take the ranges of activations from at most N images, and at most half of them.",
        rich_help_panel=FIT_PANEL,
    ),
]
FloatLayers = Annotated[
    int,
    typer.Option(
        "--float-layers",
        min=0,
        metavar="N",
        help="Leave the first N layers in float: their errors cost the most.",
        rich_help_panel=FIT_PANEL,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Seed for drawing the patients that the ranges come from.",
        rich_help_panel=FIT_PANEL,
    ),
]


def quantize(
    model: Model,
    output: Output,
    data: Data = None,
    dataset: Dataset = "csv",
    root: Root = None,
    split: Split = None,
    exclude: Exclude = None,
    images: Images = 100,
    float_layers: FloatLayers = 8,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    workers: Workers = None,
) -> None:
    """Write a copy of MODEL that computes images with int8 weights on CPU, and measure what that costs.

    Images of some patients give the ranges of activations; on all others the
    scores, the AUC and the CPU time of both models are compared. The card of
    the copy has the numbers. Calibration, adaptation, input check and scale of
    maps are not copied: fit them again. JSON goes to stdout if it is a pipe.

    Exit codes: 0 when every image could be read, 3 when some could not, 2 for
    wrong usage. For research use.
    """
    require_extras("tier model quantize", "torch", "eval")
    from tier_cli.commands.fit_data import choose_rows, without_trained
    from tier_cli.files.atomic import check_new_folder
    from tier_cli.pipeline.scoring_job import open_job
    from tier_cli.pipeline.stream import stream_options

    excluded = exclusions(exclude or [])
    check_new_folder(output)
    rows = choose_rows(dataset, data, root, split, _SPLIT, excluded, frontal_only=True)
    job = open_job(model, None, "onnx", "cpu")
    rows, trained_on = without_trained(job, rows, dataset, exclude=True)
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.fitting.quantised_copy import write_quantised

    options = stream_options(batch_size=batch_size, workers=workers)
    facts = write_quantised(job, rows, output, options, images, float_layers, seed, progress_on_stderr)
    _report(job.checkpoint.name, facts | trained_on, output)
    if facts["unreadable"]:
        raise typer.Exit(3)


def _report(source: str, facts: dict[str, Any], output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from tier_cli.fitting.quantised_copy import figures, fit_again, sentence

    table = Table("", f"{source}, float", "int8")
    for row in figures(facts):
        table.add_row(*row)
    Console(stderr=True).print(table)
    print_message(sentence(facts))
    if facts["vnni"] is False:
        print_message("This processor has no VNNI instructions, with which int8 is faster", colour="yellow")
    if facts["fit_again"]:
        print_message(fit_again(facts["fit_again"]).replace("`", ""), colour="yellow")
    if facts["unreadable"]:
        print_message(f"{facts['unreadable']} images could not be read or scored", colour="yellow")
    print_message(f"Wrote the int8 checkpoint to {output}")
    if not is_terminal("stdout"):
        typer.echo(json.dumps({"output": str(output), **facts}))
