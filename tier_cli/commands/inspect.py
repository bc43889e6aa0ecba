"""Run `tier data inspect`: show what a manifest or a data set contains and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tier_cli.commands.options import known_dataset
from tier_cli.console import is_terminal, print_message, printable
from tier_cli.datasets.registry import DATASETS
from tier_cli.errors import UsageError
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.datasets.survey.result import Survey
    from tier_cli.findings.schema import FindingSet


def inspect(
    manifest: Annotated[
        Path | None,
        typer.Argument(metavar="MANIFEST.csv", help="Your own manifest.", show_default=False),
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"Public data set instead of a manifest: {', '.join(DATASETS)}.",
            callback=known_dataset,
        ),
    ] = "csv",
    named: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="MANIFEST.csv",
            help="Your own manifest, instead of the argument.",
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the data set (TIER_DATA_ROOT), or of a manifest's paths.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split to inspect; all for every split.")
    ] = "all",
    text: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help="Part of the reports to read: impression, findings or both. Default: the unchanged texts of "
            "a manifest, and no reports of a public data set.",
            show_default=False,
        ),
    ] = None,
    findings: Annotated[
        str | None,
        typer.Option(
            metavar="SET",
            help="Finding set of the label columns. Default: the best match.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=0, metavar="N", help="Number of images to read.")] = 32,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed for drawing these images.")] = 0,
) -> None:
    """Show what data contain and what is wrong with them.

    Counts images, patients, splits, views, labels, texts and boxes, checks that
    every file exists and reads a few. Prints a table on a terminal, else JSON.

    Exit codes: 0 without problems, 3 with problems, 2 for wrong usage.
    """
    require_extras("tier data inspect", "eval")
    from tier_cli.datasets.survey.survey import survey_manifest
    from tier_cli.decoding.sizes import image_sizes
    from tier_cli.model.engine import usable_cpus

    if manifest is not None and named is not None:
        raise UsageError("two manifests given", where="--data", remedy="leave out --data or the argument")
    data, chosen = _open(manifest or named, dataset, root, split, text, findings)
    found = survey_manifest(data, chosen, partial(image_sizes, workers=usable_cpus()), sample, seed)
    if is_terminal("stdout"):
        from rich.console import Console

        _show(found, Console())
    else:
        typer.echo(json.dumps(found.document(), ensure_ascii=False))
        for problem in found.problems:
            print_message(problem.what)
    if found.problems:
        raise typer.Exit(3)


def _open(
    path: Path | None, dataset: str, root: Path | None, split: str, text: str | None, findings: str | None
) -> tuple[Manifest, FindingSet]:
    from tier_cli.datasets.opening import open_data
    from tier_cli.datasets.registry import CSV, dataset_info
    from tier_cli.datasets.survey.survey import best_finding_set
    from tier_cli.findings.load import load_findings

    if path is None and dataset == CSV:
        raise UsageError(
            "no data given",
            where="MANIFEST.csv",
            remedy="name a manifest, give --dataset NAME --root FOLDER, or draw synthetic chests with "
            "`tier data phantom DIR --count 2000` and name DIR/manifest.csv",
        )
    chosen = None if findings is None else load_findings(findings)
    data = open_data(dataset, path, root, split, text)
    if dataset == CSV and split.lower() != "all":
        data = data.split(split)
    if chosen is None:
        chosen = best_finding_set(data) if dataset == CSV else load_findings(dataset_info(dataset).findings)
    return data, chosen


def _show(found: Survey, console: Console) -> None:
    from rich.text import Text

    for line in _lines(found):
        console.print(Text(printable(line)), soft_wrap=False)
    if found.labels:
        console.print(_labels(found))
    for remark in found.remarks:
        console.print(Text(printable(remark), style="dim"))
    for problem in found.problems:
        console.print(Text(printable(f"Problem: {problem.what}"), style="red"))
        for example in problem.examples:
            console.print(Text(printable(f"  {example}"), style="dim"))
    if not found.problems:
        console.print(Text("No problems found.", style="green"))


def _lines(found: Survey) -> Iterator[str]:
    yield found.origin
    unknown = (
        f" ({_count(found.without_patient, 'image')} without a patient)" if found.without_patient else ""
    )
    studies = f", {_count(found.studies, 'study', 'studies')}" if found.studies else ""
    yield f"{_count(found.images, 'image')}, {_count(found.patients, 'patient')}{unknown}{studies}"
    if any(split.name for split in found.splits):
        yield "splits: " + "; ".join(
            f"{split.name or '(none)'} {_count(split.images, 'image')}, {_count(split.patients, 'patient')}"
            for split in found.splits
        )
    else:
        yield "no splits"
    yield "views: " + ", ".join(f"{count} {view or 'unknown'}" for view, count in found.views.items())
    texts = found.texts
    if texts.words:
        low, middle, high = texts.words
        empty = f" ({texts.empty} without)" if texts.empty else ""
        yield f"{_count(texts.filled, 'image')} with a text{empty}; {low} to {high} words, median {middle}"
    for text, times in texts.repeated:
        yield f"  {times} times: {text if len(text) <= 60 else text[:57] + '...'}"
    if found.images_with_regions:
        boxes, masks = _count(found.boxes, "box", "boxes"), _count(found.masks, "mask")
        yield f"{boxes} and {masks} in {_count(found.images_with_regions, 'image')}"
    if found.ignored_columns:
        yield f"columns that are not labels of {found.finding_set}: {', '.join(found.ignored_columns)}"
    yield f"looked for {_count(found.files.files, 'file')} and read {found.files.read}"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _labels(found: Survey) -> object:
    from rich.table import Table

    table = Table(title=f"Labels ({found.finding_set})", title_justify="left")
    table.add_column("finding", overflow="fold")
    for name in ("1", "0", "-1", "blank"):
        table.add_column(name, justify="right")
    for label in found.labels:
        counts = (label.positive, label.negative, label.uncertain, label.blank)
        table.add_row(label.finding, *map(str, counts))
    return table
