"""The options of `tier train`, by what they are about."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tier_cli.commands.options import DeviceName, ViewsName

_DATA, _START, _LOSS = "Data", "Starting weights", "Objective"
_OPTIMISER, _RUN, _MACHINE = "Optimiser", "Run", "Machine"


class ObjectiveName(StrEnum):
    """What is minimised."""

    TIER = "tier"
    SIGMOID = "sigmoid"


class Entropy(StrEnum):
    """Whether padding takes part in the entropies."""

    MASKED = "masked"
    PAPER = "paper"


class Precision(StrEnum):
    """What the encoders compute in."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Optimizer(StrEnum):
    """How gradients become steps."""

    ADAMW = "adamw"
    ADAM = "adam"


class Schedule(StrEnum):
    """The learning rate after the warm-up."""

    COSINE = "cosine"
    CONSTANT = "constant"


class Images(StrEnum):
    """When images are read."""

    AUTO = "auto"
    MEMORY_MAP = "memory-map"
    STREAM = "stream"


class Keep(StrEnum):
    """Whose checkpoints a sweep keeps."""

    BEST = "best"
    ALL = "all"


class Text(StrEnum):
    """Where texts come from."""

    IMPRESSION = "impression"
    FINDINGS = "findings"
    BOTH = "both"
    LABELS = "labels"


Output = Annotated[
    Path, typer.Option(metavar="DIR", help="The checkpoint folder to write.", show_default=False)
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST.csv",
        help="One row an image: path, patient, split, and text or labels.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="csv, one's own manifest in --data; or mimic-cxr, openi, padchest, nih14, chexpert.",
        rich_help_panel=_DATA,
    ),
]
TextName = Annotated[
    Text | None,
    typer.Option(
        help="What of the reports, impression unless named; labels: captions written from labels.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Views = Annotated[
    ViewsName, typer.Option(help="Train on lateral views too; they are never watched.", rich_help_panel=_DATA)
]
TrainSplit = Annotated[str, typer.Option(metavar="NAME", help="Rows to train on.", rich_help_panel=_DATA)]
ValidSplit = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Rows to watch after each epoch; valid where there is one, else drawn.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
ValidShare = Annotated[
    float,
    typer.Option(
        min=0,
        max=0.9,
        help="Share of the patients to watch where no split is for that.",
        rich_help_panel=_DATA,
    ),
]
SplitSeed = Annotated[int, typer.Option(help="Which patients these are.", rich_help_panel=_DATA)]
MaxBad = Annotated[
    int, typer.Option(min=0, help="So many unreadable images are left out.", rich_help_panel=_DATA)
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help="A checkpoint: both towers, heads, tokenizer, preprocessing.",
        show_default=False,
        rich_help_panel=_START,
    ),
]
ImageTower = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Image encoder: config.json, safetensors.",
        show_default=False,
        rich_help_panel=_START,
    ),
]
TextTower = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Text encoder with its tokenizer.json.",
        show_default=False,
        rich_help_panel=_START,
    ),
]
FreezeImageBlocks = Annotated[
    int,
    typer.Option(
        min=0,
        help="Keep the first blocks as they are; their output is computed once.",
        rich_help_panel=_START,
    ),
]
FreezeTextLayers = Annotated[
    int,
    typer.Option(min=0, help="Keep the first layers and the embeddings as they are.", rich_help_panel=_START),
]
Objective = Annotated[
    ObjectiveName,
    typer.Option(help="Softmax over the batch, or a sigmoid a pair (SigLIP).", rich_help_panel=_LOSS),
]
RegWeight = Annotated[
    float | None,
    typer.Option(min=0, help="Weight of both entropies.", show_default=False, rich_help_panel=_LOSS),
]
LambdaPatch = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Weight of the patch entropy; 0.2 in the paper.",
        show_default=False,
        rich_help_panel=_LOSS,
    ),
]
LambdaToken = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Weight of the token entropy; 0.1 in the paper.",
        show_default=False,
        rich_help_panel=_LOSS,
    ),
]
EntropyMode = Annotated[
    Entropy, typer.Option(help="Leave padding out, or count it as published.", rich_help_panel=_LOSS)
]
ShuffleCaptions = Annotated[
    bool, typer.Option("--shuffle-captions", help="Control: permute the texts.", rich_help_panel=_LOSS)
]
OptimizerName = Annotated[Optimizer, typer.Option(rich_help_panel=_OPTIMISER)]
LearningRate = Annotated[float, typer.Option(min=0, rich_help_panel=_OPTIMISER)]
HeadRateFactor = Annotated[
    float,
    typer.Option(min=0, help="Projections that start from nothing learn faster.", rich_help_panel=_OPTIMISER),
]
WeightDecay = Annotated[
    float, typer.Option(min=0, help="Not for biases and norms.", rich_help_panel=_OPTIMISER)
]
ScheduleName = Annotated[Schedule, typer.Option(rich_help_panel=_OPTIMISER)]
WarmupShare = Annotated[
    float, typer.Option(min=0, max=1, help="Share of all steps.", rich_help_panel=_OPTIMISER)
]
ClipNorm = Annotated[
    float, typer.Option(min=0, help="Largest norm of the gradient; 0 = any.", rich_help_panel=_OPTIMISER)
]
AverageDecay = Annotated[
    float,
    typer.Option(
        min=0,
        max=0.99999,
        help="Write an average of the weights over steps; 0 = the last step's.",
        rich_help_panel=_OPTIMISER,
    ),
]
Epochs = Annotated[int, typer.Option(min=1, rich_help_panel=_RUN)]
ImagesPerEpoch = Annotated[
    int | None,
    typer.Option(min=1, help="Pairs drawn an epoch; as many as there are by default.", rich_help_panel=_RUN),
]
BatchSize = Annotated[
    int,
    typer.Option(min=2, help="Pairs contrasted with each other, over all processes.", rich_help_panel=_RUN),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        min=32, help="Side of the input, pixels; 224, or the checkpoint's.", show_default=False,
        rich_help_panel=_RUN,
    ),
]  # fmt: skip
CachedViews = Annotated[
    int, typer.Option(min=1, help="Augmented copies kept of frozen features.", rich_help_panel=_RUN)
]
Features = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep frozen features there.", rich_help_panel=_RUN)
]
Findings = Annotated[
    str | None,
    typer.Option(
        help="The checkpoint's own finding set; nih14, or that of --init.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
Sweep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SETTING=VALUES",
        help="Try values, e.g. lambda-patch=0:0.25:0.05 or seed=0,1,2; several: all combinations.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
KeepName = Annotated[
    Keep, typer.Option(help="Of a sweep: checkpoints of the best setting, or of all.", rich_help_panel=_RUN)
]
Seed = Annotated[int, typer.Option(rich_help_panel=_RUN)]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the run in --output; start it if there is none.", rich_help_panel=_RUN
    ),
]
SaveSteps = Annotated[
    int | None, typer.Option(min=1, help="Save the state so often too.", rich_help_panel=_RUN)
]
SaveMinutes = Annotated[
    float, typer.Option(min=0, help="And after so long, and each epoch.", rich_help_panel=_RUN)
]
Tensorboard = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write events for TensorBoard.", rich_help_panel=_RUN)
]
Device = Annotated[DeviceName, typer.Option(rich_help_panel=_MACHINE)]
PrecisionName = Annotated[Precision, typer.Option(help="Of the encoders.", rich_help_panel=_MACHINE)]
Accumulate = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Encode a batch in so many parts; saves memory.",
        show_default=False,
        rich_help_panel=_MACHINE,
    ),
]
MicroBatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="The same, by the size of a part.", show_default=False, rich_help_panel=_MACHINE
    ),
]
CheckpointActivations = Annotated[
    bool,
    typer.Option(
        "--checkpoint-activations", help="Compute activations twice; saves memory.", rich_help_panel=_MACHINE
    ),
]
ImagesMode = Annotated[
    Images,
    typer.Option(help="Read each image once into a file, or at every draw.", rich_help_panel=_MACHINE),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Processes that read images; chosen by default.",
        show_default=False,
        rich_help_panel=_MACHINE,
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; torch's default.", rich_help_panel=_MACHINE)
]
