# ruff: noqa: TID253
"""One training run from a manifest to a checkpoint folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tier_cli.errors import InputError, ManifestError, TierError, UsageError
from tier_cli.model.checkpoint import WEIGHTS, canonical_hash, file_hash
from tier_cli.model.engine import usable_cpus
from tier_cli.model.export import require_export
from tier_cli.model.save import save_checkpoint
from tier_cli.model.torch_engine import pick_device
from tier_cli.training.distributed import World, join_world, leave_world
from tier_cli.training.features import FrozenFeatures, write_features
from tier_cli.training.images import AugmentedImages, StoredPixels, StreamedPixels, read_images, store_fits
from tier_cli.training.loader import Batches, ImageSource, Plan
from tier_cli.training.loop import Task, Trainer
from tier_cli.training.memory import keep_freed_memory
from tier_cli.training.pairs import Pairs
from tier_cli.training.record import describe, identity
from tier_cli.training.start import (
    build_model,
    build_objective,
    build_tokenizer,
    split_manifest,
    tokenizer_folder,
)
from tier_cli.training.state import check_identity, load_state
from tier_cli.training.towers import Encoders
from tier_cli.training.validate import labelled, validator

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.modeling import TierModel
    from tier_cli.training.images import Pixels
    from tier_cli.training.settings import Running, TrainSettings
    from tier_cli.training.watch import Watcher

WORK, STATE = ".training", "state.pt"
_MOST_WORKERS = 8
# Starting processes takes longer than reading so many images.
_FEW_IMAGES = 200


@dataclass(frozen=True)
class TrainInputs:
    """What a run starts from.

    Parameters
    ----------
    manifest
        The images with texts or labels, every split together.
    train_split, valid_split
        Values of its `split` column. Without that column everything trains and nothing validates.
    preprocessing
        How images become inputs, in training and in use.
    findings
        The finding set that the checkpoint scores by default and that validation uses.
    init
        Folder of a checkpoint to start from, or None; then `image_tower` and `text_tower` are
    image_tower, text_tower
        folders with starting weights; the text tower's also holds the tokenizer.
    max_bad
        So many unreadable images of each split are left out; one more ends the run.
    features
        Folder that keeps frozen features for further runs on the same images; None throws them away.
    """

    manifest: Manifest
    train_split: str
    valid_split: str
    preprocessing: Preprocessing
    findings: FindingSet
    init: Path | None = None
    image_tower: Path | None = None
    text_tower: Path | None = None
    max_bad: int = 0
    features: Path | None = None


def train(
    inputs: TrainInputs,
    settings: TrainSettings,
    running: Running,
    output: Path,
    progress: Watcher,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train and write the checkpoint folder; returns what training.json holds.

    Under torchrun every process calls this, and the first one writes.

    Raises
    ------
    TierError
        Data, towers or settings that make no sense, more than `max_bad` unreadable images, a loss that is
        not a number, a disk that is full. What was saved of a run before that stays, to be resumed.
    KeyboardInterrupt
        `stop` gave true, and the state was saved.
    """
    require_export()
    world, device = join_world(pick_device(running.device))
    if device.type == "cpu":
        keep_freed_memory()
    work = output / WORK
    try:
        world.first_does(lambda: _make(work, running.resume))
        watched = _stoppable(progress, stop)
        return _Run(inputs, settings, running, output, work, world, device, watched).go(stop)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}",
            where=str(output),
            remedy="make room, or name another --output folder",
        ) from error
    finally:
        # Nothing to resume yet: whatever went wrong will be mended first.
        if world.first and not (work / STATE).exists():
            shutil.rmtree(work, ignore_errors=True)
        leave_world()


def _make(work: Path, resume: bool) -> None:
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}",
            where=str(work.parent),
            remedy="name another --output folder",
        ) from error
    if (work / STATE).exists() and not resume:
        raise UsageError(
            "holds a run that is not finished",
            where=str(work.parent),
            remedy="go on with --resume, or name another --output folder",
        )


def _stoppable(progress: Watcher, stop: Callable[[], bool]) -> Watcher:
    """Let what comes before the training be stopped anywhere: there is no state to save yet."""

    def watch(what: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
        progress(what, done, total, figures)
        if not what.startswith("epoch") and stop():
            raise KeyboardInterrupt

    return watch


@dataclass
class _Run:
    inputs: TrainInputs
    settings: TrainSettings
    running: Running
    output: Path
    work: Path
    world: World
    device: torch.device
    progress: Watcher

    def go(self, stop: Callable[[], bool]) -> dict[str, Any]:
        inputs, settings, world = self.inputs, self.settings, self.world
        settings.parts(world.size)
        torch.manual_seed(settings.seed)
        training, validation = split_manifest(inputs)
        objective = build_objective(settings)
        model = self._placed(build_model(inputs, settings, objective))
        tokenizer = build_tokenizer(inputs, model)
        same = identity(inputs, settings)
        state = self._state(same)
        pixels, training = self._pixels(training)
        pairs = Pairs(training, settings.seed, settings.shuffle_captions)
        encoders = Encoders(model, settings.freeze_image_blocks, settings.checkpoint_activations)
        encoders.freeze(settings.freeze_text_layers)
        source = self._source(encoders, pixels, pairs, len(training))
        images = settings.images_per_epoch or len(pairs)
        plan = Plan(pairs, settings.batch_size, max(images // settings.batch_size, 1), world.rank, world.size)
        check = None
        if validation is not None and len(validation := labelled(validation, inputs.findings)):
            unseen, validation = self._stored(validation)
            labels = validation.labels(inputs.findings)
            check = validator(unseen, labels, inputs.findings, inputs.preprocessing, tokenizer, self.device)
        # Before the hours of training: files can be gone after them.
        record = describe(inputs, settings, len(training), pairs.without_text, self.device, world.size)
        task = Task(
            encoders, objective, Batches(plan, source, tokenizer), settings, self.running, same, self.output,
            self.work / STATE, inputs.init is None, inputs.max_bad,
        )  # fmt: skip
        trainer = Trainer(task, world, self.device, stop)
        if state is not None:
            trainer.resume(state)
        record["seconds"] = round(trainer.run(self.progress, check))
        record["unreadable_images"] = len(trainer.bad)
        if check is not None and validation is not None:
            record["validation"] = {
                "split": inputs.valid_split,
                "images": len(validation),
                **trainer.measured,
            }
        world.first_does(lambda: self._finish(model, record))
        return record

    def _placed(self, model: TierModel) -> TierModel:
        """On the device, in the layout that convolutions like, with norms that see the whole batch."""
        if self.world.size > 1 and self.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        model.image_tower.to(memory_format=torch.channels_last)
        model.to(self.device)
        return model

    def _state(self, same: dict[str, Any]) -> dict[str, Any] | None:
        file = self.work / STATE
        if not self.running.resume or not file.exists():
            return None
        state = load_state(file)
        check_identity(state["identity"], same, self.output)
        return state

    def _pixels(self, manifest: Manifest) -> tuple[Pixels, Manifest]:
        """Where the training images come from, and their rows."""
        images = self.running.images
        if images == "auto":
            fits = self.world.first_does(
                lambda: store_fits(len(manifest), self.inputs.preprocessing, self.work)
            )
            images = "memory-map" if fits else "stream"
        if images == "stream":
            return StreamedPixels(manifest.paths, self.inputs.preprocessing), manifest
        return self._stored(manifest)

    def _stored(self, manifest: Manifest) -> tuple[StoredPixels, Manifest]:
        """The images that could be read, and their rows."""
        workers = self.running.workers
        if workers is None:
            workers = 0 if len(manifest) < _FEW_IMAGES else min(usable_cpus(), _MOST_WORKERS)
        file, bad = self.world.first_does(
            lambda: read_images(manifest.paths, self.inputs.preprocessing, self.work, workers, self.progress)
        )
        _check_bad(manifest, bad, self.inputs.max_bad)
        keep = np.ones(len(manifest), dtype=bool)
        keep[[row for row, _ in bad]] = False
        return StoredPixels(file, np.flatnonzero(keep)), manifest.where(keep) if bad else manifest

    def _source(self, encoders: Encoders, pixels: Pixels, pairs: Pairs, rows: int) -> ImageSource:
        """Where the encoders' inputs come from."""
        inputs, settings = self.inputs, self.settings
        if not settings.freeze_image_blocks:
            return AugmentedImages(pixels, inputs.preprocessing, settings.seed, pairs.after)
        # The views are part of the data, not of the run: equal for all seeds, so that runs can share them.
        views = AugmentedImages(pixels, inputs.preprocessing, 0, pairs.after)

        def write() -> Path:
            file = (inputs.features or self.work) / f"features-{self._features_key(pixels)}.npy"
            if not file.is_file():
                start = encoders.start()
                write_features(views, rows, start, settings.cached_views, file, self.device, self.progress)
            return file

        return FrozenFeatures(self.world.first_does(write), settings.seed)

    def _features_key(self, pixels: Pixels) -> str:
        weights = (self.inputs.init or self.inputs.image_tower or Path()) / WEIGHTS
        settings = self.settings
        return canonical_hash(
            [_pixels_hash(pixels), self.inputs.preprocessing.to_dict(), settings.freeze_image_blocks,
             settings.cached_views, file_hash(weights)]
        )[:16]  # fmt: skip

    def _finish(self, model: TierModel, record: dict[str, Any]) -> None:
        # The tower's memory layout is of no concern to a reader of the file.
        model.to("cpu", memory_format=torch.contiguous_format)
        inputs = self.inputs
        record["export_difference"] = save_checkpoint(
            self.output, model, tokenizer_folder(inputs), inputs.preprocessing, inputs.findings, record
        )
        shutil.rmtree(self.work, ignore_errors=True)


def _check_bad(manifest: Manifest, bad: list[tuple[int, InputError]], most: int) -> None:
    if len(bad) > most or len(bad) == len(manifest):
        row, error = bad[0]
        raise ManifestError(
            f"{len(bad)} of {len(manifest)} images cannot be read, the first: {error.reason}",
            where=manifest.paths[row],
            remedy="mend the manifest, or allow so many with --max-bad",
        )


def _pixels_hash(pixels: Pixels) -> str:
    """Of the pixels, not of the paths: another image may lie at a path by the time of the next run."""
    if isinstance(pixels, StoredPixels):
        return canonical_hash([file_hash(pixels.file), pixels.rows.tolist()])
    if isinstance(pixels, StreamedPixels):
        digest = hashlib.sha256()
        for path in pixels.paths:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()
    raise TierError(f"{type(pixels).__name__} has no hash")
