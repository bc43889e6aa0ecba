"""Find and open checkpoint folders, and read and write their JSON files and checksums."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError, FindingSetError, did_you_mean
from tier_cli.files.atomic import whole_file
from tier_cli.files.caches import cache_root, data_root

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing

DEFAULT_MODEL = "tier-small"

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
IMAGE_GRAPH = "image_encoder.onnx"
TEXT_GRAPH = "text_encoder.onnx"
TOKENIZER = "tokenizer.json"
PREPROCESSING = "preprocessor_config.json"
FINDINGS = "findings.toml"
VECTORS = "finding_vectors.safetensors"
CALIBRATION = "calibration.json"
TRAINING = "training.json"
CHECKSUMS = "checksums.json"
# Replaces all of these in a folder of several checkpoints, see `tier_cli.model.ensemble`.
ENSEMBLE = "ensemble.json"

_REQUIRED = (CONFIG, WEIGHTS, TOKENIZER, PREPROCESSING, FINDINGS)
# The other files that scores and what is said of them depend on.
_OPTIONAL = (
    IMAGE_GRAPH,
    TEXT_GRAPH,
    "tokenizer_config.json",
    VECTORS,
    CALIBRATION,
    "adaptation.json",
    "adaptation.safetensors",
    "input_check.safetensors",
    "map_scale.json",
    "trained_on.json",
)
_AGAIN = "download the folder again"
_ACCEPT = "download the folder again, or accept its files with `tier model export`"
# The longest, trained_on.json, has 26 bytes per image of the training.
_LARGEST_JSON = 1 << 28
_DEEPEST_JSON = 64
# What to know of maps, by how the embedding of the image is made; ``mean`` is the mean of the patches.
_PATCH_NOTES = {
    "class": "patches were not trained for maps: the score comes from the class token, and each patch is put "
    "through the head of that",
    "first": "patches were not trained for maps: the score comes from the first patch alone",
    "pooler": "patches were not trained for maps: the score comes from the tower's own pooling, and each "
    "patch is put through that alone",
}
# The model_type of these checkpoints.
_TIER = "tier"


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint folder, without its weights.

    Attributes
    ----------
    path
        The folder.
    config
        The content of config.json.
    preprocessing, findings
        How images become tensors, and the checkpoint's own finding set.
    hashes
        SHA-256 (hex) of ``weights``, ``preprocessing`` and ``tokenizer``, quoted in results and caches.
    calibration
        The content of calibration.json, or None.
    scoring
        Name of the rule that turns embeddings into scores.
    """

    path: Path
    config: dict[str, Any]
    preprocessing: Preprocessing
    findings: FindingSet
    hashes: dict[str, str]
    calibration: dict[str, Any] | None
    scoring: str

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def patch_note(self) -> str:
        """What to know of the checkpoint's maps; empty if the mean of the patches gives the score."""
        return _PATCH_NOTES.get(str(self.config.get("image_pooling", "mean")), "")

    @property
    def is_quantised(self) -> bool:
        """Whether the image tower has int8 weights, which only onnxruntime computes."""
        return self.config.get("quantised") is not None

    @property
    def max_tokens(self) -> int:
        """The number of tokens that texts are truncated to."""
        return int(self.config.get("max_tokens", 128))


@dataclass(frozen=True)
class Place:
    """A folder in which models are looked up by name."""

    label: str
    folder: Path


def places() -> list[Place]:
    """Return the folders in which models are looked up by name; the first match wins."""
    package = Path(__file__).resolve().parents[1]
    found = [Place("package", package / "_models"), Place("checkout", package.parent / "models")]
    # Version 0.1 kept downloads in the cache folder; they are still found there.
    roots = [("downloads", data_root()), ("cache", cache_root())]
    return found + [Place(label, root / "models") for label, root in roots if root is not None]


def list_models() -> list[tuple[str, Place]]:
    """Return the model names that `resolve` finds without a path, each with its place."""
    seen: dict[str, Place] = {}
    for place in places():
        # A missing or unreadable place has no models.
        with contextlib.suppress(OSError):
            for folder in sorted(place.folder.iterdir()):
                if _is_model(folder):
                    seen.setdefault(folder.name, place)
    return sorted(seen.items(), key=lambda item: item[0])


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the folder of a checkpoint given as a path or a name.

    Raises
    ------
    CheckpointError
        The checkpoint does not exist or is an ensemble; the message lists the known names.
    """
    folder = find(name_or_path)
    if not os.path.isfile(folder / CONFIG):
        inside = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
        raise CheckpointError(
            "is an ensemble, but one checkpoint is required",
            where=os.fspath(name_or_path),
            remedy=f"name one of its folders: {', '.join(inside)}",
        )
    return folder


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the folder of a checkpoint or of an ensemble, see `resolve`."""
    given = os.fspath(name_or_path)
    path = Path(os.path.expanduser(given))
    if _is_model(path):
        return path.resolve()
    # A name must not lead outside these places.
    if given and given not in (".", "..") and Path(given).name == given:
        for place in places():
            if _is_model(place.folder / given):
                return place.folder / given
    local = [name for name, _ in list_models()]
    known = ", ".join(local)
    remedy = f"name a checkpoint folder or one of: {known}" if known else "name a checkpoint folder"
    if os.path.isdir(path):
        raise CheckpointError(f"no {CONFIG} in this folder", where=given, remedy=remedy)
    if os.path.isfile(path):
        raise CheckpointError(
            "is a file, not a checkpoint folder",
            where=given,
            remedy=f"convert it with `tier model convert {given} DEST`; an image tower alone (EVA-X, Ark+)"
            f" cannot score findings: train it with `tier train --image-tower {given} --text-tower FOLDER`",
        )
    # Imported here so that `tier --help` does not load the registry.
    from tier_cli.model.registry import public_models

    if (public := public_models().get(given)) is not None and public.repository:
        remedy = f"get it with `tier model pull {given}`, or {remedy}"
    near = did_you_mean(given, [DEFAULT_MODEL, *local, *public_models()])
    raise CheckpointError(f"no model '{given}'{near}", remedy=remedy)


def _is_model(folder: Path) -> bool:
    # Not Path.is_file, which raises for names that are too long and in unreadable folders.
    return os.path.isfile(folder / CONFIG) or os.path.isfile(folder / ENSEMBLE)


def open_checkpoint(name_or_path: str | os.PathLike[str] = DEFAULT_MODEL) -> Checkpoint:
    """Read the metadata of a checkpoint folder and check its files; weights are not loaded.

    The files are hashed when they are opened for the first time, and again when they have changed: see
    `tier_cli.files.hashes`.

    Raises
    ------
    CheckpointError
        The folder is not found or lacks a file, a file differs from checksums.json, or a field is not valid.
    """
    # Imported here so that --help and a failed lookup start fast.
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.fields import check_config

    path = resolve(name_or_path)
    missing = [name for name in _REQUIRED if not (path / name).is_file()]
    kind = str(read_json(path / CONFIG).get("model_type", _TIER)) if missing else _TIER
    if kind != _TIER:
        raise _foreign(kind, path)
    if missing:
        raise CheckpointError(f"no {', '.join(missing)}", where=str(path), remedy="download the folder again")
    listed = read_checksums(path)
    _check_listed(path, listed)
    config = read_json(path / CONFIG)
    check_config(config, str(path / CONFIG))
    preprocessing = Preprocessing.from_dict(read_json(path / PREPROCESSING), str(path / PREPROCESSING))
    return Checkpoint(
        path=path,
        config=config,
        preprocessing=preprocessing,
        findings=_own_findings(path),
        hashes={
            "weights": listed[WEIGHTS]["sha256"],
            "preprocessing": canonical_hash(preprocessing.to_dict()),
            "tokenizer": listed[TOKENIZER]["sha256"],
        },
        calibration=read_json(path / CALIBRATION) if (path / CALIBRATION).is_file() else None,
        scoring=str(config.get("scoring", "cosine_difference")),
    )


def _check_listed(folder: Path, listed: dict[str, dict[str, Any]]) -> None:
    """Refuse a folder whose files are not those of its checksums.json."""
    from tier_cli.files.hashes import file_hash, remembered_hashes

    names = [name for name in (*_REQUIRED, *_OPTIONAL) if (folder / name).is_file()]
    for name in names:
        if name not in listed:
            raise CheckpointError(f"is not listed in {CHECKSUMS}", where=str(folder / name), remedy=_ACCEPT)
        if listed[name]["bytes"] != (folder / name).stat().st_size:
            raise _altered(folder / name)
    try:
        hashes = remembered_hashes(folder, names)
        # What is remembered can be damaged too: the file itself decides.
        wrong = [name for name in names if hashes[name] != listed[name]["sha256"]]
        altered = next((name for name in wrong if file_hash(folder / name) != listed[name]["sha256"]), None)
    except OSError as error:
        raise CheckpointError(
            f"cannot be read: {error.strerror}", where=str(folder), remedy="check its permissions"
        ) from error
    if altered is not None:
        raise _altered(folder / altered)


def _altered(path: Path) -> CheckpointError:
    return CheckpointError(f"is altered: it differs from {CHECKSUMS}", where=str(path), remedy=_ACCEPT)


def _own_findings(folder: Path) -> FindingSet:
    from tier_cli.findings.load import parse_findings, read_text

    try:
        return parse_findings(read_text(str(folder / FINDINGS)), folder.name, str(folder / FINDINGS))
    except FindingSetError as error:
        raise CheckpointError(error.what, where=error.where, remedy=error.remedy) from error


def image_tower_alone(kind: str, where: str, start: str | None = None) -> CheckpointError:
    """Return the error for an image tower where findings are to be scored; `start` is what training reads."""
    return CheckpointError(
        f"an image tower ({kind}) without a text side: alone it cannot score findings",
        where=where,
        remedy=f"train it with a text tower: `tier train --image-tower {start or where} --text-tower FOLDER`",
    )


def _foreign(kind: str, folder: Path) -> CheckpointError:
    """Return the error for a folder of another program."""
    from tier_cli.model.towers import is_image_tower

    if is_image_tower(kind):
        return image_tower_alone(kind, str(folder))
    return CheckpointError(
        f"a transformers model of the type '{kind}', not a TIER checkpoint",
        where=str(folder),
        remedy=f"convert it with `tier model convert {folder} DEST`",
    )


def refuse_quantised(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a checkpoint with int8 weights where float weights are needed.

    Raises
    ------
    CheckpointError
        Names the checkpoint that it was made from.
    """
    made_from = config.get("quantised")
    if made_from is not None:
        raise CheckpointError(
            "has int8 weights, which only onnxruntime computes, on CPU",
            where=str(folder),
            remedy=f"use the checkpoint that it was made from, {made_from.get('name')}",
        )


def canonical_hash(content: Any) -> str:
    """Return the SHA-256 (hex) of JSON content, ignoring key order and white space."""
    import hashlib

    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def weights_file(start: Path) -> Path:
    """Return the file of starting weights: the file itself, or that of a folder."""
    return start if start.is_file() else start / WEIGHTS


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file of bounded size and depth, or raise `CheckpointError`."""
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError(f"more than {_LARGEST_JSON >> 20} MB")
        content = json.loads(path.read_text(encoding="utf-8"))
        _check_nesting(content)
    except (OSError, ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise CheckpointError(f"cannot be read as JSON: {why}", where=str(path), remedy=_AGAIN) from error
    if not isinstance(content, dict):
        raise CheckpointError("does not contain a JSON object", where=str(path), remedy=_AGAIN)
    return content


def _check_nesting(content: Any) -> None:
    """Raise one of the errors of senseless JSON for what could not be written again."""
    left = [(content, 0)]
    while left:
        value, depth = left.pop()
        if depth > _DEEPEST_JSON:
            raise RecursionError
        if isinstance(value, str) and not value.isascii():
            # Raises for half of a surrogate pair.
            value.encode("utf-8")
        elif isinstance(value, dict):
            left += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            left += [(part, depth + 1) for part in value]


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON, see `tier_cli.files.atomic.whole_file`."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Read ``sha256`` and ``bytes`` of each file from checksums.json.

    Raises
    ------
    CheckpointError
        The file is missing, or does not list weights and tokenizer.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        raise CheckpointError(f"no {CHECKSUMS}", where=str(folder), remedy=_ACCEPT)
    files = read_json(path).get("files")
    valid = isinstance(files, dict) and all(_is_entry(name, entry) for name, entry in files.items())
    if not isinstance(files, dict) or not valid or not {WEIGHTS, TOKENIZER} <= set(files):
        raise CheckpointError(f"does not list {WEIGHTS} and {TOKENIZER}", where=str(path), remedy=_ACCEPT)
    return files


def _is_entry(name: str, entry: object) -> bool:
    # A name must not lead outside the folder.
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and type(entry.get("bytes")) is int
        and name not in ("", ".", "..")
        and not {"/", "\\", "\0"} & set(name)
    )


def write_checksums(folder: Path) -> None:
    """List size and SHA-256 of every file in checksums.json, see `compute_checksums`."""
    write_json(folder / CHECKSUMS, {"algorithm": "sha256", "files": compute_checksums(folder)})


def compute_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Compute ``sha256`` and ``bytes`` of every file in a folder that belongs to the checkpoint."""
    from tier_cli.files.hashes import file_hash

    # Editing the card does not change the model; hidden files belong to the operating system.
    files = [
        file
        for file in sorted(folder.iterdir())
        if file.is_file()
        and file.name != CHECKSUMS
        and file.suffix != ".md"
        and not file.name.startswith(".")
    ]
    return {file.name: {"sha256": file_hash(file), "bytes": file.stat().st_size} for file in files}
