"""Measure several models on several data sets: `tier eval` with several --dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from typer import Exit, echo

from tier_cli.commands.evaluate.command_line import command_line
from tier_cli.console import is_terminal, print_message
from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError
from tier_cli.evaluation.sections.options import SectionOptions
from tier_cli.results.overwrite import check_not_an_input, replaced_text

if TYPE_CHECKING:
    from tier_cli.evaluation.data_set import DataSet
    from tier_cli.evaluation.model_table import ModelTable
    from tier_cli.evaluation.settings import EvaluationSettings


def check_table_options(settings: EvaluationSettings, **given: object) -> None:
    """Refuse options that belong to the evaluation of one data set.

    Parameters
    ----------
    settings
        The settings, without data set and folder.
    **given
        Values of further options by their names, None if they are not given.

    Raises
    ------
    UsageError
        One of them is given.
    """
    remedies = {"root": "name the folders with --dataset NAME=FOLDER", "data": "add --dataset csv=FILE"}
    used = {name: value is not None for name, value in given.items()}
    used |= {
        "by": bool(settings.by),
        "select-on": settings.select_on is not None,
        "operating-point": settings.operating_point is not None,
        "prevalence": settings.prevalence is not None,
        "corrupt, --prompt-sensitivity, --grounding, --exclusive or --retrieval": settings.sections
        != SectionOptions(),
    }
    for name, is_used in used.items():
        if is_used:
            raise UsageError(
                "cannot be combined with several --dataset",
                where=f"--{name}",
                remedy=remedies.get(name, "evaluate one data set at a time"),
            )


def evaluate_table(
    models: Sequence[str], sets: Sequence[DataSet], settings: EvaluationSettings, output: str | None
) -> None:
    """Measure, show and write the table.

    Parameters
    ----------
    models
        Names or folders of checkpoints or ensembles, each a model of its own.
    sets
        The data sets.
    settings
        For all of them.
    output
        A .json or .csv file; None = JSON on stdout unless that is a terminal.

    Raises
    ------
    Exit
        With code 3 if a cell failed, or an image has no scores.
    """
    _check_inputs_are_kept(output, models, sets)
    from rich.console import Console

    from tier_cli.display.model_table import show_model_table
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.evaluation.measure_table import measure_table
    from tier_cli.evaluation.model_table import write_table

    replaced = replaced_text(output)

    console = Console(stderr=True)
    so_far: list[ModelTable] = []

    def observe(table: ModelTable) -> None:
        so_far.append(table)
        if output is not None:
            write_table(table, output)

    # TIER_DATA_ROOT counts if a public data set has no folder of its own.
    relies_on_root = any(one.place is None for one in sets if one.name != CSV)
    command = command_line("" if relies_on_root else CSV, None)
    try:
        table = measure_table(
            models, sets, settings, command=command, progress=progress_on_stderr, observe=observe
        )
    except KeyboardInterrupt:
        if so_far:
            show_model_table(so_far[-1], console)
        raise
    show_model_table(table, console)
    if output is not None:
        print_message(f"All numbers are in {output}{replaced}")
    elif not is_terminal("stdout"):
        echo(table.to_json(), nl=False)
    if not table.complete:
        raise Exit(3)


def _check_inputs_are_kept(output: str | None, models: Sequence[str], sets: Sequence[DataSet]) -> None:
    if output is None:
        return
    for one in sets:
        manifest = one.place if one.name == CSV else None
        folder = None if one.name == CSV else one.place or os.environ.get("TIER_DATA_ROOT")
        check_not_an_input(output, "--output", [*models, manifest], folder)
