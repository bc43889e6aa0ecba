"""Hold everything a trainer needs to know about a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tier_cli.model.losses import Objective
    from tier_cli.training.data.prompts import Prompts
    from tier_cli.training.inputs.loader import Batches
    from tier_cli.training.loop.freezing import Encoders
    from tier_cli.training.settings import RunOptions, TrainSettings


@dataclass(frozen=True)
class Task:
    """Hold the model, the data and the settings of a run.

    Parameters
    ----------
    encoders
        The encoders, on the device, with their parameters frozen as set.
    objective, batches
        The objective to minimise, and the batches.
    settings, run_options
        The settings that determine the result, and the options that do not.
    identity
        Names and plain values that a saved state must match to be resumed.
    folder
        The folder of metrics.jsonl.
    state_file
        The file of the state until the run ends.
    fresh_heads
        Whether the projections start from random weights.
    max_bad
        How many unreadable images are tolerated, including `left_out`.
    left_out
        How many images were found unreadable before training began.
    paths
        Paths of the training images, by row.
    prompts
        Prompts that the images are compared with; None without a prompt term.
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
    prompts: Prompts | None = None
