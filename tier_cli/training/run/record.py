"""Describe what a run was made from, for training.json and for the check of a resumed run."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import tier_cli
from tier_cli.datasets.identity import data_sets_of, image_keys, patient_keys
from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError
from tier_cli.files.hashes import file_hash
from tier_cli.model.checkpoint import canonical_hash, weights_file
from tier_cli.model.trained_on import TrainedOn, describe_run, read_trained_on

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.training.settings import TrainSettings
    from tier_cli.training.train_inputs import TrainInputs


def identity(inputs: TrainInputs, settings: TrainSettings, keep_epochs: int = 0) -> dict[str, Any]:
    """Return everything that determines the output, by the name of its option or a name of its own."""
    same = {
        **asdict(settings),
        "data": inputs.rows_hash,
        "starting weights": canonical_hash(_weights(inputs)),
        "image preparation": canonical_hash(inputs.preprocessing.to_dict()),
        "finding set": canonical_hash(inputs.findings.to_toml(codes=False)),
    }
    if inputs.validation is not None:
        same["watched data"] = inputs.validation_hash
        same["watched findings"] = canonical_hash(inputs.validation_findings.to_toml(codes=False))
    if inputs.soft_labels is not None:
        same["soft labels"] = inputs.soft_labels_hash
    if keep_epochs:
        same["keep_epochs"] = keep_epochs
    return same


def describe(
    inputs: TrainInputs,
    settings: TrainSettings,
    rows: int,
    without_text: int,
    device: torch.device,
    processes: int,
) -> dict[str, Any]:
    """Return the record of a run, as far as it is known at the start."""
    return {
        "settings": asdict(settings),
        "data": {
            **_file(inputs.manifest),
            "rows_sha256": inputs.rows_hash,
            "images": rows,
            "images_without_text": without_text,
            **inputs.about,
            **_separate_validation(inputs),
            **_soft_labels(inputs),
        },
        "starting_weights": _weights(inputs),
        "versions": {
            "tier": tier_cli.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "device": device.type,
        "processes": processes,
    }


def runs_trained_on(inputs: TrainInputs, training: Manifest, name: str) -> list[TrainedOn]:
    """Return the runs that led to a checkpoint: those of its starting weights, then this one.

    Parameters
    ----------
    inputs
        What the run starts from.
    training
        The rows it trains on.
    name
        The name of the checkpoint.
    """
    dataset = inputs.about.get("dataset") or CSV
    own = describe_run(
        name,
        data_sets_of(training, dataset),
        inputs.rows_hash,
        image_keys(training, dataset),
        patient_keys(training, dataset),
    )
    return [*(read_trained_on(inputs.init) if inputs.init is not None else ()), own]


def _file(manifest: Manifest) -> dict[str, str | None]:
    origin = Path(manifest.origin)
    return {"name": origin.name, "manifest_sha256": _hash(origin) if origin.is_file() else None}


def _separate_validation(inputs: TrainInputs) -> dict[str, Any]:
    data = inputs.validation
    if data is None:
        return {}
    return {"watched": {**data.record(), **_file(data.manifest), "rows_sha256": inputs.validation_hash}}


def _weights(inputs: TrainInputs) -> dict[str, dict[str, str]]:
    folders = {"checkpoint": inputs.init, "image_tower": inputs.image_tower, "text_tower": inputs.text_tower}
    return {
        name: {"name": folder.name, "sha256": _hash(weights_file(folder))}
        for name, folder in folders.items()
        if folder is not None
    }


def _hash(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=str(path), remedy="check the path and its permissions"
        ) from error


def _soft_labels(inputs: TrainInputs) -> dict[str, Any]:
    """Describe the probabilities that take the place of labels, if there are any."""
    soft = inputs.soft_labels
    if soft is None:
        return {}
    return {
        "soft_labels": {
            **_file(soft.manifest),
            "rows_sha256": inputs.soft_labels_hash,
            "images": soft.images,
        }
    }


def check_identity(saved: str, now: dict[str, Any], where: Path) -> None:
    """Check that a run continues with the settings and data that it was started with.

    Parameters
    ----------
    saved
        The identity of the run when it was started, as JSON.
    now
        Its identity now.
    where
        The folder of the run.

    Raises
    ------
    UsageError
        They differ; the error names every difference.
    """
    before = json.loads(saved)
    differing = [
        f"{_title(name)} was {_shown(before.get(name))}, now {_shown(now.get(name))}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if differing:
        raise UsageError(
            f"the run to resume was started differently: {'; '.join(differing)}",
            where=str(where),
            remedy="repeat the options and data it was started with, or name another --output folder",
        )


# The keys of an identity that are not options, in words for people.
_NAMES = {
    "data": "training data",
    "starting weights": "starting weights",
    "image preparation": "preprocessing",
    "finding set": "finding set",
    "soft labels": "probabilities in --soft-labels",
    "watched data": "validation data",
    "watched findings": "validation findings",
}


def _title(name: str) -> str:
    return _NAMES.get(name, f"--{name.replace('_', '-')}")


def _shown(value: Any) -> str:
    text = str(value)
    # The first digits of a hash are enough to compare it.
    return text[:12] if len(text) == 64 else text
