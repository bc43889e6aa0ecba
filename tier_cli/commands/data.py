"""Run `tier data`: inspect data and draw synthetic chests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tier_cli.commands.inspect import inspect
from tier_cli.commands.verbosity import Group
from tier_cli.console import print_message

app = typer.Typer(
    cls=Group, help="Inspect data, and draw synthetic chests to try models on.", no_args_is_help=True
)
app.command()(inspect)


class Format(StrEnum):
    """File format of the images."""

    PNG = "png"
    DICOM = "dicom"


@app.command()
def phantom(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Output folder for manifest.csv and images/; created if missing.",
            show_default=False,
        ),
    ],
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Number of images.", show_default=False)],
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of the cohort: the same seed gives the same files.")
    ] = 0,
    format: Annotated[Format, typer.Option(help="8-bit PNG, or 12-bit DICOM (DX).")] = Format.PNG,
    size: Annotated[
        int, typer.Option(min=64, max=4096, metavar="N", help="Width and height in pixels.")
    ] = 512,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Drawing processes. Default: one per CPU.", show_default=False),
    ] = None,
) -> None:
    """Draw synthetic chest X-rays with reports, labels and boxes.

    Five findings (cardiomegaly, consolidation, effusion, nodule, pneumothorax) of
    random size, side and contrast in people of many builds.

    Every image is marked as synthetic. Use them for trials, tests and teaching;
    results on them say nothing about patients.
    """
    from tier_cli.model.engine import usable_cpus
    from tier_cli.phantom.folder import write_folder

    written = write_folder(
        folder,
        count,
        seed,
        kind=format.value,
        size=size,
        workers=workers or min(usable_cpus(), count),
        progress=_show_progress,
    )
    for split, images in written.images.items():
        print_message(f"{split}: {images} images of {written.patients[split]} synthetic patients")
    print_message(f"Wrote {written.manifest}")


@contextmanager
def _show_progress(count: int | None, title: str) -> Iterator[Callable[[], object]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # Without a terminal Rich would leave an empty line behind.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=count)
        yield lambda: bars.advance(task)
