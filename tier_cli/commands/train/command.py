"""`tier train`: train a TIER model on image-text pairs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tier_cli.commands.train.command_line import command_line
from tier_cli.commands.train.inputs import check_comparable, check_validation, collect_inputs
from tier_cli.commands.train.options import Arguments, collect, takes_options
from tier_cli.commands.train.sweep import read_axes, run_sweep
from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.packages import require_extras
from tier_cli.training.settings import RunOptions, SplitChoice, TrainSettings, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@takes_options
def train(context: typer.Context, **options: Any) -> None:
    """Train a TIER model on image-text pairs and write a checkpoint folder.

    The objective: contrastive loss plus entropies of token-patch similarities
    (Palepu & Beam, MLHC 2023).

    Data with labels but no reports train on captions written from the labels.
    Test splits are not used; no patient is in both training and validation.

    Many GPUs: torchrun --no-python --nproc-per-node 8 tier train ...
    """
    require_extras("tier train", "torch", "eval", *(["tensorboard"] if options["tensorboard"] else []))
    given, bundled = _with_start(collect(Arguments, options))
    output = _check(given)
    run_options = collect(RunOptions, options, command=command_line(context))
    _check_output(output, run_options.resume, bool(given.sweep))
    axes = read_axes(given.sweep or [])
    if axes and run_options.keep_epochs:
        raise UsageError(
            "a sweep keeps whole runs, not epochs",
            where="--keep-epochs",
            remedy="use it when you run the best setting again",
        )
    separate = check_validation(context, given)
    if bundled:
        from tier_cli.display.training_progress import tell

        tell(f"Starting from the bundled {given.init}; name other weights with --init, or both towers.")
    from tier_cli.display.training_progress import preparing

    with preparing():
        settings = collect(TrainSettings, options, **_derived(given, options["batch_size"]))
        if given.soft_labels is not None and not settings.prompt_weight:
            raise UsageError(
                "only the prompt term uses probabilities",
                where="--soft-labels",
                remedy="give a --prompt-weight",
            )
        inputs = collect_inputs(given, collect(SplitChoice, options), separate)
    if run_options.keep_epochs:
        check_comparable(inputs)
    if given.threads is not None:
        import torch

        torch.set_num_threads(given.threads)
    from tier_cli.display.training_progress import display, stopping, summarise
    from tier_cli.training.run.run import train as run

    if axes:
        run_sweep(inputs, settings, run_options, output, axes, given.keep, given.micro_batch_size, context)
        return
    with stopping(output) as stop, display() as progress:
        record = run(inputs, settings, run_options, output, progress, stop)
    summarise(record, output)


def _with_start(given: Arguments) -> tuple[Arguments, bool]:
    """Return the options with the bundled checkpoint if no starting weights are named, and whether it is."""
    if any(one is not None for one in (given.init, given.image_tower, given.text_tower, given.image_size)):
        return given, False
    return replace(given, init=DEFAULT_MODEL), True


def _check(given: Arguments) -> Path:
    """Check the options against each other; return the output folder."""
    if given.data is None and given.dataset == CSV:
        raise UsageError(
            "no data was given",
            remedy="give --data MANIFEST.csv (columns path, patient, split, and text or labels), or "
            "--dataset mimic-cxr --root FOLDER, or draw synthetic chests with "
            "`tier data phantom DIR --count 2000` and give --data DIR/manifest.csv",
        )
    if given.output is None or not given.output.name:
        raise UsageError(
            "no checkpoint folder was given",
            where="--output",
            remedy="name a folder; it is created if it does not exist",
        )
    if given.init is None and (given.image_tower is None or given.text_tower is None):
        lacking = "--image-tower" if given.image_tower is None else "--text-tower"
        raise UsageError(
            "a model starts from two towers, and one of them was given",
            where=lacking,
            remedy="name a folder with config.json and safetensors, the text tower's with tokenizer.json; or "
            "leave both out to start from a checkpoint",
        )
    for name in ("image_tower", "text_tower", "image_size"):
        if given.init is not None and getattr(given, name) is not None:
            raise UsageError(
                "the checkpoint of --init has its own",
                where=f"--{name.replace('_', '-')}",
                remedy="leave one of the two out",
            )
    if given.accumulate is not None and given.micro_batch_size is not None:
        raise UsageError(
            "set the same value", where="--accumulate, --micro-batch-size", remedy="give only one of them"
        )
    return given.output


def _derived(given: Arguments, batch_size: int) -> Mapping[str, Any]:
    """Return the settings that depend on several options; those left out keep their default."""
    derived: dict[str, Any] = {
        "lambda_patch": given.reg_weight if given.lambda_patch is None else given.lambda_patch,
        "lambda_token": given.reg_weight if given.lambda_token is None else given.lambda_token,
        "freeze_text_layers": given.freeze_text_layers,
        "accumulate": given.accumulate,
    }
    # Batches of a sweep may differ in size: the sweep divides each one itself.
    if given.micro_batch_size is not None and not given.sweep:
        # WORLD_SIZE: set by torchrun.
        share = batch_size // int(os.environ.get("WORLD_SIZE", "1"))
        derived["accumulate"] = parts_of(share, given.micro_batch_size)
    if given.freeze_text_layers is None:
        from tier_cli.training.loop.freezing import default_frozen_layers

        derived["freeze_text_layers"] = default_frozen_layers(given.init, given.text_tower)
    return {name: value for name, value in derived.items() if value is not None}


_REPLACED = ("README.md", "config.json", "tokenizer.json", "findings.toml", "training.json")


def _check_output(output: Path, resume: bool, sweep: bool) -> None:
    # Whether a checkpoint is the result of this very run is checked once the data are known.
    over = (output / "model.safetensors").exists() and not sweep
    there = (output / "model.safetensors").exists() or (output / "epochs").exists()
    if there and not (resume and (over or (output / ".training").exists())):
        raise UsageError("already holds a checkpoint", where=str(output), remedy="name another folder")
    # A run that ended early may be started over in its folder; other people's files are never replaced.
    ours = any((output / name).exists() for name in (".training", "points", "metrics.jsonl"))
    foreign = [name for name in _REPLACED if (output / name).exists()]
    if foreign and not (ours or resume):
        raise UsageError(
            f"holds {', '.join(foreign)}, which a checkpoint would replace",
            where=str(output),
            remedy="name another folder",
        )
