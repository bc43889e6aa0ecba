"""`tier findings`: list, show, check and create finding sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tier_cli.commands.verbosity import Group
from tier_cli.console import is_terminal
from tier_cli.errors import FindingSetError, UsageError
from tier_cli.model.checkpoint import DEFAULT_MODEL

if TYPE_CHECKING:
    from tier_cli.findings.schema import Finding, FindingSet

app = typer.Typer(cls=Group, help="List, show, check and create finding sets.", no_args_is_help=True)

_SPEC = "A built-in set, a FILE.toml, or names such as 'pneumothorax,rib fracture'."
Spec = Annotated[str, typer.Argument(metavar="SET", help=_SPEC)]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|FOLDER",
        help="Checkpoint whose own finding set is searched for names first.",
    ),
]

_HEADER = """\
# A custom finding set. For each finding:
#   label     display name
#   aliases   other names of its label column (optional)
#   code      its code in SNOMED CT (SCT), RadLex (RADLEX) or a private scheme (99...), for DICOM (optional)
#   positive  prompts that state the finding; several phrasings work better than one
#   negative  prompts that deny it
# Check it with: tier findings check FILE     Use it with: tier classify PATH --findings FILE
"""


@app.command("list")
def list_sets() -> None:
    """List the built-in finding sets and where they are from.

    Prints a table on a terminal, JSON lines in a pipe.
    """
    from tier_cli.findings.load import builtin, builtin_names

    sets = [builtin(name) for name in builtin_names()]
    if is_terminal("stdout"):
        _show_sets(sets)
        return
    for fs in sets:
        typer.echo(json.dumps({"name": fs.name, "findings": fs.ids, "hash": fs.hash}))


@app.command()
def show(spec: Spec, model: Model = None) -> None:
    """Show the prompts of a finding set.

    Prints a table on a terminal, TOML in a pipe.
    """
    fs = _load(spec, model)
    _print_notes(fs)
    if is_terminal("stdout"):
        rows = [(_named(f), _bullets(f.positive), _bullets(f.negative)) for f in fs.findings]
        _table(("finding", "positive", "negative"), rows)
    else:
        typer.echo(fs.to_toml(), nl=False)


@app.command()
def check(
    specs: Annotated[list[str], typer.Argument(metavar="SET...", help=_SPEC)],
    model: Annotated[
        str, typer.Option("--model", help="Checkpoint whose text tower must be able to read the prompts.")
    ] = DEFAULT_MODEL,
) -> None:
    """Check finding sets and report every problem.

    Prompts that are longer than MODEL reads, or that have words it does not know, are problems too.

    Exit codes: 0 without problems, 2 with problems.
    """
    from tier_cli.model.checkpoint import open_checkpoint
    from tier_cli.model.prompts import prompt_problems

    checkpoint = open_checkpoint(model)
    wrong: list[FindingSetError] = []
    for spec in specs:
        try:
            fs, found = _problems(spec)
            found += prompt_problems(checkpoint, fs, spec)
        except FindingSetError as error:
            wrong.append(error)
            continue
        wrong += found
        if not found:
            prompts = sum(len(f.positive) + len(f.negative) for f in fs.findings)
            _print_line(
                f"{spec}: {_count(fs.findings, 'finding')}, {prompts} prompts, no problems"
                f" ({checkpoint.name} reads {checkpoint.max_tokens} tokens)"
            )
            _print_notes(fs)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        for problem in wrong:
            _print_line(str(problem))
        raise FindingSetError(
            f"{len(wrong)} problems", where=", ".join(specs), remedy="correct the problems listed above"
        )


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="File to write.")],
    spec: Spec = "pneumothorax,rib fracture",
    model: Model = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Create a finding set to edit, from names or from another set."""
    from tier_cli.findings.schema import FindingSet
    from tier_cli.results.overwrite import check_not_an_input

    if file.suffix.lower() != ".toml":
        raise UsageError(
            "a finding set file must end in .toml", where=str(file), remedy="add the suffix .toml"
        )
    if file.exists() and not force:
        raise UsageError("already exists", where=str(file), remedy="choose another name, or add --force")
    check_not_an_input(file, "FILE", [spec])
    chosen = _load(spec, model)
    _print_notes(chosen)
    fs = FindingSet(file.stem, chosen.findings)
    _write(file, f"{_HEADER}\n{fs.to_toml()}")
    _print_line(
        f"{file}: {_count(fs.findings, 'finding')} written. Edit it, then: tier findings check {file}"
    )


def _load(spec: str, model: str | None) -> FindingSet:
    from tier_cli.findings.load import load_findings

    if model is None:
        return load_findings(spec)
    from tier_cli.model.checkpoint import open_checkpoint

    return load_findings(spec, open_checkpoint(model).findings)


def _problems(spec: str) -> tuple[FindingSet, list[FindingSetError]]:
    from tier_cli.findings.load import is_file, load_findings, read_text
    from tier_cli.findings.parse import read_toml

    if is_file(spec):
        return read_toml(read_text(spec), Path(spec).stem, spec)
    return load_findings(spec), []


def _write(file: Path, text: str) -> None:
    from tier_cli.files.atomic import whole_file

    try:
        with whole_file(file) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(file), remedy="name a file in a writable folder"
        ) from error


def _print_notes(fs: FindingSet) -> None:
    for note in fs.notes:
        _print_line(note)


def _named(finding: Finding) -> str:
    """Return the label and id of a finding, and its code below them."""
    name = f"{finding.label} ({finding.id})"
    return name if finding.code is None else f"{name}\n{finding.code.scheme} {finding.code.value}"


def _count(things: tuple[object, ...], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _bullets(texts: tuple[str, ...]) -> str:
    # Long prompts wrap in a narrow table; the bullet shows where each one begins.
    return "\n".join(f"· {text}" for text in texts)


def _print_line(text: str) -> None:
    from rich.console import Console

    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def _show_sets(sets: Sequence[FindingSet]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("set", box=None, header_style="dim", padding=(0, 1))
    table.add_column("findings", justify="right")
    table.add_column("source")
    for fs in sets:
        table.add_row(fs.name, str(len(fs.findings)), fs.source)
    console = Console()
    console.print(table)
    console.print("`tier findings show SET` prints the findings of a set with their prompts.", style="dim")


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, show_lines=True)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
