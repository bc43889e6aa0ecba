"""`tier model`: which models there are, what is in one, whether it is intact; write its graphs; convert."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli.commands import model_pull
from tier_cli.console import is_terminal

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.registry import PublicModel

app = typer.Typer(
    help="List models, look into one, verify it, write its graphs, get or convert public ones.",
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, or the name of a model.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON also on a terminal.")]

app.command(cls=model_pull.PullCommand)(model_pull.pull)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that can be named without a path, and public ones that can be pulled.

    Tables on a terminal, JSON lines in a pipe.
    """
    from tier_cli.model.catalogue import catalogue
    from tier_cli.model.registry import public_models

    models = catalogue()
    if _for_programs(as_json):
        for model in models:
            _print(vars(model))
        return
    here = [
        (one.name, one.licence or "-", one.place or "", one.path or "") for one in models if one.installed
    ]
    _table(("model", "licence", "place", "path"), here)
    others = [public_models()[one.name] for one in models if not one.installed]
    _table(("not installed", "what", "licence"), [(one.name, _how(one), one.licence) for one in others])


@app.command()
def info(model: Model, as_json: Json = False) -> None:
    """Show what a checkpoint says about itself: a table on a terminal, JSON in a pipe."""
    from tier_cli.model.checkpoint import open_checkpoint

    facts = _facts(open_checkpoint(model))
    if _for_programs(as_json):
        _print(facts)
    else:
        _table(("", facts["name"]), list(_flat(facts)))


@app.command()
def verify(model: Model, as_json: Json = False) -> None:
    """Recompute every hash of a checkpoint; name what is altered, missing or unlisted and exit with 2."""
    from tier_cli.model import checkpoint

    path = checkpoint.resolve(model)
    problems = checkpoint.verify(path)
    if _for_programs(as_json):
        _print({"path": str(path), "ok": not problems, "problems": problems})
    else:
        for line in problems or [f"{path}: every file is as listed"]:
            typer.echo(line, err=True)
    if problems:
        raise typer.Exit(2)


@app.command()
def export(model: Model, as_json: Json = False) -> None:
    """Write a checkpoint's ONNX graphs, finding vectors and checksums anew, checked against torch.

    The folder is taken as it is: what `tier model verify` found to be altered counts as intact afterwards.
    """
    from tier_cli.errors import CheckpointError
    from tier_cli.model.checkpoint import resolve
    from tier_cli.model.save import complete

    path = resolve(model)
    try:
        differences = complete(path)
    except PermissionError as error:
        raise CheckpointError(
            "the folder cannot be written", where=str(path), remedy="copy it elsewhere and export the copy"
        ) from error
    if _for_programs(as_json):
        _print({"path": str(path), "difference_from_torch": differences})
    else:
        _table(("graph", "difference from torch"), [(k, f"{v:.1e}") for k, v in differences.items()])


@app.command()
def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Foreign files or folders; several: an ensemble."),
    ],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="Checkpoint folder to write; a new one.")],
    family: Annotated[
        str | None,
        typer.Option("--family", help="Its kind, where the files do not tell (chexzero, clip, ...)."),
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="Folder with its tokenizer, where SOURCE has none.")
    ] = None,
    text_tower: Annotated[
        Path | None,
        typer.Option("--text-tower", help="Folder of its text model, where SOURCE has none (BioViL)."),
    ] = None,
    findings: Annotated[
        str | None, typer.Option("--findings", help="Finding set that the folder scores by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert a public checkpoint (BioViL, CLIP, CheXzero, ...) into a folder of this project.

    It keeps its own preprocessing, pooling and scoring. Nothing in the files is run. Several sources become
    folders in DEST, which then is one model: the mean of their scores.
    """
    from tier_cli.findings.load import load_findings
    from tier_cli.model.convert import convert as converted
    from tier_cli.model.convert.several import convert_several

    chosen = load_findings(findings) if findings else None
    if len(sources) > 1:
        every = convert_several(sources, dest, family, tokenizer, chosen, text_tower)
        _show_members(dest, every, as_json)
        return
    facts = converted(sources[0], dest, family, tokenizer, chosen, text_tower)
    if _for_programs(as_json):
        _print({"path": str(dest), **facts})
    else:
        _table(("", dest.name), _summary(facts))


@app.command()
def average(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Checkpoints of one training, two or more.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Checkpoint folder to write; a new one.")
    ],
    as_json: Json = False,
) -> None:
    """Write a checkpoint whose weights are the mean of several's.

    They must have equal configuration, tokenizer and preprocessing. The mean is another model: measure it.
    """
    from tier_cli.model.average import average as averaged

    facts = averaged(models, output)
    if _for_programs(as_json):
        _print({"path": str(output), **facts})
    else:
        rows = [(member["name"], member["weights"]) for member in facts["average_of"]]
        _table((f"{output.name} is the mean of", "weights"), rows)


def _show_members(dest: Path, members: list[dict[str, Any]], as_json: bool) -> None:
    if _for_programs(as_json):
        _print({"path": str(dest), "members": members})
        return
    _table(("", f"{dest.name}, an ensemble"), [(one["name"], ", ".join(one["source"])) for one in members])
    _table(("", "each of them"), _summary(members[0])[:4])


def _how(public: PublicModel) -> str:
    gated = " Gated." if public.gated else ""
    return f"{public.title}.{gated}" + (" Not on the hub." if public.by_hand else "")


def _summary(facts: dict[str, Any]) -> list[tuple[str, str]]:
    left_out = facts["left_out"]
    differences = facts["difference_from_torch"].values()
    return [
        ("kind", facts["family"]),
        ("score", facts["scoring"]),
        ("rendering of DICOM", facts["rendering"]),
        ("findings", str(facts["findings"])),
        ("weights stored in", facts["stored_as"]),
        ("tensors of no use", f"{len(left_out)}: {', '.join(left_out[:5])}" if left_out else "none"),
        ("graphs' difference from torch", f"{max(differences, default=0.0):.1e}"),
    ]


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    from tier_cli.model.checkpoint import TRAINING, read_json
    from tier_cli.scoring.adaptation import ADAPTATION

    config = checkpoint.config
    training = checkpoint.path / TRAINING
    return {
        "name": checkpoint.name,
        "path": str(checkpoint.path),
        "image_tower": config.get("image_tower", {}).get("model_type"),
        "text_tower": config.get("text_tower", {}).get("model_type"),
        "projection_dim": config.get("projection_dim"),
        "entropy": config.get("entropy"),
        "scoring": checkpoint.scoring,
        "max_tokens": checkpoint.max_tokens,
        "preprocessing": checkpoint.preprocessing.to_dict(),
        "findings": list(checkpoint.findings.ids),
        "calibrated": _calibrated(checkpoint),
        "adapted": _adapted(checkpoint.path / ADAPTATION),
        "hashes": {**checkpoint.hashes, "findings": checkpoint.findings.hash},
        "bytes": {file.name: file.stat().st_size for file in _files(checkpoint.path)},
        "training": read_json(training) if training.is_file() else None,
    }


def _calibrated(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """What the calibration holds for; its curves are in the file."""
    content = checkpoint.calibration
    if content is None:
        return None
    names = ("method", "operating_point", "key", "fitted_on")
    return {name: content.get(name) for name in names} | {"findings": list(content.get("findings", {}))}


def _adapted(file: Path) -> dict[str, Any] | None:
    """What is mixed into the scores."""
    from tier_cli.model.checkpoint import read_json

    if not file.is_file():
        return None
    content = read_json(file)
    names = ("method", "mix", "key", "fitted_on")
    return {name: content.get(name) for name in names} | {"findings": list(content.get("findings", {}))}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Rows for people: nested names joined by spaces, lists by commas."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key} ")
        elif isinstance(value, list):
            rows.append((prefix + key, ", ".join(map(str, value))))
        else:
            rows.append((prefix + key, str(value)))
    return rows


def _for_programs(as_json: bool) -> bool:
    return as_json or not is_terminal("stdout")


def _print(content: dict[str, Any]) -> None:
    # In ASCII, as results are: a path need not be UTF-8.
    typer.echo(json.dumps(content))


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        # Paths and hashes are of no use cut short.
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(stderr=True).print(table)
