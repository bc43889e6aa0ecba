"""Declare the options of `tier train`; types, defaults and bounds come from the settings of the library."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from tier_cli.commands.options import known_dataset
from tier_cli.datasets.registry import CSV, trainable_names
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.training.settings import Keep, RunOptions, SplitChoice, Text, TrainSettings, bounds, within

_Settings = TypeVar("_Settings")


@dataclass(frozen=True)
class Arguments:
    """Options that are not settings of the library, or whose default depends on other options."""

    data: Path | None = None
    dataset: str = CSV
    output: Path | None = None
    root: Path | None = None
    text: Text | None = None
    soft_labels: Path | None = None
    valid_data: Path | None = None
    valid_dataset: str | None = None
    valid_root: Path | None = None
    init: str | None = None
    image_tower: Path | None = None
    text_tower: Path | None = None
    image_size: int | None = within(32, default=None)
    findings: str | None = None
    reg_weight: float | None = within(0, default=None)
    lambda_patch: float | None = None
    lambda_token: float | None = None
    freeze_text_layers: int | None = None
    accumulate: int | None = None
    micro_batch_size: int | None = within(1, default=None)
    threads: int | None = within(1, default=None)
    sweep: list[str] | None = None
    keep: Keep = "best"


_DATA, _START, _LOSS, _OPTIMISER, _RUN, _MACHINE = (
    "Data", "Starting weights", "Objective", "Optimiser", "Run", "Machine"
)  # fmt: skip

# Option: panel of the help, placeholder of the value (choices and flags need none), help. In the order of the
# help and of the recorded command.
_OPTIONS: Mapping[str, tuple[str | None, str | None, str]] = {
    "data": (_DATA, "MANIFEST.csv", "One row per image: path, patient, split, and text or labels."),
    "dataset": (
        _DATA,
        "NAME",
        f"Data set: csv for a manifest given with --data, or one of {', '.join(trainable_names())}.",
    ),
    "output": (None, "DIR", "New checkpoint folder to write; required."),
    "root": (
        _DATA,
        "FOLDER",
        "Folder of the data set (TIER_DATA_ROOT); with --data, the folder its paths are relative to.",
    ),
    "text": (
        _DATA,
        "PART",
        "Texts to train on: impression, findings or both sections of the reports, or labels for captions"
        " written from labels. Default: the unchanged texts of a manifest, the impressions of a data set.",
    ),
    "views": (_DATA, None, "Train on all views or frontal ones only; validation uses frontal views."),
    "train_split": (_DATA, "NAME", "Split to train on."),
    "valid_split": (
        _DATA,
        "NAME",
        "Split to validate on after each epoch. Default: valid, or drawn patients if there is none.",
    ),
    "soft_labels": (
        _DATA,
        "FILE.csv",
        "Probabilities of findings, one row per image, that --prompt-weight compares scores with instead of"
        " the labels.",
    ),
    "valid_data": (
        _DATA,
        "MANIFEST.csv",
        "Validate on these images of other patients instead of a part of the training data.",
    ),
    "valid_dataset": (
        _DATA,
        "NAME",
        "Like --valid-data, with a public data set such as chexpert and its own finding set.",
    ),
    "valid_root": (
        _DATA,
        "FOLDER",
        "Folder of --valid-dataset (TIER_DATA_ROOT); with --valid-data, the folder of its relative paths.",
    ),
    "valid_share": (_DATA, "X", "Share of the patients to draw for validation if there is no split for it."),
    "split_seed": (_DATA, "N", "Seed for drawing the validation patients."),
    "max_bad": (_DATA, "N", "Leave out up to N unreadable images per run."),
    "init": (
        _START,
        "NAME|DIR",
        "Checkpoint to start from, with both towers, heads, tokenizer and preprocessing;"
        f" {DEFAULT_MODEL} if no tower is named either.",
    ),
    "image_tower": (
        _START,
        "DIR|FILE",
        "Image encoder: a folder (config.json, safetensors), or the file of EVA-X or Ark+.",
    ),
    "text_tower": (_START, "DIR", "Folder of a text encoder with its tokenizer.json."),
    "freeze_image_blocks": (_START, "N", "Freeze the first N blocks; their output is computed once."),
    "freeze_text_layers": (
        _START,
        "N",
        "Freeze the embeddings and the first N layers. Default: 4, or all but two of a smaller tower.",
    ),
    "objective": (_LOSS, None, "Softmax over the batch, or a sigmoid per pair (SigLIP)."),
    "reg_weight": (_LOSS, "X", "Weight of both entropies."),
    "lambda_patch": (_LOSS, "X", "Weight of the patch entropy; 0.2 in the paper."),
    "lambda_token": (_LOSS, "X", "Weight of the token entropy; 0.1 in the paper."),
    "entropy": (_LOSS, None, "Leave padding out of the entropies, or count it as published."),
    "entropy_temperature": (
        _LOSS,
        "X",
        "Divides the cosines in the softmax of the entropies; 1 in the paper.",
    ),
    "contrast_weight": (_LOSS, "X", "Weight of the contrast of images and texts; 1 in the paper."),
    "prompt_weight": (
        _LOSS,
        "X",
        "Weight of a term that compares zero-shot scores with the labels of the images; 0 in the paper.",
    ),
    "region_weight": (
        _LOSS,
        "X",
        "Weight of a term that compares the patches that are like a finding with the boxes and masks of the"
        " finding; 0 in the paper.",
    ),
    "prompts_per_finding": (
        _LOSS,
        "N",
        "Positive and negative prompts per finding that the prompt term draws and averages at each step.",
    ),
    "prompt_steps": (
        _LOSS,
        "N",
        "Steps in which the text tower first learns from the prompts alone which of them state the same.",
    ),
    "partners": (
        _LOSS,
        None,
        "Texts that count as partners of an image: its own, or all that the labels support.",
    ),
    "shuffle_captions": (_LOSS, None, "Control: permute the texts among the images."),
    "optimizer": (_OPTIMISER, None, "Optimisation algorithm."),
    "learning_rate": (_OPTIMISER, "X", "Peak learning rate of the towers."),
    "head_rate_factor": (_OPTIMISER, "X", "Factor on the learning rate of fresh projections."),
    "weight_decay": (_OPTIMISER, "X", "Weight decay, except for biases and norms."),
    "schedule": (_OPTIMISER, None, "Learning rate after the warm-up."),
    "warmup_share": (_OPTIMISER, "X", "Share of all steps for the warm-up."),
    "clip_norm": (_OPTIMISER, "X", "Largest norm of the gradient; 0 does not clip."),
    "average_decay": (
        _OPTIMISER,
        "X",
        "Decay of the moving average of the weights, which is written; 0 writes those of the last step.",
    ),
    "epochs": (_RUN, "N", "Number of epochs, each of --images-per-epoch pairs."),
    "images_per_epoch": (_RUN, "N", "Pairs drawn per epoch. Default: as many as there are."),
    "batches_from": (_RUN, None, "What the images of a batch share: nothing (all), the source, or the view."),
    "batch_size": (_RUN, "N", "Pairs contrasted with each other, over all processes."),
    "image_size": (_RUN, "N", "Side of the input in pixels. Default: that of --init, else 224."),
    "augmentation": (
        _RUN,
        None,
        "Augmentation at every draw: this project's (standard), or that of the paper.",
    ),
    "cached_views": (_RUN, "N", "Augmented copies of each image whose frozen features are kept."),
    "features": (_RUN, "DIR", "Keep frozen features in this folder."),
    "findings": (
        _RUN,
        "SET",
        "Finding set of the checkpoint and of validation. Default: that of --init, else nih14.",
    ),
    "keep_epochs": (
        _RUN,
        "N",
        "Also keep the N epochs with the highest mean validation AUC, as checkpoints in epochs/.",
    ),
    "seed": (_RUN, "N", "Seed of fresh projections, draws and dropout."),
    "equal_start": (
        _RUN,
        None,
        "Start the projections equally for all seeds, to average their weights later.",
    ),
    "sweep": (
        _RUN,
        "SETTING=VALUES",
        "Train with each value, e.g. lambda-patch=0:0.25:0.05 or seed=0,1,2; repeat for all combinations.",
    ),
    "keep": (_RUN, None, "Keep the checkpoints of a sweep's best setting, or of all settings."),
    "resume": (_RUN, None, "Continue the run in --output; start it if there is none."),
    "save_steps": (_RUN, "N", "Also save the state every N steps."),
    "save_minutes": (_RUN, "X", "Save the state every X minutes, and after each epoch."),
    "tensorboard": (_RUN, "DIR", "Write events for TensorBoard to this folder."),
    "device": (_MACHINE, None, "Device; auto uses a CUDA GPU if there is one."),
    "precision": (_MACHINE, None, "Number format of the encoders' arithmetic."),
    "accumulate": (_MACHINE, "N", "Encode a batch in N parts; saves memory."),
    "micro_batch_size": (_MACHINE, "N", "Like --accumulate, in images per part."),
    "checkpoint_activations": (_MACHINE, "", "Recompute activations in the backward pass; saves memory."),
    "images": (
        _MACHINE,
        "MODE",
        "Read images once into a file (memory-map) or at every draw (stream); auto chooses.",
    ),
    "workers": (_MACHINE, "N", "Processes that read images. Default: chosen automatically."),
    "threads": (_MACHINE, "N", "CPU threads. Default: chosen by torch."),
}
_NAMES = {"learning_rate": ("--learning-rate", "--lr")}
_CALLBACKS = {"dataset": known_dataset, "valid_dataset": known_dataset}


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let Typer see all options as parameters of a command that takes them as keyword arguments."""
    types: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    limits: dict[str, tuple[float, float | None]] = {}
    for settings in (SplitChoice, TrainSettings, RunOptions, Arguments):
        types |= get_type_hints(settings)
        defaults |= {f.name: f.default for f in fields(settings)}
        limits |= bounds(settings)
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults[name],
            annotation=Annotated[types[name], _option(name, types[name], *limits.get(name, (None, None)))],
        )
        for name in _OPTIONS
    ]
    command.__dict__["__signature__"] = inspect.Signature([context, *parameters])
    return command


def _option(name: str, kind: Any, least: float | None, most: float | None) -> Any:
    panel, metavar, text = _OPTIONS[name]
    # A flag: without a name of its own it would get a --no- form.
    flag = (f"--{name.replace('_', '-')}",) if kind is bool else ()
    return typer.Option(
        *_NAMES.get(name, flag),
        metavar=metavar,
        help=text,
        min=least,
        max=most,
        callback=_CALLBACKS.get(name),
        rich_help_panel=panel,
    )


def collect(settings: type[_Settings], options: Mapping[str, Any], **others: Any) -> _Settings:
    """Build settings from the options of the same names; `others` replace or add to these.

    An option without a value leaves the default of its setting.
    """
    names = {f.name for f in fields(settings)}  # type: ignore[arg-type]
    given = {name: value for name, value in options.items() if name in names and value is not None}
    return settings(**given | others)
