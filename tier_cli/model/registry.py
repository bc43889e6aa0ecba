"""The public models that are known by name: where they are, under which terms, how they are checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tier_cli.errors import UsageError


@dataclass(frozen=True)
class PublicFile:
    """A file of a public model.

    Parameters
    ----------
    name
        In its repository.
    md5, sha256
        What is publicly known of it, in hexadecimal digits; empty where nothing is.
    optional
        Some revisions lack it.
    """

    name: str
    md5: str = ""
    sha256: str = ""
    optional: bool = False


@dataclass(frozen=True)
class PublicModel:
    """A public model.

    Parameters
    ----------
    name
        What ``tier model pull`` takes, and the name it then has here.
    title
        For people.
    family
        How it is converted, see `tier_cli.model.convert.detect.FAMILIES`.
    licence, terms
        Its licence, and sentences about what else binds.
    rendering, pixels
        Its preprocessing: the rendering's name, and the rest in a few words.
    repository, revision, files
        Where it is on the Hugging Face hub, at a tag or commit; empty where it is not.
    by_hand
        How to get one that is not there.
    gated
        Its terms have to be accepted on its page first.
    """

    name: str
    title: str
    family: str
    licence: str
    terms: tuple[str, ...]
    rendering: str
    pixels: str
    repository: str = ""
    revision: str = ""
    files: tuple[PublicFile, ...] = ()
    by_hand: str = ""
    gated: bool = False


@cache
def public_models() -> Mapping[str, PublicModel]:
    """All of them by name."""
    content = tomllib.loads(files("tier_cli.model").joinpath("registry.toml").read_text("utf-8"))
    return {name: _model(name, entry) for name, entry in content.items()}


def pullable() -> list[str]:
    """The names of those that can be downloaded."""
    return [name for name, model in public_models().items() if model.repository]


def public_model(name: str) -> PublicModel:
    """One that can be downloaded.

    Raises
    ------
    UsageError
        If it is unknown, or has to be fetched by hand.
    """
    known = public_models()
    if name not in known:
        raise UsageError(f"no public model '{name}' is known", remedy=f"name one of {', '.join(pullable())}")
    if not known[name].repository:
        raise UsageError(f"'{name}' cannot be pulled", remedy=known[name].by_hand)
    return known[name]


def _model(name: str, entry: Mapping[str, Any]) -> PublicModel:
    parts = tuple(PublicFile(**file) for file in entry.get("files", ()))
    return PublicModel(**{**entry, "name": name, "terms": tuple(entry["terms"]), "files": parts})
