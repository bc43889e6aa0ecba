"""Which kinds of foreign checkpoints can be converted, and which of them a file or folder is."""

from __future__ import annotations

import json
import re
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
    two_parts
        Its text tower may lie in a folder of its own: the source is a folder with both, or a file.
    folder
        The source is a folder. Without either it is one file.
    """

    name: str
    title: str
    module: str
    two_parts: bool = False
    folder: bool = False


FAMILIES = {
    family.name: family
    for family in (
        Family("biovil", "BioViL, image model .pt and a folder of CXR-BERT", "biovil", two_parts=True),
        Family("biovil-t", "BioViL-T, image model .pt and a folder of CXR-BERT", "biovil", two_parts=True),
        Family("tier-authors", "The TIER authors' training program, .pt file", "biovil"),
        Family("clip", "CLIP, folder of transformers", "clip_hf", folder=True),
        Family("siglip", "SigLIP, folder of transformers", "siglip_hf", folder=True),
        Family("medsiglip", "MedSigLIP, folder of transformers", "siglip_hf", folder=True),
        Family("chexzero", "CheXzero, .pt file", "openai_clip"),
        Family("openai-clip", "CLIP of OpenAI's code, .pt file (state dict)", "openai_clip"),
        Family("open_clip", "BiomedCLIP, folder of open_clip", "open_clip", folder=True),
    )
}

# The public names of image models that lie in the folder of their text model.
IMAGE_FILES = {
    "biovil_image_resnet50_proj_size_128.pt": "biovil",
    "biovil_t_image_model_proj_size_128.pt": "biovil-t",
}


# How transformers names its weights, whole or the index of their parts.
_TRANSFORMERS = re.compile(r"(pytorch_)?model\.(safetensors|bin)(\.index\.json)?")


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
            remedy="name the .pt files in it instead"
            if source.is_dir() and any(source.glob("*.pt"))
            else f"name what it is with --family, one of: {known}",
        )
    return found


def check_form(source: Path, family: str) -> None:
    """Refuse a file where a family is published as a folder, and the other way round."""
    known = FAMILIES[family]
    if known.two_parts or known.folder == source.is_dir():
        return
    raise CheckpointError(
        f"a checkpoint of the family {family} is a {'folder' if known.folder else 'file'}",
        where=str(source),
        remedy="name the folder that the file came in, with its config.json and tokenizer"
        if known.folder
        else "name the .pt file; several become an ensemble",
    )


def _of_folder(folder: Path) -> str | None:
    kind = _of_transformers(_config(folder / "config.json"))
    if (folder / "open_clip_config.json").is_file():
        # LAION publishes its CLIPs in both forms in one folder, and only one of them is read here.
        return kind if kind and _has_transformers_weights(folder) else "open_clip"
    for name, family in IMAGE_FILES.items():
        if (folder / name).is_file():
            return family
    return kind


def _of_transformers(config: dict[str, Any]) -> str | None:
    kind = config.get("model_type")
    if kind == "siglip":
        # No other SigLIP of the first version was published at this size.
        return "medsiglip" if config.get("vision_config", {}).get("image_size") == 448 else "siglip"
    return "clip" if kind == "clip" else None


def _has_transformers_weights(folder: Path) -> bool:
    return any(_TRANSFORMERS.fullmatch(file.name) for file in folder.iterdir())


def _of_tensors(names: Collection[str]) -> str | None:
    if {"visual.conv1.weight", "token_embedding.weight", "text_projection"} <= set(names):
        return "chexzero"
    if {"cnn.encoder.encoder.conv1.weight", "transformer.bert.embeddings.word_embeddings.weight"} <= set(
        names
    ):
        return "tier-authors"
    if {"encoder.encoder.conv1.weight", "projector.model.0.weight"} <= set(names):
        return "biovil-t" if "encoder.missing_previous_emb" in names else "biovil"
    return None


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
