"""`tier train`: train a TIER model on image-text pairs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tier_cli.console import tell
from tier_cli.errors import UsageError


class Entropy(StrEnum):
    """Whether padding takes part in the entropies."""

    MASKED = "masked"
    PAPER = "paper"


class Precision(StrEnum):
    """What the encoders compute in."""

    FP32 = "fp32"
    BF16 = "bf16"


_DATA, _START, _LOSS, _RUN = "Data", "Starting weights", "Objective", "Run"


def train(
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="The checkpoint folder to write.", show_default=False)
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST.csv",
            help="One row an image: path, patient, split, and text or labels.",
            show_default=False,
            rich_help_panel=_DATA,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Where relative paths start; the manifest's folder by default.", rich_help_panel=_DATA
        ),
    ] = None,
    train_split: Annotated[str, typer.Option(help="Rows to train on.", rich_help_panel=_DATA)] = "train",
    valid_split: Annotated[
        str, typer.Option(help="Rows to watch after each epoch; never trained on.", rich_help_panel=_DATA)
    ] = "valid",
    max_bad: Annotated[
        int, typer.Option(min=0, help="So many unreadable images are left out.", rich_help_panel=_DATA)
    ] = 0,
    image_tower: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Image encoder: config.json, safetensors.", rich_help_panel=_START),
    ] = None,
    text_tower: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Text encoder with its tokenizer.json.", rich_help_panel=_START),
    ] = None,
    freeze_image_blocks: Annotated[
        int,
        typer.Option(
            min=0,
            help="Keep the first blocks as they are; their output is computed once.",
            rich_help_panel=_START,
        ),
    ] = 0,
    freeze_text_layers: Annotated[
        int,
        typer.Option(
            min=0, help="Keep the first layers and the embeddings as they are.", rich_help_panel=_START
        ),
    ] = 4,
    reg_weight: Annotated[
        float | None,
        typer.Option(min=0, help="Weight of both entropies.", show_default=False, rich_help_panel=_LOSS),
    ] = None,
    lambda_patch: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Weight of the patch entropy; 0.2 in the paper.",
            show_default=False,
            rich_help_panel=_LOSS,
        ),
    ] = None,
    lambda_token: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Weight of the token entropy; 0.1 in the paper.",
            show_default=False,
            rich_help_panel=_LOSS,
        ),
    ] = None,
    entropy: Annotated[
        Entropy, typer.Option(help="Leave padding out, or count it as published.", rich_help_panel=_LOSS)
    ] = Entropy.MASKED,
    shuffle_captions: Annotated[
        bool, typer.Option("--shuffle-captions", help="Control: permute the texts.", rich_help_panel=_LOSS)
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, rich_help_panel=_RUN)] = 10,
    images_per_epoch: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pairs drawn an epoch; as many as there are by default.", rich_help_panel=_RUN
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, rich_help_panel=_RUN)] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, rich_help_panel=_RUN)] = 3e-4,
    image_size: Annotated[
        int, typer.Option(min=32, help="Side of the input, pixels.", rich_help_panel=_RUN)
    ] = 224,
    cached_views: Annotated[
        int, typer.Option(min=1, help="Augmented copies kept of frozen features.", rich_help_panel=_RUN)
    ] = 6,
    features: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep frozen features there.", rich_help_panel=_RUN)
    ] = None,
    findings: Annotated[
        str, typer.Option(help="The checkpoint's own finding set.", rich_help_panel=_RUN)
    ] = "nih14",
    precision: Annotated[Precision, typer.Option(rich_help_panel=_RUN)] = Precision.FP32,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; torch's default.", rich_help_panel=_RUN)
    ] = None,
    seed: Annotated[int, typer.Option(rich_help_panel=_RUN)] = 0,
) -> None:
    """Train a TIER model on image-text pairs and write a checkpoint folder.

    The objective: contrastive loss plus entropies of token-patch similarities
    (Palepu & Beam, MLHC 2023).

    A manifest with labels and no reports trains on captions written from them.

    It computes on CPU.
    """
    if data is None:
        raise UsageError(
            "no data was given",
            where="--data",
            remedy="give a CSV manifest with columns path, patient, split and text, or labels in its place",
        )
    if image_tower is None or text_tower is None:
        raise UsageError(
            "no starting weights were given",
            where="--image-tower, --text-tower",
            remedy="name two folders with config.json and safetensors, one with tokenizer.json too",
        )
    if output.exists() and (output / "model.safetensors").exists():
        raise UsageError("holds a checkpoint already", where=str(output), remedy="name another folder")
    from tier_cli.findings.load import load_findings
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.training.run import TrainInputs
    from tier_cli.training.run import train as run
    from tier_cli.training.settings import TrainSettings

    both = (0.2, 0.1) if reg_weight is None else (reg_weight, reg_weight)
    settings = TrainSettings(
        lambda_patch=both[0] if lambda_patch is None else lambda_patch,
        lambda_token=both[1] if lambda_token is None else lambda_token,
        entropy=entropy.value,
        epochs=epochs,
        images_per_epoch=images_per_epoch,
        batch_size=batch_size,
        learning_rate=learning_rate,
        freeze_image_blocks=freeze_image_blocks,
        cached_views=cached_views,
        freeze_text_layers=freeze_text_layers,
        precision=precision.value,
        seed=seed,
        shuffle_captions=shuffle_captions,
    )
    inputs = TrainInputs(
        manifest=data,
        root=root,
        train_split=train_split,
        valid_split=valid_split,
        image_tower=image_tower,
        text_tower=text_tower,
        # The paper's proportion: short side 256, crop 224.
        preprocessing=Preprocessing(resize_short=round(image_size * 8 / 7), crop=image_size),
        findings=load_findings(findings),
        max_bad=max_bad,
        features=features,
    )
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    with _display() as progress:
        record = run(inputs, settings, output, progress)
    _summarise(record, output)


def _display() -> Any:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    @contextmanager
    def shown() -> Any:
        with Progress(*columns, console=Console(stderr=True)) as bars:
            tasks: dict[str, Any] = {}

            def progress(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done, total=total)

            yield progress

    return shown()


def _summarise(record: dict[str, Any], output: Path) -> None:
    validation = record.get("validation", {})
    if "mean_auc" in validation:
        tell(f"Validation: mean zero-shot AUC {validation['mean_auc']:.3f} on {validation['images']} images.")
    tell(f"Wrote {output} after {record['seconds']} s of training.")
