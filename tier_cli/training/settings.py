"""What a training run is told: one record that decides the weights, and one that does not."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

from tier_cli.errors import UsageError


@dataclass(frozen=True)
class TrainSettings:
    """What decides the weights of a run, beside its data; written into the checkpoint as it is.

    Parameters
    ----------
    objective
        A name of `model.losses.OBJECTIVES`.
    lambda_patch, lambda_token
        Weights of the two entropies (paper: 0.2 and 0.1).
    entropy
        ``masked`` or ``paper``: whether padding takes part in the entropies.
    epochs, images_per_epoch
        An epoch draws this many images; None draws as many as there are.
    batch_size
        Pairs that are contrasted with each other, over all processes.
    accumulate
        The batch of a process goes through the encoders in so many parts; the contrast keeps it whole.
    optimizer, learning_rate, head_rate_factor, weight_decay
        ``adamw`` or ``adam``; projections that start from nothing learn faster by the factor.
    schedule, warmup_share
        ``cosine`` or ``constant``, after a linear warm-up over this share of all steps.
    clip_norm
        The gradient's norm is brought down to this; 0 leaves it.
    average_decay
        The shipped weights are an exponential average over steps with this decay; 0 ships the last step's.
    freeze_image_blocks
        Blocks at the start of the image tower that stay as they are; their output is computed once.
    augmentation
        ``standard`` or ``paper``: how images are changed at every draw.
    cached_views
        Augmented copies of each image kept when blocks are frozen.
    freeze_text_layers
        Layers at the start of the text tower that stay as they are, with the embeddings.
    checkpoint_activations
        Compute activations again in the backward pass instead of keeping them.
    precision
        ``fp32``, or ``bf16`` or ``fp16`` for autocast in both encoders; the objective is always in fp32.
    shuffle_captions
        Control: captions are permuted among the images, so that there is nothing to learn.
    """

    objective: str = "tier"
    lambda_patch: float = 0.2
    lambda_token: float = 0.1
    entropy: str = "masked"
    epochs: int = 10
    images_per_epoch: int | None = None
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 3e-4
    head_rate_factor: float = 3.0
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    warmup_share: float = 0.05
    clip_norm: float = 1.0
    average_decay: float = 0.995
    freeze_image_blocks: int = 0
    augmentation: str = "standard"
    cached_views: int = 6
    freeze_text_layers: int = 4
    checkpoint_activations: bool = False
    precision: str = "fp32"
    seed: int = 0
    shuffle_captions: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                option = f"--{field.name.replace('_', '-')}"
                raise UsageError(f"it cannot be {value}", where=option, remedy="give a number")

    def parts(self, processes: int) -> int:
        """Images of one part of one process's batch.

        Raises
        ------
        UsageError
            The batch cannot be cut so.
        """
        if self.batch_size % (processes * self.accumulate):
            raise UsageError(
                f"a batch of {self.batch_size} cannot be shared by {processes} processes "
                f"in {self.accumulate} parts each",
                where="--batch-size",
                remedy=f"use a multiple of {processes * self.accumulate}",
            )
        return self.batch_size // (processes * self.accumulate)


def parts_of(batch: int, size: int) -> int:
    """How many parts of a size make a batch of one process.

    Raises
    ------
    UsageError
        They do not fill it.
    """
    if batch % size:
        raise UsageError(
            f"parts of {size} do not fill a batch of {batch}",
            where="--micro-batch-size",
            remedy="use a divisor of the batch of one process",
        )
    return batch // size


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; none of it decides what is learnt, but for the arithmetic of the device.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    workers
        Processes that read and augment images; None chooses.
    images
        ``memory-map`` reads every image once into a file, ``stream`` reads it at every draw, ``auto``
        chooses by what fits on the disk.
    resume
        Continue the run whose state lies in the output folder; start it where there is none.
    save_steps, save_minutes
        The state is saved after so many steps or minutes, and after each epoch.
    tensorboard
        Write events for TensorBoard there.
    squares
        Folder that keeps what was read of the images for further runs; None throws it away.
    keep_epochs
        So many epochs with the highest watched mean AUC are written as checkpoints of their own.
    command
        The command that was given, for the record; names of files without their folders.
    """

    device: str = "auto"
    workers: int | None = None
    images: str = "auto"
    resume: bool = False
    save_steps: int | None = None
    save_minutes: float = 10.0
    tensorboard: Path | None = None
    squares: Path | None = None
    keep_epochs: int = 0
    command: str = ""
