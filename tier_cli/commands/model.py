"""`tier model`: list, inspect, verify, export, convert and average checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli.commands import model_pull
from tier_cli.commands.model_input_check import input_check
from tier_cli.commands.model_map_scale import map_scale
from tier_cli.commands.model_quantize import quantize
from tier_cli.commands.verbosity import Group
from tier_cli.console import is_terminal, print_message
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.registry import PublicModel

app = typer.Typer(
    cls=Group,
    help="List, inspect, verify, download and convert models.",
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, or the name of a model.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON even on a terminal.")]

app.command(cls=model_pull.PullCommand)(model_pull.pull)
app.command("input-check")(input_check)
app.command("map-scale")(map_scale)
app.command()(quantize)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that can be used by name, and the public models that can be pulled.

    Prints tables on a terminal, JSON lines in a pipe.
    """
    from tier_cli.model.catalogue import catalogue
    from tier_cli.model.registry import public_models

    models = catalogue()
    if _wants_json(as_json):
        for model in models:
            _print(vars(model))
        return
    here = [
        (one.name, one.licence or "-", one.place or "", one.path or "") for one in models if one.installed
    ]
    _table(("model", "licence", "place", "path"), here)
    others = [public_models()[one.name] for one in models if not one.installed]
    _table(
        ("not installed", "description", "licence"),
        [(one.name, _description(one), one.licence) for one in others],
    )


@app.command()
def info(model: Model, as_json: Json = False) -> None:
    """Show licence, measured AUC, limits, settings, training record and hashes of a checkpoint.

    Prints a table on a terminal, JSON in a pipe.
    """
    from tier_cli.model.checkpoint import open_checkpoint

    facts = _facts(open_checkpoint(model))
    if _wants_json(as_json):
        _print(facts)
    else:
        _table(("", facts["name"]), list(_flat(facts)))


@app.command("path")
def print_path(model: Model) -> None:
    """Print the folder of a model."""
    from tier_cli.model.checkpoint import find

    # As bytes: a path may not be valid UTF-8.
    typer.echo(os.fsencode(find(model)))


@app.command()
def verify(model: Model, as_json: Json = False) -> None:
    """Check a checkpoint against its checksums.

    Names every altered, missing or unlisted file and exits with 2 if there is one.
    """
    from tier_cli.model.checkpoint import resolve
    from tier_cli.model.verify import verify as problems_of

    path = resolve(model)
    problems = problems_of(path)
    if _wants_json(as_json):
        _print({"path": str(path), "ok": not problems, "problems": problems})
    else:
        for line in problems or [f"{path}: all files match checksums.json"]:
            typer.echo(line, err=True)
    if problems:
        raise typer.Exit(2)


@app.command()
def export(model: Model, as_json: Json = False) -> None:
    """Rewrite the ONNX graphs, finding vectors and checksums of a checkpoint.

    The graphs are compared with torch. The current files are accepted as they
    are: files that `tier model verify` reported as altered count as intact
    afterwards.
    """
    require_extras("tier model export", "torch")
    from tier_cli.errors import CheckpointError
    from tier_cli.model.checkpoint import resolve
    from tier_cli.model.save import complete

    path = resolve(model)
    try:
        differences = complete(path)
    except PermissionError as error:
        raise CheckpointError(
            "cannot write to the folder", where=str(path), remedy="copy it elsewhere and export the copy"
        ) from error
    if _wants_json(as_json):
        _print({"path": str(path), "difference_from_torch": differences})
    else:
        _table(("graph", "difference from torch"), [(k, f"{v:.1e}") for k, v in differences.items()])


@app.command()
def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Files or folders to convert. Several make an ensemble."),
    ],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="New checkpoint folder to write.")],
    family: Annotated[
        str | None,
        typer.Option(
            "--family", metavar="NAME", help="Family of SOURCE, such as chexzero, if it cannot be detected."
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="FOLDER", help="Folder with the tokenizer, if SOURCE has none."),
    ] = None,
    text_tower: Annotated[
        Path | None,
        typer.Option(
            "--text-tower", metavar="FOLDER", help="Folder with the text model, if SOURCE has none (BioViL)."
        ),
    ] = None,
    findings: Annotated[
        str | None,
        typer.Option("--findings", metavar="SET", help="Default finding set of the new checkpoint."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert a public checkpoint (BioViL, CLIP, CheXzero, ...) into a TIER checkpoint.

    Preprocessing, pooling and scoring stay those of the source. No code in the
    files is executed. Several sources become an ensemble in DEST, which gives
    the mean of their scores.
    """
    require_extras("tier model convert", "torch")
    from tier_cli.findings.load import load_findings
    from tier_cli.model.convert import convert as convert_one
    from tier_cli.model.convert.several import convert_several

    chosen = load_findings(findings) if findings else None
    report = print_message
    if len(sources) > 1:
        every = convert_several(sources, dest, family, tokenizer, chosen, text_tower, report)
        _show_members(dest, every, as_json)
        return
    facts = convert_one(sources[0], dest, family, tokenizer, chosen, text_tower, report=report)
    if _wants_json(as_json):
        _print({"path": str(dest), **facts})
    else:
        _table(("", dest.name), _summary(facts))


@app.command()
def average(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Two or more checkpoints of one training run.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="New checkpoint folder to write.")
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="X,X,...", help="Share of each checkpoint, such as 0.3,0.7. Default: equal shares."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Average the weights of several checkpoints into a new one.

    Configuration, tokenizer and preprocessing must be equal. Unequal --weights interpolate a fine-tuned model
    with the one it came from. The average is a different model: evaluate it.
    """
    require_extras("tier model average", "torch")
    from tier_cli.commands.options import numbers
    from tier_cli.model.average import average as average_weights

    facts = average_weights(models, output, None if weights is None else numbers(weights, "--weights"))
    if _wants_json(as_json):
        _print({"path": str(output), **facts})
    else:
        rows = [(one["name"], f"{one['share']:.4g}", one["weights"]) for one in facts["average_of"]]
        _table((f"{output.name} is the mean of", "share", "weights"), rows)


def _show_members(dest: Path, members: list[dict[str, Any]], as_json: bool) -> None:
    if _wants_json(as_json):
        _print({"path": str(dest), "members": members})
        return
    _table(("", f"{dest.name}, an ensemble"), [(one["name"], ", ".join(one["source"])) for one in members])
    _table(("", "each member"), _summary(members[0])[:4])


def _description(public: PublicModel) -> str:
    gated = " Gated." if public.gated else ""
    return f"{public.title}.{gated}" + (" Download by hand." if public.by_hand else "")


def _summary(facts: dict[str, Any]) -> list[tuple[str, str]]:
    left_out = facts["left_out"]
    differences = facts["difference_from_torch"].values()
    return [
        ("family", facts["family"]),
        ("score", facts["scoring"]),
        ("DICOM rendering", facts["rendering"]),
        ("findings", str(facts["findings"])),
        ("weights stored in", facts["stored_as"]),
        ("unused tensors", f"{len(left_out)}: {', '.join(left_out[:5])}" if left_out else "none"),
        ("difference of graphs from torch", f"{max(differences, default=0.0):.1e}"),
    ]


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    from tier_cli.maps.scale import map_scale_facts
    from tier_cli.model.bundled import BUNDLED
    from tier_cli.model.checkpoint import TRAINING, read_json
    from tier_cli.scoring.adaptation import ADAPTATION
    from tier_cli.scoring.input_check import input_check_facts

    config = checkpoint.config
    path = checkpoint.path / TRAINING
    training = read_json(path) if path.is_file() else None
    origin = ((training or {}).get("converted") or {}).get("origin") or {}
    quantised = config.get("quantised")
    bundled = BUNDLED.get((quantised or {}).get("weights", checkpoint.hashes["weights"]))
    # What decides whether to use it comes first, what only identifies it last.
    return {
        "name": checkpoint.name,
        "licence": bundled.licence if bundled else origin.get("licence"),
        "auc": bundled.auc if bundled and not quantised else None,
        "limits": list(bundled.limits if bundled else origin.get("terms", ())),
        "path": str(checkpoint.path),
        "image_tower": config.get("image_tower", {}).get("model_type"),
        "text_tower": config.get("text_tower", {}).get("model_type"),
        "projection_dim": config.get("projection_dim"),
        "entropy": config.get("entropy"),
        "quantised": quantised,
        "scoring": checkpoint.scoring,
        "max_tokens": checkpoint.max_tokens,
        "preprocessing": checkpoint.preprocessing.to_dict(),
        "findings": list(checkpoint.findings.ids),
        "calibrated": _calibrated(checkpoint),
        "adapted": _adapted(checkpoint.path / ADAPTATION),
        "input_check": input_check_facts(checkpoint.path),
        "map_scale": map_scale_facts(checkpoint.path),
        "training": training,
        "bytes": {file.name: file.stat().st_size for file in _files(checkpoint.path)},
        "hashes": {**checkpoint.hashes, "findings": checkpoint.findings.hash},
    }


def _calibrated(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """Summarise the calibration without its curves."""
    content = checkpoint.calibration
    if content is None:
        return None
    names = ("method", "operating_point", "key", "fitted_on")
    return {name: content.get(name) for name in names} | {"findings": list(content.get("findings", {}))}


def _adapted(file: Path) -> dict[str, Any] | None:
    """Summarise the adaptation without its tensors."""
    from tier_cli.model.checkpoint import read_json

    if not file.is_file():
        return None
    content = read_json(file)
    names = ("method", "mix", "key", "fitted_on")
    return {name: content.get(name) for name in names} | {"findings": list(content.get("findings", {}))}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten nested facts into table rows: names joined by spaces, lists by commas."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key} ")
        elif isinstance(value, list):
            rows.append((prefix + key, (" " if key == "limits" else ", ").join(map(str, value)) or "none"))
        elif value is None:
            rows.append((prefix + key, "not recorded" if key in ("licence", "auc") else "none"))
        else:
            rows.append((prefix + key, str(value)))
    return rows


def _wants_json(as_json: bool) -> bool:
    return as_json or not is_terminal("stdout")


def _print(content: dict[str, Any]) -> None:
    # ASCII, like all results: a path may not be valid UTF-8.
    typer.echo(json.dumps(content))


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        # A truncated path or hash is useless.
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(stderr=True).print(table)
