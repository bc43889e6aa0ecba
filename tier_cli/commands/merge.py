"""`tier merge`: make one output from the journals of several runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from typer import Exit

from tier_cli.commands import options
from tier_cli.commands.stopping import stopping
from tier_cli.console import print_message
from tier_cli.results.output import JOURNAL_ENDING, OutputFile
from tier_cli.results.overwrite import check_not_an_input
from tier_cli.signals import exit_code_of

Journals = Annotated[
    list[str],
    typer.Argument(
        metavar="SHARD",
        help="Journals, or outputs that have their journals beside them.",
        show_default=False,
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="The .csv, .json, .jsonl or .parquet file to write.",
        rich_help_panel="Results",
        show_default=False,
    ),
]
AllowIncomplete = Annotated[
    bool,
    options.switch(
        "Results", "--allow-incomplete", "Go on where shards are missing, doubled or not finished."
    ),
]


def merge(
    shards: Journals,
    output: Output,
    top: options.Top = None,
    wide: options.Wide = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """Join the parts that tier classify --shard has scored into one file.

    The file is the same, byte for byte, as that of one run over all files.
    A single journal, such as that of --journal without --output, works too.

    Exit codes: 0 success; 2 wrong usage, or shards are missing, doubled or
    not finished; 3 some files could not be scored; 74 a full or lost disk;
    130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, and nothing is written.
    """
    file = OutputFile(output, wide)
    paths = [_journal_of(name) for name in shards]
    check_not_an_input(file.path, "--output", paths)
    from tier_cli.commands.journal_output import JournalOutput
    from tier_cli.imaging.discover import PassedOver
    from tier_cli.pipeline.joined import Joined

    joined = Joined.read(paths)
    if joined.problems:
        joined.refuse_unless(allow_incomplete)
        print_message(f"Incomplete: {'; '.join(joined.problems)}", colour="yellow")
    passed_over = PassedOver(counts=Counter(joined.passed_over))
    layout = joined.layout(wide)
    journals = ", ".join(map(str, paths))
    made = JournalOutput(layout, file, journals, top, joined.description.note, passed_over)
    try:
        with stopping():
            made.make(joined.results(), joined.description.finish, cut_short=bool(joined.problems))
    except KeyboardInterrupt as stop:
        print_message("Interrupted: nothing was written.")
        raise Exit(exit_code_of(stop)) from stop
    made.report()
    if made.failed:
        raise Exit(3)


def _journal_of(name: str) -> Path:
    """Return the journal that is named, or that lies beside the output that is named."""
    beside = Path(name + JOURNAL_ENDING)
    return beside if not name.endswith(JOURNAL_ENDING) and beside.is_file() else Path(name)
