"""Recognise the family of a foreign checkpoint by its files or tensors."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import image_tower_alone

if TYPE_CHECKING:
    from tier_cli.model.convert.files import WeightFile

_CLIP_TOKENIZER = "CLIP's tokenizer.json, or vocab.json and merges.txt (openai/clip-vit-base-patch32)"
_BERT_TOKENIZER = "CXR-BERT's vocab.txt or tokenizer.json"
_CLINICAL_TOKENIZER = "Bio_ClinicalBERT's vocab.txt (emilyalsentzer/Bio_ClinicalBERT)"
_BIOMED_TOKENIZER = (
    "BiomedBERT's vocab.txt (microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract; -large- for ViT-L)"
)


@dataclass(frozen=True)
class Family:
    """A kind of foreign checkpoint.

    Parameters
    ----------
    name
        Value of ``--family``.
    title
        Display name, with the form of the source.
    module
        The module of this package whose ``convert(source, family)`` reads it.
    form
        Whether the source is a ``file``, a ``folder``, or ``either``.
    two_parts
        Whether its text tower may be in a folder of its own.
    tokenizer
        What the folder of ``--tokenizer`` must contain, if the source never contains a tokenizer.
    """

    name: str
    title: str
    module: str
    form: Literal["file", "folder", "either"] = "file"
    two_parts: bool = False
    tokenizer: str = ""


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "biovil", "BioViL, image model .pt and folder of CXR-BERT", "biovil", "either", two_parts=True
        ),
        Family(
            "biovil-t", "BioViL-T, image model .pt and folder of CXR-BERT", "biovil", "either", two_parts=True
        ),
        Family(
            "tier-authors",
            "Training checkpoint of the TIER authors, .pt file",
            "biovil",
            tokenizer=_BERT_TOKENIZER,
        ),
        Family("clip", "CLIP, transformers folder", "clip_hf", "folder"),
        Family("siglip", "SigLIP, transformers folder", "siglip_hf", "folder"),
        Family("medsiglip", "MedSigLIP, transformers folder, padded", "siglip_hf", "folder"),
        Family("medsiglip-stretch", "MedSigLIP, transformers folder, stretched", "siglip_hf", "folder"),
        Family("chexzero", "CheXzero, .pt file", "openai_clip", tokenizer=_CLIP_TOKENIZER),
        Family(
            "openai-clip",
            "CLIP in the layout of OpenAI's code, .pt file (state dict)",
            "openai_clip",
            tokenizer=_CLIP_TOKENIZER,
        ),
        Family("open_clip", "open_clip, folder or training checkpoint .pt", "open_clip", "either"),
        Family("cxr-clip", "CXR-CLIP, .tar file", "cxr_clip", tokenizer=_CLINICAL_TOKENIZER),
        Family("medclip", "MedCLIP, pytorch_model.bin", "medclip", tokenizer=_CLINICAL_TOKENIZER),
        Family("unimed-clip", "UniMed-CLIP, .pt file", "unimed_clip", tokenizer=_BIOMED_TOKENIZER),
    )
}

# The public names of image models that lie in the folder of their text model.
IMAGE_FILES = {
    "biovil_image_resnet50_proj_size_128.pt": "biovil",
    "biovil_t_image_model_proj_size_128.pt": "biovil-t",
}
# What taking a file for CheXzero rests on; printed, because other models can have the same shapes.
TAKEN_FOR_CHEXZERO = (
    "taken for CheXzero: a plain state dict of its published shapes. If it is another CLIP, convert it"
    " again with"
    " --family openai-clip or open_clip, whose pixels and scoring differ"
)

# Weight files that are published without the other files of a folder, and how to name them.
_LONE_FILES = {
    "*.pt": "the .pt files",
    "*.tar": "the .tar files",
    "*.pth": "the .pth files",
    "pytorch_model.bin": "pytorch_model.bin",
}
# Weight files of transformers, whole or the index of their shards.
_TRANSFORMERS = re.compile(r"(pytorch_)?model\.(safetensors|bin)(\.index\.json)?")
# Keys of the dict that open_clip's training program saves.
_OPEN_CLIP_TRAINING = {"epoch", "name", "state_dict"}
_OPENAI_CLIP = {"visual.conv1.weight", "visual.class_embedding", "token_embedding.weight", "text_projection"}
_OPEN_CLIP_TIMM = {"visual.trunk.patch_embed.proj.weight", "visual.head.proj.weight", "logit_scale"}
# Tensors that only one family has.
_NAMES: Mapping[frozenset[str], str] = {
    frozenset({"image_projection.projection.weight", "text_projection.projection.weight"}): "cxr-clip",
    frozenset({"text_model.projection_head.weight", "vision_model.projection_head.weight"}): "medclip",
    frozenset({"text_model.projection_head.weight", "vision_model.model.fc.weight"}): "medclip",
    frozenset({"visual.conv1.weight", "text_encoder.proj.0.weight"}): "unimed-clip",
}
# Image towers without a text side: those that are read from their file, and others.
_TOWER_FILES: tuple[tuple[str, frozenset[str]], ...] = (
    ("EVA-X", frozenset({"pos_embed", "blocks.0.mlp.w3.weight"})),
    ("EVA-X", frozenset({"pos_embed", "blocks.0.attn.q_bias", "blocks.0.mlp.fc2.weight"})),
    ("EVA-X", frozenset({"pos_embed", "blocks.0.mlp.fc1_g.weight"})),
    ("Ark+", frozenset({"layers.0.blocks.0.attn.qkv.weight", "omni_heads.0.weight"})),
)
_OTHER_TOWERS: tuple[tuple[str, frozenset[str]], ...] = (
    ("DINOv2", frozenset({"cls_token", "mask_token", "blocks.0.ls1.gamma"})),
    ("timm", frozenset({"patch_embed.proj.weight"})),
    ("transformers", frozenset({"embeddings.patch_embeddings.projection.weight"})),
)
# With these numbers OpenAI's own archives describe themselves.
OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")
# The two published CheXzero models: ViT-B/32 at 224 px, and ViT-B/16 at 320 px trained from scratch.
_CHEXZERO_SHAPES: tuple[Mapping[str, tuple[int, ...]], ...] = tuple(
    {
        "visual.conv1.weight": (768, 3, patch, patch),
        "visual.positional_embedding": ((size // patch) ** 2 + 1, 768),
        "token_embedding.weight": (49408, 512),
        "positional_embedding": (77, 512),
        "text_projection": (512, dim),
    }
    for patch, size, dim in ((32, 224, 512), (16, 320, 768))
)
# Models that are recognised and cannot be converted: tensors that give them away, and what they are.
_UNSUPPORTED: tuple[tuple[Collection[str], str], ...] = (
    (
        {"visual.layer1.0.conv1.weight", "visual.attnpool.positional_embedding", "token_embedding.weight"},
        "a CLIP with a ResNet image tower (RN50 and others), which is not supported; use one with a ViT,"
        " such as"
        " ViT-B/32",
    ),
    (
        {"visual.conv1.weight", "text.transformer.embeddings.word_embeddings.weight"},
        "a CLIP with OpenAI's ViT and a BERT text tower, which is not supported; an open_clip model with a"
        " BERT must"
        " have a timm ViT",
    ),
)


def detect(source: Path, file: WeightFile | None) -> str:
    """Return the family of a folder, recognised by its files, or of a file, by its tensors.

    Parameters
    ----------
    source
        The file or folder.
    file
        The content of a file; None for a folder.

    Raises
    ------
    CheckpointError
        It belongs to no known family, or to one of several that the file cannot tell apart.
    """
    found = _family_of_folder(source) if file is None else _family_of_file(source, file)
    if found is None:
        raise _unknown(source, file)
    return found


def image_tower_of(names: Collection[str]) -> str | None:
    """Return the kind of an image tower without a text side, by the names of its tensors; None if unknown."""
    towers = (*_TOWER_FILES, *_OTHER_TOWERS)
    return next((kind for kind, known in towers if known <= set(names)), None)


def check_form(source: Path, family: str) -> None:
    """Refuse a file where a family is published as a folder, and vice versa."""
    form = FAMILIES[family].form
    if form == "either" or (form == "folder") == source.is_dir():
        return
    raise CheckpointError(
        f"a checkpoint of the family {family} is a {form}",
        where=str(source),
        remedy="name the folder that the file came in, with its config.json and tokenizer"
        if form == "folder"
        else "name the weight file in it; several files become an ensemble",
    )


def check_tokenizer(source: Path, family: str, tokenizer: Path | None) -> None:
    """Refuse a missing ``--tokenizer`` before anything large is read or built."""
    if FAMILIES[family].tokenizer and tokenizer is None:
        raise CheckpointError(
            f"a {family} file contains no tokenizer",
            where=str(source),
            remedy=f"name a folder with {FAMILIES[family].tokenizer} with --tokenizer",
        )
    if tokenizer is not None and not tokenizer.is_dir():
        raise CheckpointError(
            "no such folder",
            where=f"--tokenizer {tokenizer}",
            remedy="name the folder of the tokenizer's files",
        )


def _family_of_folder(folder: Path) -> str | None:
    family = _transformers_family(_config(folder / "config.json"))
    if (folder / "open_clip_config.json").is_file():
        # LAION publishes its CLIPs in both forms in one folder; transformers' form goes first.
        return family if family and _has_transformers_weights(folder) else "open_clip"
    for name, image_family in IMAGE_FILES.items():
        if (folder / name).is_file():
            return image_family
    return family


def _transformers_family(config: dict[str, Any]) -> str | None:
    kind = config.get("model_type")
    if kind == "siglip":
        # No other SigLIP of the first version was published at this size.
        return "medsiglip" if config.get("vision_config", {}).get("image_size") == 448 else "siglip"
    return "clip" if kind == "clip" else None


def _has_transformers_weights(folder: Path) -> bool:
    return any(_TRANSFORMERS.fullmatch(file.name) for file in folder.iterdir())


def _family_of_file(source: Path, file: WeightFile) -> str | None:
    names = set(file.tensors)
    if names >= _OPEN_CLIP_TIMM or (names >= _OPENAI_CLIP and file.wrapper >= _OPEN_CLIP_TRAINING):
        return "open_clip"
    if names >= _OPENAI_CLIP:
        return _openai_family(source, file)
    if {"cnn.encoder.encoder.conv1.weight", "transformer.bert.embeddings.word_embeddings.weight"} <= names:
        return "tier-authors"
    for known, family in _NAMES.items():
        if known <= names:
            return family
    if {"encoder.encoder.conv1.weight", "projector.model.0.weight"} <= names:
        return "biovil-t" if "encoder.missing_previous_emb" in names else "biovil"
    return None


def _openai_family(source: Path, file: WeightFile) -> str:
    """Tell CLIPs of OpenAI's layout apart: pixels, activation and scoring are not in the tensors."""
    if _describes_itself(file.tensors):
        return "openai-clip"
    if not file.wrapper and any(_has_shapes(file, shapes) for shapes in _CHEXZERO_SHAPES):
        return "chexzero"
    raise CheckpointError(
        "a CLIP in the layout of OpenAI's code, but not one of the two published CheXzero models: its pixels,"
        " activation and scoring are not in the file",
        where=str(source),
        remedy="name its use with --family: openai-clip (also fine-tunes of OpenAI's weights), open_clip"
        " (with"
        " open_clip_config.json beside the file), or chexzero",
    )


def _describes_itself(names: Collection[str]) -> bool:
    """Return whether tensors carry the numbers with which OpenAI's own archives describe themselves."""
    return set(OPENAI_NUMBERS) <= set(names)


def _has_shapes(file: WeightFile, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return all(name in file.tensors and tuple(file.tensors[name].shape) == shapes[name] for name in shapes)


def _unknown(source: Path, file: WeightFile | None) -> CheckpointError:
    where = str(source)
    if file is None:
        return _unknown_folder(source)
    if (kind := image_tower_of(file.tensors)) is not None:
        # Of other kinds, only the files of transformers are read.
        return image_tower_alone(kind, where, None if kind in dict(_TOWER_FILES) else "TRANSFORMERS-FOLDER")
    for tensors, what in _UNSUPPORTED:
        if set(tensors) <= set(file.tensors):
            said, _, remedy = what.partition("; ")
            return CheckpointError(said, where=where, remedy=remedy)
    parts = Counter(name.partition(".")[0] for name in file.tensors)
    held = ", ".join(f"{name} ({count})" for name, count in parts.most_common(6))
    return CheckpointError(
        f"not a checkpoint of a known kind; its tensors, by the beginning of their names: {held}",
        where=where,
        remedy=f"the families that can be converted are {', '.join(FAMILIES)}; an image tower alone cannot"
        " score"
        " texts. If the file belongs to one of them, name it with --family",
    )


def _unknown_folder(source: Path) -> CheckpointError:
    where = str(source)
    if kind := _config(source / "config.json").get("model_type"):
        from tier_cli.model.towers import is_image_tower

        if is_image_tower(str(kind)):
            return image_tower_alone(str(kind), where)
        return CheckpointError(
            f"a transformers model of the type '{kind}', which is not supported",
            where=where,
            remedy="convert a folder with model_type clip or siglip",
        )
    for pattern, files in _LONE_FILES.items():
        if any(source.glob(pattern)):
            return CheckpointError(
                "not a checkpoint of a known kind", where=where, remedy=f"name {files} in it instead"
            )
    return CheckpointError(
        "not a checkpoint folder of a known kind: it contains no config.json, open_clip_config.json or"
        " BioViL file",
        where=where,
        remedy="name the folder or file as its authors published it; the families that can be converted are"
        f" {', '.join(FAMILIES)}",
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
