"""`tier data`: draw synthetic chests, look through data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tier_cli.commands.inspect import inspect
from tier_cli.console import tell

app = typer.Typer(help="Make data to train and try models on, and look through data.", no_args_is_help=True)
app.command()(inspect)


class Format(StrEnum):
    """What a picture is written as."""

    PNG = "png"
    DICOM = "dicom"


@app.command()
def phantom(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Gets manifest.csv and images/; made if need be.", show_default=False
        ),
    ],
    count: Annotated[int, typer.Option(min=1, help="How many pictures.", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, help="Which cohort: the same seed gives the same files.")] = 0,
    format: Annotated[Format, typer.Option(help="PNG of 8 bits, or DICOM (DX, 12 bits).")] = Format.PNG,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Width and height in pixels.")] = 512,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that draw; as many as CPUs.", show_default=False)
    ] = None,
) -> None:
    """Draw synthetic chest X-rays with reports, labels and boxes.

    Five findings of random size, side and contrast (cardiomegaly, consolidation,
    effusion, nodule, pneumothorax) in people of many builds.

    Every picture is labelled as synthetic. They are for trying out, testing and
    teaching; they say nothing about patients.
    """
    from tier_cli.model.engine import usable_cpus
    from tier_cli.phantom.folder import write_folder

    with _progress(count) as tick:
        written = write_folder(
            folder,
            count,
            seed,
            kind=format.value,
            size=size,
            workers=workers or min(usable_cpus(), count),
            tick=tick,
        )
    for split, images in written.images.items():
        tell(f"{split}: {images} pictures of {written.patients[split]} synthetic patients")
    tell(f"Wrote {written.manifest}")


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], object]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # Off a terminal Rich would leave an empty line in its place.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=count)
        yield lambda: bars.advance(task)
