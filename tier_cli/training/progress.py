"""Report how far a training run is: its stages, and the protocol that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple, Protocol


class Stage(Enum):
    """The stages of a run.

    VALIDATING counts validation images; VALIDATION reports what was measured on them.
    """

    PREPARING = auto()
    READING_IMAGES = auto()
    READING_REGIONS = auto()
    COMPUTING_FEATURES = auto()
    LEARNING_PROMPTS = auto()
    TRAINING = auto()
    VALIDATING = auto()
    VALIDATION = auto()
    WRITING_CHECKPOINT = auto()
    WRITING_EPOCHS = auto()


class Epoch(NamedTuple):
    """An epoch of a run, counted from 1, and the last one."""

    number: int
    last: int


class TrainingProgress(Protocol):
    """Show how far a run is."""

    def __call__(
        self,
        stage: Stage,
        done: int,
        total: int,
        figures: Mapping[str, float] | None = None,
        epoch: Epoch | None = None,
    ) -> None:
        """Report progress.

        Parameters
        ----------
        stage
            What the run is doing.
        done, total
            How much of the stage is done; in training and validation, the steps of the whole run. A total
            of 0: the stage cannot be counted.
        figures
            What a training step measured, now and then; or what validation measured.
        epoch
            The epoch, in training and validation.
        """
        ...


def no_progress(
    stage: Stage,
    done: int,
    total: int,
    figures: Mapping[str, float] | None = None,
    epoch: Epoch | None = None,
) -> None:
    """Show nothing."""
