"""List the public models with their repositories, terms and hashes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tier_cli.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class PublicFile:
    """A file of a public model.

    Parameters
    ----------
    name
        Path in the repository.
    md5, sha256
        Public hashes in hexadecimal digits; empty if unknown.
    optional
        Whether some revisions lack it.
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
        Name for ``tier model pull`` and of the resulting checkpoint.
    title
        Display name.
    family
        Family of its converter, see `tier_cli.model.convert.detect.FAMILIES`.
    licence, terms
        Its licence, and sentences about further terms.
    rendering, pixels
        Its preprocessing: name of the rendering, and a short description of the rest.
    repository, revision, files
        Its files on the Hugging Face hub at a tag or commit; empty if it is not there.
    by_hand
        How to obtain a model that is not on the hub, or not at a fixed revision.
    gated
        Whether its terms must be accepted on its page first.
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
    """Return all public models by name."""
    content = tomllib.loads(files("tier_cli.model").joinpath("registry.toml").read_text("utf-8"))
    return {name: _model(name, entry) for name, entry in content.items()}


def pullable() -> list[str]:
    """Return the names of the models that can be downloaded."""
    return [name for name, model in public_models().items() if model.repository]


def public_model(name: str) -> PublicModel:
    """Return a model that can be downloaded.

    Raises
    ------
    UsageError
        It is unknown, or must be downloaded manually.
    """
    known = public_models()
    if name not in known:
        raise UsageError(
            f"unknown public model '{name}'{did_you_mean(name, known)}",
            remedy=f"name one of {', '.join(pullable())}",
        )
    if not known[name].repository:
        model = known[name]
        said = " ".join((f"Licence: {model.licence}.", *model.terms))
        raise UsageError(f"'{name}' cannot be pulled", remedy=f"{model.by_hand}. {said}")
    return known[name]


def licence_of_family(family: str) -> tuple[str, ...]:
    """Return sentences about the licence of a family whose only published weights are not on the hub."""
    model = public_models().get(family)
    if model is None or not model.by_hand or model.family != family:
        return ()
    title = model.title.partition(":")[0]
    return (f"{title} as published: licence {model.licence}.", *model.terms)


def _model(name: str, entry: Mapping[str, Any]) -> PublicModel:
    parts = tuple(PublicFile(**file) for file in entry.get("files", ()))
    return PublicModel(**{**entry, "name": name, "terms": tuple(entry["terms"]), "files": parts})
