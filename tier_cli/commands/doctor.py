"""`tier doctor`: report what this machine can score with and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli import __version__
from tier_cli.console import is_terminal
from tier_cli.packages import BASE, EXTRAS, install_line, installed_version, missing_of

if TYPE_CHECKING:
    from rich.console import Console

# pydicom also suggests pylibjpeg-libjpeg, which is under the GPL; these replace it.
_DECODERS = {
    "1.2.840.10008.1.2.4.5": "python-gdcm",
    "1.2.840.10008.1.2.4.7": "python-gdcm",
    "1.2.840.10008.1.2.4.8": "pyjpegls",
    "1.2.840.10008.1.2.4.9": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.20": "pylibjpeg pylibjpeg-openjpeg",
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON even on a terminal.")] = False,
) -> None:
    """Show versions, extras, devices, folders, the bundled model and what DICOM can be decoded.

    Prints tables on a terminal, JSON in a pipe. Exits with 2 if the bundled model is missing or altered.
    """
    facts: dict[str, Any] = {
        "versions": _versions(),
        "extras": {name: _extra(name) for name in EXTRAS},
        "devices": _devices(),
        "data": _data(),
        "cache": _cache(),
        "hub_cache": _hub_cache(),
        "model": _model(),
        "transfer_syntaxes": list(_transfer_syntaxes()),
    }
    if as_json or not is_terminal("stdout"):
        typer.echo(json.dumps(facts))
    else:
        _show(facts)
    if facts["model"]["problems"]:
        raise typer.Exit(2)


def _versions() -> dict[str, str | None]:
    import platform

    here = {"tier-cli": __version__, "python": platform.python_version(), "system": platform.platform()}
    return here | {name: installed_version(name) for name in BASE}


def _extra(name: str) -> dict[str, Any]:
    """Return what an extra gives, the versions of its packages, and the remedy if one is missing."""
    gives, packages = EXTRAS[name]
    return {
        "gives": gives,
        "versions": {package: installed_version(package) for package in packages},
        "remedy": None if missing_of(name) is None else install_line(name),
    }


def _devices() -> dict[str, Any]:
    from importlib.util import find_spec

    from tier_cli.model.engine import usable_cpus

    devices: dict[str, Any] = {"cpus": usable_cpus(), "cuda": [], "mps": False}
    if find_spec("torch"):
        import torch

        devices["cuda"] = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        devices["mps"] = torch.backends.mps.is_available()
    return devices


def _cache() -> dict[str, Any]:
    from tier_cli.files.caches import cache_dir, cache_root

    root = cache_root()
    return {"folder": None if root is None else str(root), "writable": cache_dir() is not None}


def _data() -> dict[str, Any]:
    import os

    from tier_cli.files.caches import data_root
    from tier_cli.model.checkpoint import list_models

    root = data_root()
    if root is None:
        return {"folder": None, "writable": False, "models": []}
    # The folder is created by the first download.
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    models = [name for name, place in list_models() if place.folder == root / "models"]
    return {"folder": str(root), "writable": os.access(existing, os.W_OK), "models": models}


def _hub_cache() -> dict[str, Any]:
    from huggingface_hub.constants import HF_HUB_CACHE

    return {"folder": HF_HUB_CACHE}


def _model() -> dict[str, Any]:
    from tier_cli.errors import CheckpointError
    from tier_cli.model.checkpoint import DEFAULT_MODEL, resolve
    from tier_cli.model.verify import verify

    try:
        path = resolve(DEFAULT_MODEL)
    except CheckpointError as error:
        return {"name": DEFAULT_MODEL, "path": None, "problems": [str(error)]}
    return {"name": DEFAULT_MODEL, "path": str(path), "problems": verify(path)}


def _transfer_syntaxes() -> Iterator[dict[str, Any]]:
    """Yield the installed decoders of every transfer syntax that pydicom knows."""
    from importlib.util import find_spec

    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import AllTransferSyntaxes

    for uid in AllTransferSyntaxes:
        try:
            decoder = get_decoder(uid)
        except NotImplementedError:
            continue
        decoders = list(decoder.available_plugins) if decoder.is_encapsulated else ["pydicom"]
        yield _syntax(uid, uid.name, decoders if decoder.is_available else [])
        if uid == "1.2.840.10008.1.2.4.51":
            found = ["imagecodecs"] if find_spec("imagecodecs") else []
            yield _syntax(uid, "JPEG Extended, 12 bits", found, "'tier-cli[codecs]'")


def _syntax(uid: str, name: str, found: list[str], package: str | None = None) -> dict[str, Any]:
    if package is None:
        package = next((what for start, what in _DECODERS.items() if uid.startswith(start)), "pydicom")
    remedy = None if found else f"pip install {package}"
    return {"uid": str(uid), "name": name, "decoders": found, "remedy": remedy}


def _show(facts: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    _table(console, "Versions", {name: _found(found) for name, found in facts["versions"].items()})
    _table(console, "Extras", {f"[{name}]": _described(one) for name, one in facts["extras"].items()})
    devices, data, cache, model = facts["devices"], facts["data"], facts["cache"], facts["model"]
    unknown = "" if facts["extras"]["torch"]["versions"]["torch"] else "not used without the extra [torch]"
    rows = {
        "CPUs": str(devices["cpus"]),
        "CUDA GPUs": unknown or ", ".join(devices["cuda"]) or "none",
        "MPS": unknown or ("yes" if devices["mps"] else "no"),
        "data folder": f"{data['folder']} ({'writable' if data['writable'] else 'not writable'})"
        if data["folder"]
        else "none: set TIER_DATA_DIR",
        "downloaded models": ", ".join(data["models"]) or "none",
        "cache": f"{cache['folder']} ({'writable' if cache['writable'] else 'not writable, not used'})",
        "Hugging Face cache": facts["hub_cache"]["folder"],
        f"model {model['name']}": "\n".join(model["problems"])
        or f"{model['path']} (all files match checksums.json)",
    }
    _table(console, "Machine", rows)
    syntaxes = {
        s["name"]: ", ".join(s["decoders"]) or f"none; {s['remedy']}" for s in facts["transfer_syntaxes"]
    }
    _table(console, "Decoders of DICOM transfer syntaxes", syntaxes)


def _found(version: str | None) -> str:
    return version or "not installed"


def _described(extra: dict[str, Any]) -> str:
    """Say the versions of an extra that is there, else what it would give."""
    if extra["remedy"] is None:
        return ", ".join(f"{name} {_found(version)}" for name, version in extra["versions"].items())
    return f"not installed; {extra['remedy']} for {extra['gives']}"


def _table(console: Console, title: str, rows: dict[str, str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 1)
    )
    table.add_column(style="dim", max_width=36, overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    console.print(table)
    console.print()
