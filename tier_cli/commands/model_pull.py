"""`tier model pull`: get a public model, once its licence and terms were agreed to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from tier_cli.console import is_terminal, tell
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.model.registry import PublicModel

Name = Annotated[str, typer.Argument(metavar="NAME", help="See `tier model list`.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to the licence and terms without being asked.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Checkpoint folder to write; by default one in the cache, found by NAME.",
        show_default=False,
    ),
]


class PullCommand(TyperCommand):
    """Names what can be pulled, read only for its own help: no other one waits for the registry."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from tier_cli.model.registry import pullable

        *names, last = pullable()
        for argument in self.params:
            if isinstance(argument, TyperArgument):
                argument.help = f"{', '.join(names)} or {last}; see `tier model list`."
        super().format_help(ctx, formatter)


def pull(
    name: Name,
    yes: Yes = False,
    output: Output = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON also on a terminal.")] = False,
) -> None:
    """Download a public model from the Hugging Face hub and convert it.

    Its licence and terms are shown first, and nothing is downloaded before they are agreed to. HF_ENDPOINT
    names a mirror. Files come at a fixed revision and are checked where their hash is publicly known.
    """
    from tier_cli.model.registry import public_model

    model = public_model(name)
    from tier_cli.model import pull as hub

    folder = output or hub.downloads(name)
    if folder.exists():
        raise UsageError(
            "is there already",
            where=str(folder),
            remedy="name another folder with --output" if output else f"use it with --model {name}",
        )
    _agree(model, hub.endpoint(), yes)
    # The hub's library would tell the hub what runs here; it reads this when it is loaded.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not is_terminal("stderr"):
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    facts = hub.pull(model, folder)
    _tell_checked(facts["origin"]["files"])
    named = name if output is None else str(output)
    tell(f"Converted into {folder}. Use it with --model {named}", colour="green")
    if as_json or not is_terminal("stdout"):
        typer.echo(json.dumps({"path": str(folder), **facts}))


def _agree(model: PublicModel, endpoint: str, yes: bool) -> None:
    tell(model.title)
    tell(f"From {endpoint}/{model.repository}, revision {model.revision[:12]}")
    tell(f"Licence: {model.licence}")
    for sentence in model.terms:
        tell(f"- {sentence}")
    if yes:
        return
    if not is_terminal("stdin"):
        raise UsageError("nobody can be asked", where="--yes", remedy="agree to licence and terms with --yes")
    if not typer.confirm("Agree, and download?", err=True):
        raise typer.Exit(1)


def _tell_checked(files: dict[str, Any]) -> None:
    """Say which files nothing was known of, with what they turned out to be."""
    for name, said in files.items():
        if not said["checked"]:
            tell(f"{name}: no hash is publicly known; SHA-256 {said['sha256']}")
