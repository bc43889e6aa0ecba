"""What is trained on what: all that a trainer needs to know of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tier_cli.model.losses import Objective
    from tier_cli.training.inputs.loader import Batches
    from tier_cli.training.loop.freezing import Encoders
    from tier_cli.training.settings import RunOptions, TrainSettings


@dataclass(frozen=True)
class Task:
    """What is trained on what.

    Parameters
    ----------
    encoders
        Around the model, on the device, its parameters frozen as wanted.
    objective, batches
        What is minimised, and where batches come from.
    settings, run_options
        The run.
    identity
        What a state must have been saved with to be gone on from: names and plain values.
    folder
        Where metrics.jsonl lies.
    state_file
        Where the state is kept until the run is over.
    fresh_heads
        The projections start from nothing.
    max_bad
        So many unreadable images are passed over, `left_out` ones among them:
    left_out
        they could not be read before the training.
    paths
        Of the training images, by row.
    """

    encoders: Encoders
    objective: Objective
    batches: Batches
    settings: TrainSettings
    run_options: RunOptions
    identity: dict[str, Any]
    folder: Path
    state_file: Path
    fresh_heads: bool
    max_bad: int
    left_out: int
    paths: Sequence[str]
