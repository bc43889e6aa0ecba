# ruff: noqa: TID253
"""One training run from a manifest to a checkpoint folder."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import tier_cli
from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.errors import ManifestError, UsageError
from tier_cli.evaluation.metrics import auc
from tier_cli.findings.vectors import embed_findings
from tier_cli.model.export import require_export
from tier_cli.model.modeling import TierModel
from tier_cli.model.save import save_checkpoint
from tier_cli.model.tokens import TextTokenizer, embed_in_batches
from tier_cli.scoring.score import score
from tier_cli.training.images import (
    AugmentedImages,
    FrozenFeatures,
    centred,
    feature_file,
    read_images,
    split_tower,
)
from tier_cli.training.loop import Trainer
from tier_cli.training.memory import keep_freed_memory
from tier_cli.training.pairs import Pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.training.settings import TrainSettings

    Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainInputs:
    """What a run starts from.

    Parameters
    ----------
    manifest
        CSV file of the images, see `datasets.manifest`.
    root
        Folder that relative paths start from; the manifest's own by default.
    train_split, valid_split
        Values of its `split` column. Without that column everything trains and nothing validates.
    image_tower, text_tower
        Folders with starting weights; the text tower's also holds the tokenizer.
    preprocessing
        How images become inputs, in training and in use.
    findings
        The finding set that the checkpoint scores by default and that validation uses.
    max_bad
        So many unreadable images of each split are left out; one more ends the run before it begins.
    features
        Folder that keeps frozen features for further runs on the same images; None throws them away.
    """

    manifest: Path
    root: Path | None
    train_split: str
    valid_split: str
    image_tower: Path
    text_tower: Path
    preprocessing: Preprocessing
    findings: FindingSet
    max_bad: int = 0
    features: Path | None = None


def train(inputs: TrainInputs, settings: TrainSettings, output: Path, progress: Progress) -> dict[str, Any]:
    """Train and write the checkpoint folder; returns what training.json holds.

    Raises
    ------
    TierError
        Data, towers or settings that make no sense, more than `max_bad` unreadable images, a loss that is
        not a number.
    """
    require_export()
    keep_freed_memory()
    try:
        output.mkdir(parents=True, exist_ok=True)
        # A name that nobody else has: whatever lies in the folder already stays.
        scratch = TemporaryDirectory(prefix=".scratch-", dir=output, ignore_cleanup_errors=True)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(output), remedy="name another --output folder"
        ) from error
    with scratch as folder:
        return _train(inputs, settings, output, Path(folder), progress)


def _train(
    inputs: TrainInputs, settings: TrainSettings, output: Path, scratch: Path, progress: Progress
) -> dict[str, Any]:
    torch.manual_seed(settings.seed)
    training, validation = _manifests(inputs)
    images, training = _readable(training, inputs, scratch / "train.npy", progress)
    pairs = Pairs(training, settings.seed, settings.shuffle_captions)
    model = TierModel.from_towers(inputs.image_tower, inputs.text_tower, entropy=settings.entropy)
    model.config.max_tokens = min(model.config.max_tokens, model.text_tower.config.max_position_embeddings)
    model.image_tower.to(memory_format=torch.channels_last)
    tokenizer = TextTokenizer(inputs.text_tower, model.config.max_tokens)
    source, rest = _source(model, images, inputs, settings, scratch, progress)
    log = output / "metrics.jsonl"
    log.unlink(missing_ok=True)
    check = None
    if validation is not None:
        unseen, validation = _readable(validation, inputs, scratch / "valid.npy", progress)
        check = _validator(unseen, validation, inputs, tokenizer)
    trainer = Trainer(model, rest, source, pairs, tokenizer, settings, log)
    # Before the hours of training: files can be gone after them.
    record = _record(inputs, settings, len(training), pairs.without_text)
    seconds, measured = trainer.run(progress, check)
    record["seconds"] = round(seconds)
    if validation is not None:
        record["validation"] = {"split": inputs.valid_split, "images": len(validation), **measured}
    # The tower's memory layout is of no concern to a reader of the file.
    model.to(memory_format=torch.contiguous_format)
    record["export_difference"] = save_checkpoint(
        output, model, inputs.text_tower, inputs.preprocessing, inputs.findings, record
    )
    return record


def _manifests(inputs: TrainInputs) -> tuple[Manifest, Manifest | None]:
    manifest = read_manifest(inputs.manifest, inputs.root)
    splits = {str(name).lower() for name in manifest.column("split")} - {""}
    if not splits:
        return manifest, None
    training = manifest.split(inputs.train_split)
    if inputs.valid_split.lower() not in splits:
        return training, None
    validation = manifest.split(inputs.valid_split)
    both = (set(training.column("patient")) & set(validation.column("patient"))) - {""}
    if both:
        raise ManifestError(
            f"{len(both)} patients are in both {inputs.train_split!r} and {inputs.valid_split!r}",
            where=manifest.origin,
            remedy="split by patient",
        )
    return training, validation


def _readable(
    manifest: Manifest, inputs: TrainInputs, file: Path, progress: Progress
) -> tuple[NDArray[np.uint8], Manifest]:
    """The images that could be read, and their rows."""
    images, bad = read_images(manifest.paths, inputs.preprocessing, file, progress)
    if len(bad) > inputs.max_bad or len(bad) == len(manifest):
        row, error = bad[0]
        raise ManifestError(
            f"{len(bad)} of {len(manifest)} images cannot be read, the first: {error.reason}",
            where=manifest.paths[row],
            remedy="mend the manifest, or allow so many with --max-bad",
        )
    if not bad:
        return images, manifest
    keep = np.ones(len(manifest), dtype=bool)
    keep[[row for row, _ in bad]] = False
    kept = np.flatnonzero(keep)
    for to, kept_row in enumerate(kept):
        images[to] = images[kept_row]
    return images[: len(kept)], manifest.where(keep)


def _source(
    model: TierModel,
    images: NDArray[np.uint8],
    inputs: TrainInputs,
    settings: TrainSettings,
    scratch: Path,
    progress: Progress,
) -> tuple[Any, Any]:
    """Where inputs come from, and the part of the image tower that they go into."""
    augmented = AugmentedImages(images, inputs.preprocessing, settings.seed)
    start, rest = split_tower(model.image_tower, settings.freeze_image_blocks)
    if not settings.freeze_image_blocks:
        return augmented, rest
    # The pixels, not the paths: another image may lie at a path by the time of the next run.
    pixels = hashlib.sha256(images.data).hexdigest()
    key = hashlib.sha256(
        json.dumps([pixels, inputs.preprocessing.to_dict(), settings.freeze_image_blocks,
                    settings.cached_views, _data_hash(inputs.image_tower / "model.safetensors")]).encode()
    ).hexdigest()  # fmt: skip
    file = feature_file(inputs.features or scratch, key)
    # The views are part of the data, not of the run: the same for every seed, so that runs can share them.
    shared_views = AugmentedImages(images, inputs.preprocessing, seed=0)
    features = FrozenFeatures(
        shared_views, len(images), start, settings.cached_views, file, progress, settings.seed
    )
    return features, rest


def _validator(
    images: NDArray[np.uint8], validation: Manifest, inputs: TrainInputs, tokenizer: TextTokenizer
) -> Callable[[TierModel], dict[str, float]]:
    labels = validation.labels(inputs.findings)

    @torch.no_grad()
    def check(model: TierModel) -> dict[str, float]:
        """Zero-shot AUC of each finding with both classes, and their mean."""

        def encode(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
            pooled: Tensor = model.encode_texts(torch.from_numpy(ids), torch.from_numpy(mask)).pooled
            return pooled.numpy()

        vectors = embed_findings(inputs.findings, lambda texts: embed_in_batches(texts, encode, tokenizer))
        pooled = [
            model.encode_images(centred(images[rows], inputs.preprocessing)).pooled
            for rows in np.array_split(np.arange(len(images)), -(-len(images) // 16))
        ]
        scores = score(torch.cat(pooled).numpy(), vectors)
        aucs = {}
        for column, name in enumerate(inputs.findings.ids):
            known = np.isin(labels[:, column], (0, 1))
            if len(set(labels[known, column])) == 2:
                aucs[name] = auc(labels[known, column], scores[known, column])
        return {"mean_auc": float(np.mean(list(aucs.values()))), **aucs} if aucs else {}

    return check


def _record(inputs: TrainInputs, settings: TrainSettings, rows: int, without_text: int) -> dict[str, Any]:
    return {
        "settings": asdict(settings),
        "data": {
            "manifest_sha256": _data_hash(inputs.manifest),
            "split": inputs.train_split,
            "images": rows,
            "images_without_text": without_text,
        },
        "starting_weights": {
            name: {"name": folder.name, "sha256": _data_hash(folder / "model.safetensors")}
            for name, folder in (("image_tower", inputs.image_tower), ("text_tower", inputs.text_tower))
        },
        "versions": {
            "tier": tier_cli.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _data_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
