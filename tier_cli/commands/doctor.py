"""`tier doctor`: report what this machine can score with and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli import __version__
from tier_cli.console import is_terminal
from tier_cli.packages import installed_version

if TYPE_CHECKING:
    from rich.console import Console

_PACKAGES = (
    "numpy",
    "onnxruntime",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "pydicom",
    "pillow",
    "python-gdcm",
    "pyjpegls",
    "pylibjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "simplejpeg",
    "pandas",
    "typer",
    "rich",
)
_EXTRAS = {
    "pyarrow": "parquet",
    "imagecodecs": "codecs",
    "highdicom": "dicom",
    "faiss-cpu": "search",
    "tensorboard": "tensorboard",
}
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
    """Show versions, devices, folders, the bundled model and the DICOM files that can be decoded.

    Prints tables on a terminal, JSON in a pipe. Exits with 2 if the bundled model is missing or altered.
    """
    facts: dict[str, Any] = {
        "versions": _versions(),
        "extras": {name: installed_version(name) for name in _EXTRAS},
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
    return here | {name: installed_version(name) for name in _PACKAGES}


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
    extras = {
        name: found or f"not installed: pip install 'tier-cli[{_EXTRAS[name]}]'"
        for name, found in facts["extras"].items()
    }
    _table(
        console,
        "Versions",
        {name: found or "not installed" for name, found in facts["versions"].items()} | extras,
    )
    devices, data, cache, model = facts["devices"], facts["data"], facts["cache"], facts["model"]
    rows = {
        "CPUs": str(devices["cpus"]),
        "CUDA GPUs": ", ".join(devices["cuda"]) or "none",
        "MPS": "yes" if devices["mps"] else "no",
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
