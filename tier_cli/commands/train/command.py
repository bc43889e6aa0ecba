"""`tier train`: train a TIER model on image-text pairs."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from tier_cli.commands.evaluate.options import Root
from tier_cli.commands.options import DeviceName, ViewsName
from tier_cli.commands.train import data_options as source
from tier_cli.commands.train import names
from tier_cli.commands.train import options as given
from tier_cli.commands.train.command_line import command_line
from tier_cli.commands.train.inputs import check_comparable, check_watched, collect_inputs
from tier_cli.commands.train.sweep import read_axes, run_sweep
from tier_cli.errors import UsageError


def train(
    context: typer.Context,
    data: source.Data = None,
    dataset: source.Dataset = "csv",
    output: given.Output = None,
    root: Root = None,
    text: source.TextName = None,
    views: source.Views = ViewsName.ALL,
    train_split: source.TrainSplit = "train",
    valid_split: source.ValidSplit = None,
    valid_data: source.ValidData = None,
    valid_dataset: source.ValidDataset = None,
    valid_root: source.ValidRoot = None,
    valid_share: source.ValidShare = 0.1,
    split_seed: source.SplitSeed = 0,
    max_bad: source.MaxBad = 0,
    init: source.Init = None,
    image_tower: source.ImageTower = None,
    text_tower: source.TextTower = None,
    freeze_image_blocks: source.FreezeImageBlocks = 0,
    freeze_text_layers: source.FreezeTextLayers = None,
    objective: given.Objective = names.ObjectiveName.TIER,
    reg_weight: given.RegWeight = None,
    lambda_patch: given.LambdaPatch = None,
    lambda_token: given.LambdaToken = None,
    entropy: given.EntropyMode = names.Entropy.MASKED,
    shuffle_captions: given.ShuffleCaptions = False,
    optimizer: given.OptimizerName = names.Optimizer.ADAMW,
    learning_rate: given.LearningRate = 3e-4,
    head_rate_factor: given.HeadRateFactor = 3.0,
    weight_decay: given.WeightDecay = 1e-2,
    schedule: given.ScheduleName = names.Schedule.COSINE,
    warmup_share: given.WarmupShare = 0.05,
    clip_norm: given.ClipNorm = 1.0,
    average_decay: given.AverageDecay = 0.995,
    epochs: given.Epochs = 10,
    images_per_epoch: given.ImagesPerEpoch = None,
    batch_size: given.BatchSize = 64,
    image_size: given.ImageSize = None,
    augmentation: given.AugmentationName = names.Augmentation.STANDARD,
    cached_views: given.CachedViews = 6,
    features: given.Features = None,
    findings: given.Findings = None,
    keep_epochs: given.KeepEpochs = 0,
    seed: given.Seed = 0,
    sweep: given.Sweep = None,
    keep: given.KeepName = names.Keep.BEST,
    resume: given.Resume = False,
    save_steps: given.SaveSteps = None,
    save_minutes: given.SaveMinutes = 10.0,
    tensorboard: given.Tensorboard = None,
    device: given.Device = DeviceName.AUTO,
    precision: given.PrecisionName = names.Precision.FP32,
    accumulate: given.Accumulate = None,
    micro_batch_size: given.MicroBatchSize = None,
    checkpoint_activations: given.CheckpointActivations = False,
    images: given.ImagesMode = names.Images.AUTO,
    workers: given.Workers = None,
    threads: given.Threads = None,
) -> None:
    """Train a TIER model on image-text pairs and write a checkpoint folder.

    The objective: contrastive loss plus entropies of token-patch similarities
    (Palepu & Beam, MLHC 2023).

    Data with labels and no reports train on captions written from them.
    Test splits are left alone; no patient is both trained on and watched.

    Many GPUs: torchrun --no-python --nproc-per-node 8 tier train ...
    """
    if data is None and dataset == "csv":
        raise UsageError(
            "no data was given",
            remedy="give --data MANIFEST.csv (columns path, patient, split, and text or labels), or "
            "--dataset mimic-cxr --root FOLDER, or draw synthetic chests with "
            "`tier data phantom DIR --count 2000` and give --data DIR/manifest.csv",
        )
    if output is None or not output.name:
        raise UsageError(
            "where is the checkpoint to go?", where="--output", remedy="name a folder; it is made if need be"
        )
    _check_start(init, image_tower, text_tower, image_size)
    if accumulate is not None and micro_batch_size is not None:
        raise UsageError(
            "say the same thing", where="--accumulate, --micro-batch-size", remedy="give one of them"
        )
    # Batches of a sweep may differ in size: each is cut by itself.
    parts = _parts(batch_size, accumulate, None if sweep else micro_batch_size)
    _check_output(output, resume, bool(sweep))
    axes = read_axes(sweep or [])
    if axes and keep_epochs:
        raise UsageError(
            "a sweep keeps whole runs", where="--keep-epochs", remedy="run its best setting again with it"
        )
    elsewhere = check_watched(context, valid_data, valid_dataset, valid_root)
    from tier_cli.training.data.rows import open_training_data
    from tier_cli.training.data.splits import SplitChoice
    from tier_cli.training.run.run import train as run
    from tier_cli.training.settings import RunOptions, TrainSettings

    both = (0.2, 0.1) if reg_weight is None else (reg_weight, reg_weight)
    settings = TrainSettings(
        objective=objective.value,
        lambda_patch=both[0] if lambda_patch is None else lambda_patch,
        lambda_token=both[1] if lambda_token is None else lambda_token,
        entropy=entropy.value,
        epochs=epochs,
        images_per_epoch=images_per_epoch,
        batch_size=batch_size,
        accumulate=parts,
        optimizer=optimizer.value,
        learning_rate=learning_rate,
        head_rate_factor=head_rate_factor,
        weight_decay=weight_decay,
        schedule=schedule.value,
        warmup_share=warmup_share,
        clip_norm=clip_norm,
        average_decay=average_decay,
        freeze_image_blocks=freeze_image_blocks,
        augmentation=augmentation.value,
        cached_views=cached_views,
        freeze_text_layers=_frozen_layers(freeze_text_layers, init, text_tower),
        checkpoint_activations=checkpoint_activations,
        precision=precision.value,
        seed=seed,
        shuffle_captions=shuffle_captions,
    )
    run_options = RunOptions(
        device=device.value,
        workers=workers,
        images=images.value,
        resume=resume,
        save_steps=save_steps,
        save_minutes=save_minutes,
        tensorboard=tensorboard,
        keep_epochs=keep_epochs,
        command=command_line(context),
    )
    inputs = collect_inputs(
        start=(init, image_tower, text_tower),
        image_size=image_size,
        findings=findings,
        manifest=open_training_data(dataset, data, root, None if text is None else text.value),
        dataset=dataset,
        choice=SplitChoice(train_split, valid_split, valid_share, split_seed, views.value),
        elsewhere=elsewhere,
        max_bad=max_bad,
        features=features,
    )
    if keep_epochs:
        check_comparable(inputs)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    from tier_cli.display.training_progress import display, stopping, summarise

    if axes:
        run_sweep(inputs, settings, run_options, output, axes, keep.value == "all", micro_batch_size, context)
        return
    with stopping(output) as stop, display() as progress:
        record = run(inputs, settings, run_options, output, progress, stop)
    summarise(record, output)


def _check_start(
    init: str | None, image_tower: Path | None, text_tower: Path | None, image_size: int | None
) -> None:
    if init is None and (image_tower is None or text_tower is None):
        raise UsageError(
            "no starting weights were given",
            where="--init, --image-tower, --text-tower",
            remedy="name a checkpoint with --init, or two folders with config.json and safetensors, one with "
            "tokenizer.json too",
        )
    if init is None:
        return
    for option, value in (
        ("--image-tower", image_tower),
        ("--text-tower", text_tower),
        ("--image-size", image_size),
    ):
        if value is not None:
            raise UsageError(
                "the checkpoint of --init has its own", where=option, remedy="leave one of the two out"
            )


def _frozen_layers(given: int | None, init: str | None, text_tower: Path | None) -> int:
    if given is not None:
        return given
    from tier_cli.training.loop.freezing import usually_frozen

    return usually_frozen(init, text_tower)


def _parts(batch_size: int, accumulate: int | None, micro_batch_size: int | None) -> int:
    """How many parts each process cuts its batch into."""
    if micro_batch_size is None:
        return accumulate or 1
    from tier_cli.training.settings import parts_of

    # Set by torchrun.
    return parts_of(batch_size // int(os.environ.get("WORLD_SIZE", "1")), micro_batch_size)


_REPLACED = ("README.md", "config.json", "tokenizer.json", "findings.toml", "training.json")


def _check_output(output: Path, resume: bool, sweep: bool) -> None:
    # Whether a checkpoint is that of this very run, and over, is known when the data are.
    over = (output / "model.safetensors").exists() and not sweep
    there = (output / "model.safetensors").exists() or (output / "epochs").exists()
    if there and not (resume and (over or (output / ".training").exists())):
        raise UsageError("holds a checkpoint already", where=str(output), remedy="name another folder")
    # A run that ended early may be started over in its folder; nobody else's files are replaced.
    ours = any((output / name).exists() for name in (".training", "points", "metrics.jsonl"))
    foreign = [name for name in _REPLACED if (output / name).exists()]
    if foreign and not (ours or resume):
        raise UsageError(
            f"holds {', '.join(foreign)}, which a checkpoint would replace",
            where=str(output),
            remedy="name another folder",
        )
