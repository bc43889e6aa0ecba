"""`tier model pull`: download and convert a public model once its licence and terms are accepted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from tier_cli.console import is_terminal, print_message
from tier_cli.errors import UsageError
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from tier_cli.model.registry import PublicModel

Name = Annotated[str, typer.Argument(metavar="NAME", help="A public model listed by `tier model list`.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence and terms without a prompt.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="New checkpoint folder to write. Default: a folder in the data folder, which NAME then finds.",
        show_default=False,
    ),
]


class PullCommand(TyperCommand):
    """A command whose help lists the public models; the registry is read only when that help is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text."""
        from tier_cli.model.registry import pullable

        *names, last = pullable()
        for argument in self.params:
            if isinstance(argument, TyperArgument):
                argument.help = f"One of {', '.join(names)} and {last}; see `tier model list`."
        super().format_help(ctx, formatter)


def pull(
    name: Name,
    yes: Yes = False,
    output: Output = None,
    download_only: Annotated[
        bool,
        typer.Option(
            "--download-only",
            help="Do not convert; copy the files to --output, for a machine without a network.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON even on a terminal.")] = False,
) -> None:
    """Download a public model from the Hugging Face hub and convert it.

    The licence and terms are shown first; nothing is downloaded until you
    accept them. Files are downloaded at a fixed revision, and their hashes are
    checked where they are public. Set HF_ENDPOINT to use a mirror,
    and TIER_DATA_DIR to keep models in another folder.
    """
    if not download_only:
        require_extras("tier model pull", "torch", otherwise="download the files only, with --download-only")
    from tier_cli.model.registry import public_model

    model = public_model(name)
    from tier_cli.model import pull as hub

    folder = output or hub.downloads(name)
    if folder.exists():
        raise UsageError(
            "already exists",
            where=str(folder),
            remedy="choose another folder with --output" if output else f"use it with --model {name}",
        )
    _ask_for_consent(model, hub.endpoint(), yes)
    # Otherwise the hub library sends usage data; it reads this variable on import.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not is_terminal("stderr"):
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    if download_only:
        files = hub.download(model, folder)
        if output is not None:
            hub.copy_files(files, output)
            print_message(
                f"Downloaded into {output}. Convert with: {hub.convert_line(model, output, Path(name))}"
            )
        else:
            print_message(f"Downloaded into the cache of the hub. Convert with: tier model pull {name}")
        if as_json or not is_terminal("stdout"):
            placed = {file: str(output / file if output else one.path) for file, one in files.items()}
            typer.echo(json.dumps({"files": placed}))
        return
    facts = hub.pull(model, folder)
    _report_unchecked(facts["origin"]["files"])
    named = name if output is None else str(output)
    print_message(f"Converted into {folder}. Use it with --model {named}", colour="green")
    if as_json or not is_terminal("stdout"):
        typer.echo(json.dumps({"path": str(folder), **facts}))


def _ask_for_consent(model: PublicModel, endpoint: str, yes: bool) -> None:
    print_message(model.title)
    print_message(f"From {endpoint}/{model.repository}, revision {model.revision[:12]}")
    print_message(f"Licence: {model.licence}")
    for sentence in model.terms:
        print_message(f"- {sentence}")
    if yes:
        return
    if not is_terminal("stdin"):
        raise UsageError(
            "cannot prompt: not a terminal", where="--yes", remedy="accept licence and terms with --yes"
        )
    if not typer.confirm("Accept and download?", err=True):
        raise typer.Exit(1)


def _report_unchecked(files: dict[str, Any]) -> None:
    """Print the SHA-256 of files that have no public hash to check against."""
    for name, file in files.items():
        if not file["checked"]:
            print_message(f"{name}: no public hash to check against; SHA-256 {file['sha256']}")
