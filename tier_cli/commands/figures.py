"""Draw the figures of the TIER paper for any checkpoints: `tier figures`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer import Exit

from tier_cli.commands import options as shared_options
from tier_cli.commands.evaluate import options as eval_options
from tier_cli.commands.evaluate.command_line import command_line
from tier_cli.commands.evaluate.data import exclusions
from tier_cli.commands.options import option
from tier_cli.commands.stopping import stopping
from tier_cli.console import print_message
from tier_cli.datasets.registry import CSV
from tier_cli.evaluation.settings import EvaluationSettings
from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.packages import require_extras
from tier_cli.signals import exit_code_of, signal_name

_MODEL, _RESULTS = "Model and findings", "Results"


class AgainstName(StrEnum):
    """What patches are compared with."""

    TEXTS = "texts"
    FINDINGS = "findings"


Model = Annotated[
    list[str] | None,
    option(
        _MODEL,
        "NAME|FOLDER",
        f"Checkpoint; repeat to draw several beside each other. Default: {DEFAULT_MODEL}.",
        "--model",
    ),
]
Against = Annotated[
    AgainstName | None,
    typer.Option(
        help="Compare patches with each image's text (or a caption written from its labels), or with the "
        "findings it has. Default: texts if there are any, else findings.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Output = Annotated[Path, option(_RESULTS, "FOLDER", "New or empty folder for the figures.", "--output", "-o")]


def figures(
    output: Output,
    data: eval_options.Data = None,
    dataset: eval_options.Dataset = CSV,
    root: eval_options.Root = None,
    split: eval_options.Split = None,
    exclude: eval_options.Exclude = None,
    exclude_trained: eval_options.ExcludeTrained = False,
    views: eval_options.Views = "frontal",
    model: Model = None,
    findings: shared_options.Findings = None,
    against: Against = None,
    engine: shared_options.Engine = shared_options.EngineName.AUTO,
    device: shared_options.Device = shared_options.DeviceName.AUTO,
    replicates: eval_options.Replicates = 1000,
    seed: eval_options.Seed = 0,
    batch_size: shared_options.BatchSize = None,
    workers: shared_options.Workers = None,
    timeout_per_file: shared_options.TimeoutPerFile = DEFAULT_TIMEOUT,
    memory_per_file: shared_options.MemoryPerFile = DEFAULT_MEMORY,
) -> None:
    """Draw the TIER paper's figures for one or several checkpoints.

    Similarity by rank, relative importance, entropy and sparsity on the images
    and over training, and similarity inside and outside boxes or masks. Each
    figure is written as PNG, SVG and CSV, with 95% intervals over patients;
    README.md has the captions, figures.json what determines the figures.

    The folder is written whole at the end, or not at all. Exit codes: 0 if
    every image could be used, 3 if some could not, 2 for wrong usage, 130
    Ctrl-C, 143 SIGTERM, 129 SIGHUP. For research use.
    """
    require_extras("tier figures", "eval")
    settings = EvaluationSettings(
        findings=findings,
        dataset=dataset,
        root=root,
        split=split,
        exclude=exclusions(exclude or []),
        exclude_trained=exclude_trained,
        views=views,
        replicates=replicates,
        seed=seed,
        engine=engine.value,
        device=device.value,
        batch_size=batch_size,
        workers=workers,
        timeout_per_file=timeout_per_file,
        memory_per_file=memory_per_file,
    )
    from rich.console import Console

    from tier_cli.display.figures_table import show_figures
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.evaluation.figures.run import make_figures

    try:
        with stopping():
            made = make_figures(
                model or [DEFAULT_MODEL],
                data,
                output,
                settings,
                None if against is None else against.value,
                command=command_line(dataset, root),
                progress=progress_on_stderr,
            )
    except KeyboardInterrupt as stop:
        print_message(f"Interrupted{signal_name(stop)}; nothing was written.")
        raise Exit(exit_code_of(stop)) from stop
    show_figures(made.document, Console(stderr=True))
    for note in made.notes:
        print_message(note)
    names = ", ".join(figure["name"] for figure in made.document["figures"])
    print_message(f"{len(made.document['figures'])} figures are in {os.fspath(output)}: {names}")
    if not made.complete:
        raise Exit(3)
