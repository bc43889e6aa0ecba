"""List installed models and the public models that are not installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tier_cli.errors import CheckpointError
from tier_cli.model import registry
from tier_cli.model.bundled import BUNDLED
from tier_cli.model.checkpoint import (
    CHECKSUMS,
    PREPROCESSING,
    TRAINING,
    WEIGHTS,
    Place,
    list_models,
    read_json,
)
from tier_cli.model.registry import PublicModel


@dataclass(frozen=True)
class Listed:
    """A model; unknown fields are None.

    Parameters
    ----------
    name
        Name of the model.
    installed, place, path
        Whether it is installed, and where.
    title, licence, source
        Display name, licence, and repository@revision.
    family, rendering, pixels
        Family of its converter, and its preprocessing.
    hashes
        Hashes of the authors' files by name, as ``kind:digits``; for an installed model, of its source files.
    """

    name: str
    installed: bool
    place: str | None
    path: str | None
    title: str | None
    licence: str | None
    source: str | None
    family: str | None
    rendering: str | None
    pixels: str | None
    hashes: dict[str, str] | None


def catalogue() -> list[Listed]:
    """Return the installed models by name, then the other public models in the order of the registry."""
    here = [_installed(name, place) for name, place in list_models()]
    there = {one.name for one in here}
    return here + [_public(model) for name, model in registry.public_models().items() if name not in there]


def _public(model: PublicModel) -> Listed:
    known = {file.name: file.md5 and f"md5:{file.md5}" for file in model.files}
    known |= {file.name: f"sha256:{file.sha256}" for file in model.files if file.sha256}
    return Listed(
        name=model.name,
        installed=False,
        place=None,
        path=None,
        title=model.title,
        licence=model.licence,
        source=f"{model.repository}@{model.revision}" if model.repository else None,
        family=model.family,
        rendering=model.rendering,
        pixels=model.pixels,
        hashes={name: digest for name, digest in known.items() if digest} or None,
    )


def _installed(name: str, place: Place) -> Listed:
    """Describe a folder by its content, since its name can be arbitrary."""
    folder = place.folder / name
    converted = _part(_content(folder / TRAINING), "converted")
    origin = _part(converted, "origin")
    entry = registry.public_models().get(str(origin.get("name")))
    repository, revision = _text(origin, "repository"), _text(origin, "revision")
    hashes = {str(file): f"sha256:{digest}" for file, digest in _part(converted, "source").items()}
    bundled = BUNDLED.get(_weights_hash(folder))
    return Listed(
        name=name,
        installed=True,
        place=place.label,
        path=str(folder),
        title=entry.title if entry else bundled.title if bundled else None,
        licence=_text(origin, "licence") or (bundled.licence if bundled else None),
        source=f"{repository}@{revision}" if repository and revision else None,
        family=_text(converted, "family"),
        rendering=_text(_content(folder / PREPROCESSING), "rendering"),
        pixels=entry.pixels if entry else None,
        hashes=hashes or None,
    )


def _content(path: Path) -> Mapping[str, Any]:
    # An ensemble has none of these files, and a broken model must not hide the others.
    try:
        return read_json(path)
    except CheckpointError:
        return {}


def _weights_hash(folder: Path) -> str:
    files = _part(_content(folder / CHECKSUMS), "files")
    return _text(_part(files, WEIGHTS), "sha256") or ""


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def _text(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    return value if isinstance(value, str) else None
