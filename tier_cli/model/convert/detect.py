"""Which kinds of foreign checkpoints can be converted, and which of them a file or folder is."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tier_cli.errors import CheckpointError


@dataclass(frozen=True)
class Family:
    """A kind of foreign checkpoint.

    Parameters
    ----------
    name
        What ``--family`` takes.
    title
        For people, with the form of the source.
    module
        The module of this package whose ``convert(source, family)`` reads it.
    """

    name: str
    title: str
    module: str


FAMILIES = {
    family.name: family
    for family in (
        Family("clip", "CLIP, folder of transformers", "clip_hf"),
        Family("siglip", "SigLIP, folder of transformers", "siglip_hf"),
        Family("medsiglip", "MedSigLIP, folder of transformers", "siglip_hf"),
        Family("chexzero", "CheXzero, .pt file", "openai_clip"),
        Family("openai-clip", "CLIP of OpenAI's code, .pt file (state dict)", "openai_clip"),
        Family("open_clip", "BiomedCLIP, folder of open_clip", "open_clip"),
    )
}


def detect(source: Path, names: Collection[str]) -> str:
    """Name the family of a folder by its files, or of a file by its tensors.

    Parameters
    ----------
    source
        The file or folder.
    names
        The names of a file's tensors; unused for a folder.

    Raises
    ------
    CheckpointError
        Where it is of no family that is known here.
    """
    found = _of_folder(source) if source.is_dir() else _of_tensors(names)
    if found is None:
        known = ", ".join(FAMILIES)
        raise CheckpointError(
            "not a checkpoint of a known kind",
            where=str(source),
            remedy=f"name what it is with --family, one of: {known}",
        )
    return found


def _of_folder(folder: Path) -> str | None:
    if (folder / "open_clip_config.json").is_file():
        return "open_clip"
    config = _config(folder / "config.json")
    kind = config.get("model_type")
    if kind == "siglip":
        # No other SigLIP of the first version was published at this size.
        return "medsiglip" if config.get("vision_config", {}).get("image_size") == 448 else "siglip"
    return "clip" if kind == "clip" else None


def _of_tensors(names: Collection[str]) -> str | None:
    if {"visual.conv1.weight", "token_embedding.weight", "text_projection"} <= set(names):
        return "chexzero"
    return None


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
