"""The options of `tier train` that are about the run; those about what it starts from: `train_data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tier_cli.commands.options import DeviceName
from tier_cli.commands.train import names

_LOSS, _OPTIMISER, _RUN, _MACHINE = "Objective", "Optimiser", "Run", "Machine"

Output = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The checkpoint folder to write; required.", show_default=False),
]
Objective = Annotated[
    names.ObjectiveName,
    typer.Option(help="Softmax over the batch, or a sigmoid a pair (SigLIP).", rich_help_panel=_LOSS),
]
RegWeight = Annotated[
    float | None,
    typer.Option(
        metavar="X", min=0, help="Weight of both entropies.", show_default=False, rich_help_panel=_LOSS
    ),
]
LambdaPatch = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0,
        help="Weight of the patch entropy; 0.2 in the paper.",
        show_default=False,
        rich_help_panel=_LOSS,
    ),
]
LambdaToken = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0,
        help="Weight of the token entropy; 0.1 in the paper.",
        show_default=False,
        rich_help_panel=_LOSS,
    ),
]
EntropyMode = Annotated[
    names.Entropy, typer.Option(help="Leave padding out, or count it as published.", rich_help_panel=_LOSS)
]
ShuffleCaptions = Annotated[
    bool, typer.Option("--shuffle-captions", help="Control: permute the texts.", rich_help_panel=_LOSS)
]
OptimizerName = Annotated[
    names.Optimizer, typer.Option(help="How gradients become steps.", rich_help_panel=_OPTIMISER)
]
LearningRate = Annotated[
    float,
    typer.Option(
        "--learning-rate", "--lr", metavar="X", min=0, help="Of the towers, at its highest.",
        rich_help_panel=_OPTIMISER,
    ),
]  # fmt: skip
HeadRateFactor = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=0,
        help="Projections that start from nothing learn faster.",
        rich_help_panel=_OPTIMISER,
    ),
]
WeightDecay = Annotated[
    float, typer.Option(metavar="X", min=0, help="Not for biases and norms.", rich_help_panel=_OPTIMISER)
]
ScheduleName = Annotated[
    names.Schedule, typer.Option(help="The rate after its warm-up.", rich_help_panel=_OPTIMISER)
]
WarmupShare = Annotated[
    float, typer.Option(metavar="X", min=0, max=1, help="Share of all steps.", rich_help_panel=_OPTIMISER)
]
ClipNorm = Annotated[
    float,
    typer.Option(
        metavar="X", min=0, help="Largest norm of the gradient; 0 = any.", rich_help_panel=_OPTIMISER
    ),
]
AverageDecay = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=0,
        max=0.99999,
        help="Write an average of the weights over steps; 0 = the last step's.",
        rich_help_panel=_OPTIMISER,
    ),
]
Epochs = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="How often --images-per-epoch pairs are drawn.", rich_help_panel=_RUN
    ),
]
ImagesPerEpoch = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Pairs drawn an epoch; as many as there are by default.",
        rich_help_panel=_RUN,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        metavar="N", min=2, help="Pairs contrasted with each other, over all processes.", rich_help_panel=_RUN
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=32, help="Side of the input, pixels; 224, or the checkpoint's.", show_default=False,
        rich_help_panel=_RUN,
    ),
]  # fmt: skip
AugmentationName = Annotated[
    names.Augmentation,
    typer.Option(
        help="Changes of an image at every draw: this project's own, or the published ones.",
        rich_help_panel=_RUN,
    ),
]
CachedViews = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Augmented copies kept of frozen features.", rich_help_panel=_RUN),
]
Features = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep frozen features there.", rich_help_panel=_RUN)
]
Findings = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="The checkpoint's own finding set, and what is watched; nih14, or that of --init.",
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
    names.Keep,
    typer.Option(help="Of a sweep: checkpoints of the best setting, or of all.", rich_help_panel=_RUN),
]
KeepEpochs = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Keep the N best epochs by the watched mean AUC too, as checkpoints in epochs/.",
        rich_help_panel=_RUN,
    ),
]
Seed = Annotated[
    int, typer.Option(metavar="N", help="Of fresh projections, draws and dropout.", rich_help_panel=_RUN)
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the run in --output; start it if there is none.", rich_help_panel=_RUN
    ),
]
SaveSteps = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Save the state so often too.", rich_help_panel=_RUN)
]
SaveMinutes = Annotated[
    float, typer.Option(metavar="X", min=0, help="And after so long, and each epoch.", rich_help_panel=_RUN)
]
Tensorboard = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write events for TensorBoard.", rich_help_panel=_RUN)
]
Device = Annotated[
    DeviceName,
    typer.Option(help="Where it computes; auto: a CUDA GPU where there is one.", rich_help_panel=_MACHINE),
]
PrecisionName = Annotated[names.Precision, typer.Option(help="Of the encoders.", rich_help_panel=_MACHINE)]
Accumulate = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Encode a batch in so many parts; saves memory.",
        show_default=False,
        rich_help_panel=_MACHINE,
    ),
]
MicroBatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="The same, by the size of a part.",
        show_default=False,
        rich_help_panel=_MACHINE,
    ),
]
CheckpointActivations = Annotated[
    bool,
    typer.Option(
        "--checkpoint-activations",
        metavar="",
        help="Compute activations twice; saves memory.",
        rich_help_panel=_MACHINE,
    ),
]
ImagesMode = Annotated[
    names.Images,
    typer.Option(
        metavar="MODE",
        help="memory-map: each image is read once, into a file; stream: at every draw; or auto.",
        rich_help_panel=_MACHINE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Processes that read images; chosen by default.",
        show_default=False,
        rich_help_panel=_MACHINE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="CPU threads; torch's default.", rich_help_panel=_MACHINE),
]
