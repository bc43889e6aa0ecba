"""The options that docs/training.md shows exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from little import silent, trainer
from typer.main import get_command

from tier_cli.app import app


def _parameters() -> list[Any]:
    """The options of the command."""
    group: Any = get_command(app)
    return list(group.commands["train"].params)


PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
# Of torchrun, other commands and a benchmark.
OTHERS = {"--no-python", "--nproc-per-node", "--nnodes", "--node-rank", "--master-addr", "--model", "--count"}
OTHERS |= {"--compile", "--weights"}


def test_every_option_shown_exists() -> None:
    options = {name for p in _parameters() for name in p.opts}
    shown = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert shown - options - OTHERS == set()
    # And the other way: an option that nobody is told of is not there.
    assert (
        options
        - shown
        - {
            "--quiet",
            "-q",
            "--verbose",
            "-v",
            "--root",
            "--seed",
            "--device",
            "--findings",
            "--image-size",
            "--shuffle-captions",
            "--help",
        }
        == set()
    )


def test_tensorboard_gets_the_figures_of_the_log(tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from tier_cli.training.settings import RunOptions

    run_options = RunOptions(device="cpu", workers=0, tensorboard=tmp_path / "board")
    trainer(tmp_path, run_options=run_options, epochs=1).run(silent)
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert events.Scalars("contrastive")[0].value == pytest.approx(first["contrastive"])
