"""`tier model map-scale`: fit the fixed scale that all maps of a checkpoint share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli.commands.evaluate.data import exclusions
from tier_cli.commands.evaluate.options import Data, Dataset, Exclude, Root
from tier_cli.commands.fit_options import Output
from tier_cli.commands.options import (
    BatchSize,
    Device,
    DeviceName,
    Engine,
    EngineName,
    Workers,
    option,
)
from tier_cli.console import is_terminal, print_message
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from tier_cli.fitting.map_scale import Gathered

_SPLIT = "valid"
# A region over so much of an image without the finding says hardly anything.
_MUCH = 0.25
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, or the name of a model.")]
Split = Annotated[
    str | None,
    option(
        "Data",
        "NAME",
        "Split to fit on; images that the checkpoint was trained on are left out. "
        f"Default: {_SPLIT}, or all rows if there are no splits.",
    ),
]


def map_scale(
    model: Model,
    output: Output,
    data: Data = None,
    dataset: Dataset = "csv",
    root: Root = None,
    split: Split = None,
    exclude: Exclude = None,
    engine: Engine = EngineName.AUTO,
    device: Device = DeviceName.AUTO,
    batch_size: BatchSize = None,
    workers: Workers = None,
) -> None:
    """Fit the fixed scale of maps, and thresholds of findings; write them into a copy of MODEL.

    The colours of all maps of a checkpoint then cover the same range, and a
    patch stands out from the threshold of its finding on. Labels are needed for
    thresholds; boxes or masks make them better. JSON goes to stdout if it is a
    pipe.

    Exit codes: 0 when every image could be read, 3 when some could not, 2 for
    wrong usage. For research use.
    """
    require_extras("tier model map-scale", "eval")
    from tier_cli.commands.fit_data import choose_rows, without_trained
    from tier_cli.files.atomic import check_new_folder
    from tier_cli.pipeline.scoring_job import open_job
    from tier_cli.pipeline.stream import stream_options

    excluded = exclusions(exclude or [])
    check_new_folder(output)
    rows = choose_rows(dataset, data, root, split, _SPLIT, excluded, frontal_only=True)
    job = open_job(model, None, engine.value, device.value)
    rows, trained_on = without_trained(job, rows, dataset, exclude=True)
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.fitting.map_scale import describe_images, fit_map_scale, gather, write_scaled

    options = stream_options(batch_size=batch_size, workers=workers)
    gathered = gather(job, rows, options, progress_on_stderr)
    content = fit_map_scale(gathered, job, f"split {rows.split}")
    content["fitted_on"] = describe_images(job, rows, gathered, data, dataset) | trained_on
    write_scaled(job, output, content)
    report(content, gathered, output)
    if gathered.unreadable:
        raise typer.Exit(3)


def report(content: dict[str, Any], gathered: Gathered, output: Path) -> None:
    """Say what was fitted; in a pipe, also as JSON.

    Parameters
    ----------
    content, gathered, output
        What is written, what it was fitted on, and the folder of the copy.
    """
    low, high = content["ranges"][content["similarity"]]
    (thresholds,) = content["thresholds"].values()
    by_dice = sum(entry["chosen_by"] == "dice" for entry in thresholds.values())
    print_message(
        f"Fitted on {content['fitted_on']['images']} images: colours from {low:+.4f} to {high:+.4f}; "
        f"{by_dice} thresholds by Dice, {len(thresholds) - by_dice} by images without the finding"
    )
    for name, reason in content["left_out"].items():
        print_message(f"No threshold of {name}: {reason}", colour="yellow")
    for name, entry in thresholds.items():
        share = entry.get("share_without") or 0.0
        if share >= _MUCH:
            print_message(
                f"The threshold of {name}, {entry['threshold']:+.4f}, also marks {share:.0%} of the patches "
                "of images without it: its outlines say little",
                colour="yellow",
            )
    for reason, count in gathered.unusable.items():
        print_message(f"{count} left out: {reason}", colour="yellow")
    if gathered.unreadable:
        print_message(f"{gathered.unreadable} images could not be read", colour="yellow")
    print_message(f"Wrote the checkpoint with its scale of maps to {output}")
    if not is_terminal("stdout"):
        typer.echo(json.dumps({"output": str(output), **content}))
