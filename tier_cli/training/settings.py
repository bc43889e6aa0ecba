"""Define the settings of a training run: their types, defaults and bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from tier_cli.errors import UsageError

Objective = Literal["tier", "sigmoid"]
Entropy = Literal["masked", "paper"]
# Which texts count as partners of an image: its own, or all that its labels support.
Partners = Literal["own", "labels"]
# What the images of a batch have in common.
BatchesFrom = Literal["all", "source", "view"]
Optimizer = Literal["adamw", "adam"]
Schedule = Literal["cosine", "constant"]
Augmentation = Literal["standard", "paper"]
Precision = Literal["fp32", "bf16", "fp16"]
Views = Literal["frontal", "all"]
# What to train on: sections of the reports, or captions written from labels.
Text = Literal["impression", "findings", "both", "labels"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Images = Literal["auto", "memory-map", "stream"]
Keep = Literal["best", "all"]


def within(least: float, most: float | None = None, *, default: Any) -> Any:
    """Return a dataclass field whose value has bounds; `bounds` reads them."""
    return field(default=default, metadata={"bounds": (least, most)})


def bounds(settings: type) -> dict[str, tuple[float, float | None]]:
    """Return the least and the largest value of each bounded field; None where there is no largest."""
    return {f.name: f.metadata["bounds"] for f in fields(settings) if "bounds" in f.metadata}


@dataclass(frozen=True)
class SplitChoice:
    """Which rows to train on and which to validate on.

    Parameters
    ----------
    train_split, valid_split
        Values of the column `split`; None takes the split called valid for validation, if there is one.
    valid_share, split_seed
        Without such a split, this share of the training patients is drawn for validation, by this seed.
    views
        ``frontal`` trains on frontal views only. Validation never uses lateral views, like `tier eval`.
    separate
        Validation uses other data: no patients are drawn, and the split called valid stays unused.
    """

    train_split: str = "train"
    valid_split: str | None = None
    valid_share: float = within(0, 0.9, default=0.1)
    split_seed: int = 0
    views: Views = "all"
    separate: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """What determines the weights of a run, apart from its data; written into the checkpoint unchanged.

    Parameters
    ----------
    objective
        A name in `model.losses.OBJECTIVES`.
    lambda_patch, lambda_token
        Weights of the patch and token entropies (paper: 0.2 and 0.1).
    entropy
        ``masked`` leaves padding out of the entropies, ``paper`` counts it as published.
    entropy_temperature
        Divides the cosines in the softmax of the entropies (paper: 1).
    contrast_weight
        Weight of the contrast of images with the texts of the batch (paper: 1).
    prompt_weight
        Weight of the binary cross-entropy of zero-shot scores of labelled findings; 0 leaves it out (paper).
    region_weight
        Weight of the term that compares the patches that are like a finding with its boxes and masks; 0
        leaves it out (paper).
    prompts_per_finding
        Positive and negative prompts of each finding that are drawn and averaged at every step.
    prompt_steps
        Steps in which the text tower first learns from the prompts alone which of them state the same.
    partners
        ``labels`` also counts texts of other images as partners, to the degree that labels support them.
    epochs, images_per_epoch
        Number of epochs, and images drawn in each; None draws as many as there are.
    batches_from
        ``source`` or ``view`` takes all images of a batch from one value of that column.
    batch_size
        Pairs that are contrasted with each other, over all processes.
    accumulate
        Number of parts in which a process encodes its batch; the contrast keeps the whole batch.
    optimizer, learning_rate, head_rate_factor, weight_decay
        The optimiser; the learning rate of fresh projections is larger by the factor.
    schedule, warmup_share
        The schedule after a linear warm-up over this share of all steps.
    clip_norm
        Largest norm of the gradient; 0 does not clip.
    average_decay
        Decay of the exponential average over steps that gives the final weights; 0 keeps the last step's.
    freeze_image_blocks
        Number of frozen blocks at the start of the image tower; their output is computed once.
    augmentation
        ``standard`` or ``paper``: how images are augmented at every draw.
    cached_views
        Augmented copies of each image that are kept when blocks are frozen.
    freeze_text_layers
        Number of frozen layers at the start of the text tower, and its embeddings.
    checkpoint_activations
        Recompute activations in the backward pass instead of keeping them.
    precision
        ``fp32``, or ``bf16`` or ``fp16`` for autocast in both encoders; the objective is always in fp32.
    seed
        Seed of fresh projections, draws, captions and dropout.
    equal_start
        Fresh projections start from the same values whatever the seed, so that `tier model average` can
        average runs of several seeds.
    shuffle_captions
        Control: permute the captions among the images, so that there is nothing to learn.
    """

    objective: Objective = "tier"
    lambda_patch: float = within(0, default=0.2)
    lambda_token: float = within(0, default=0.1)
    entropy: Entropy = "masked"
    entropy_temperature: float = within(0.001, default=1.0)
    contrast_weight: float = within(0, default=1.0)
    prompt_weight: float = within(0, default=0.0)
    region_weight: float = within(0, default=0.0)
    prompts_per_finding: int = within(1, default=4)
    prompt_steps: int = within(0, default=0)
    partners: Partners = "own"
    epochs: int = within(1, default=10)
    images_per_epoch: int | None = within(1, default=None)
    batches_from: BatchesFrom = "all"
    batch_size: int = within(2, default=64)
    accumulate: int = within(1, default=1)
    optimizer: Optimizer = "adamw"
    learning_rate: float = within(0, default=3e-4)
    head_rate_factor: float = within(0, default=3.0)
    weight_decay: float = within(0, default=1e-2)
    schedule: Schedule = "cosine"
    warmup_share: float = within(0, 1, default=0.05)
    clip_norm: float = within(0, default=1.0)
    average_decay: float = within(0, 0.99999, default=0.995)
    freeze_image_blocks: int = within(0, default=0)
    augmentation: Augmentation = "standard"
    cached_views: int = within(1, default=6)
    freeze_text_layers: int = within(0, default=4)
    checkpoint_activations: bool = False
    precision: Precision = "fp32"
    seed: int = 0
    equal_start: bool = False
    shuffle_captions: bool = False

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, float) and not math.isfinite(value):
                option = f"--{setting.name.replace('_', '-')}"
                raise UsageError(f"cannot be {value}", where=option, remedy="give a finite number")
        if self.prompt_steps and not self.prompt_weight:
            raise UsageError(
                "prompts are not learnt without a prompt term",
                where="--prompt-steps",
                remedy="give a --prompt-weight",
            )
        if self.region_weight and not self.prompt_weight:
            raise UsageError(
                "regions are compared with the prompts of findings",
                where="--region-weight",
                remedy="give a --prompt-weight",
            )
        if self.region_weight and self.freeze_image_blocks:
            raise UsageError(
                "regions cannot follow cached features of augmented images",
                where="--region-weight",
                remedy="give --freeze-image-blocks 0",
            )

    def parts(self, processes: int) -> int:
        """Return the number of images in one part of one process's batch.

        Raises
        ------
        UsageError
            The batch cannot be divided into equal parts.
        """
        if self.batch_size % (processes * self.accumulate):
            raise UsageError(
                f"a batch of {self.batch_size} cannot be divided among {processes} processes "
                f"with {self.accumulate} parts each",
                where="--batch-size",
                remedy=f"use a multiple of {processes * self.accumulate}",
            )
        return self.batch_size // (processes * self.accumulate)


def parts_of(batch: int, size: int) -> int:
    """Return how many parts of a size make up the batch of one process.

    Raises
    ------
    UsageError
        The size does not divide the batch.
    """
    if batch % size:
        raise UsageError(
            f"parts of {size} images do not divide a batch of {batch}",
            where="--micro-batch-size",
            remedy="use a divisor of the batch of one process",
        )
    return batch // size


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; apart from the device's arithmetic, this does not change what is learnt.

    Parameters
    ----------
    max_bad
        How many unreadable images a run may leave out; one more ends it.
    device
        The device; ``auto`` uses a CUDA GPU if there is one.
    workers
        Processes that read and augment images; None chooses.
    images
        ``memory-map`` reads every image once into a file, ``stream`` reads it at every draw, ``auto``
        chooses by the free space on the disk.
    features
        Folder that keeps frozen features for further runs on the same images; None deletes them.
    resume
        Continue the run whose state is in the output folder; start one if there is none.
    save_steps, save_minutes
        The state is saved after so many steps or minutes, and after each epoch.
    tensorboard
        Folder for TensorBoard events.
    squares
        Folder that keeps the images read for further runs; None deletes them.
    keep_epochs
        How many epochs with the highest mean validation AUC are kept as checkpoints of their own.
    command
        The command for the record, with file names without their folders.
    """

    max_bad: int = within(0, default=0)
    device: Device = "auto"
    workers: int | None = within(0, default=None)
    images: Images = "auto"
    features: Path | None = None
    resume: bool = False
    save_steps: int | None = within(1, default=None)
    save_minutes: float = within(0, default=10.0)
    tensorboard: Path | None = None
    squares: Path | None = None
    keep_epochs: int = within(0, default=0)
    command: str = ""
