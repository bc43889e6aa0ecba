"""`tier model input-check`: fit a check that says which images are no frontal chest X-rays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli.commands.evaluate.data import exclusions
from tier_cli.commands.evaluate.options import Data, Dataset, Exclude, Root
from tier_cli.commands.fit_options import FIT_PANEL, Output
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
    from tier_cli.evaluation.selection import Selection

_FIT_SPLIT, _LIMIT_SPLIT = "train", "valid"
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, or the name of a model.")]
Split = Annotated[str, option("Data", "NAME", f"Split of the chests to fit on. Default: {_FIT_SPLIT}.")]
LimitOn = Annotated[
    str,
    option(
        "Data",
        "SPLIT",
        "Split, of other patients, that the limit is set on; images that the checkpoint was trained on are "
        f"left out. Default: {_LIMIT_SPLIT}.",
    ),
]
Images = Annotated[
    int,
    typer.Option("--images", min=50, metavar="N", help="Fit on at most N images.", rich_help_panel=FIT_PANEL),
]
Passing = Annotated[
    float,
    typer.Option(
        "--passing",
        min=0.5,
        max=1.0,
        metavar="SHARE",
        help="Share of the images of --limit-on that each limit passes at least.",
        rich_help_panel=FIT_PANEL,
    ),
]
Seed = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Seed for drawing the images.", rich_help_panel=FIT_PANEL),
]


def input_check(
    model: Model,
    output: Output,
    data: Data = None,
    dataset: Dataset = "csv",
    root: Root = None,
    split: Split = _FIT_SPLIT,
    limit_on: LimitOn = _LIMIT_SPLIT,
    exclude: Exclude = None,
    images: Images = 1000,
    passing: Passing = 0.995,
    seed: Seed = 0,
    engine: Engine = EngineName.AUTO,
    device: Device = DeviceName.AUTO,
    batch_size: BatchSize = None,
    workers: Workers = None,
) -> None:
    """Fit a check that finds images that are no frontal chest X-rays; write it into a copy of MODEL.

    The check compares the embedding of an image with those of chests and of
    turned and inverted chests; no image of another kind is needed. `tier
    classify` then notes or refuses suspicious images. JSON goes to stdout if
    it is a pipe.

    Exit codes: 0 when every image could be read, 3 when some could not, 2 for
    wrong usage. For research use.
    """
    require_extras("tier model input-check", "eval")
    from tier_cli.commands.fit_data import choose_rows, without_trained
    from tier_cli.errors import UsageError
    from tier_cli.files.atomic import check_new_folder
    from tier_cli.pipeline.scoring_job import open_job
    from tier_cli.pipeline.stream import stream_options

    if split.lower() == limit_on.lower():
        raise UsageError(
            "the limit needs other images than the fit", where="--limit-on", remedy="name another split"
        )
    excluded = exclusions(exclude or [])
    check_new_folder(output)
    chests = choose_rows(dataset, data, root, split, _FIT_SPLIT, excluded, frontal_only=True)
    others = choose_rows(dataset, data, root, limit_on, _LIMIT_SPLIT, excluded, frontal_only=True)
    _check_apart(chests, others)
    job = open_job(model, None, engine.value, device.value)
    others, trained_on = without_trained(job, others, dataset, exclude=True)
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.fitting.input_check import embed_chests, fit_input_check, shares, write_checked

    options = stream_options(batch_size=batch_size, workers=workers)
    known, held_out = (
        embed_chests(_drawn(rows, images, seed), job.members[0], options, progress_on_stderr)
        for rows in (chests, others)
    )
    check = fit_input_check(known, held_out, passing)
    facts = {
        **shares(check, held_out),
        "fitted_on": {
            "data": dataset if data is None else data.name,
            "split": chests.split,
            "images": len(known.plain),
        },
        "limit_on": {"split": others.split, "images": len(held_out.plain), **trained_on},
    }
    write_checked(job.checkpoint, output, check, facts)
    unreadable = known.unreadable + held_out.unreadable
    _report(facts, output, unreadable)
    if unreadable:
        raise typer.Exit(3)


def _drawn(rows: Selection, images: int, seed: int) -> list[str]:
    """Draw at most `images` paths."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(rows.manifest))[:images]
    return [rows.manifest.paths[number] for number in sorted(order.tolist())]


def _check_apart(chests: Selection, others: Selection) -> None:
    from tier_cli.errors import ManifestError

    both = {*chests.manifest.patients()} & {*others.manifest.patients()}
    if both:
        raise ManifestError(
            f"{len(both)} patients are in both splits",
            where="--limit-on",
            remedy="split the manifest by patient: the limit must be set on patients not fitted on",
        )


def _report(facts: dict[str, Any], output: Path, unreadable: int) -> None:
    print_message(
        f"Fitted on {facts['fitted_on']['images']} images; of the {facts['limit_on']['images']} images that "
        f"the limits were set on, {facts['passing']:.1%} pass, and {facts['altered_caught']:.1%} are caught "
        "when turned or inverted"
    )
    if unreadable:
        print_message(f"{unreadable} images could not be read", colour="yellow")
    print_message(f"Wrote the checkpoint with its input check to {output}")
    if not is_terminal("stdout"):
        typer.echo(json.dumps({"output": str(output), **facts}))
