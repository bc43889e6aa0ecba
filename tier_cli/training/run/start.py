"""What a run starts from: the model with its tokenizer, and the rows of each split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn, tensor

from tier_cli.errors import CheckpointError
from tier_cli.model.losses import OBJECTIVES
from tier_cli.model.modeling import TierModel
from tier_cli.model.tokens import TextTokenizer
from tier_cli.training.data.splits import TRAIN, VALID
from tier_cli.training.loop.freezing import check_freezing
from tier_cli.training.run.record import content_hash

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.losses import Objective
    from tier_cli.training.data.validation_data import Watched
    from tier_cli.training.run.settings import TrainSettings


@dataclass(frozen=True)
class TrainInputs:
    """What a run starts from.

    Parameters
    ----------
    manifest
        The images to train on and to watch, of the splits ``train`` and ``valid``: see `choose_rows`.
    watched
        Other data to watch; None watches the split ``valid``.
    preprocessing
        How images become inputs, in training and in use.
    findings
        The finding set that the checkpoint scores by default.
    init
        Folder of a checkpoint to start from, or None; then `image_tower` and `text_tower` are
    image_tower, text_tower
        folders with starting weights; the text tower's also holds the tokenizer.
    max_bad
        So many unreadable images of the whole run are left out; one more ends it.
    features
        Folder that keeps frozen features for further runs on the same images; None throws them away.
    about
        What the data are, for the record of the run.
    """

    manifest: Manifest
    preprocessing: Preprocessing
    findings: FindingSet
    init: Path | None = None
    image_tower: Path | None = None
    text_tower: Path | None = None
    max_bad: int = 0
    features: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    watched: Watched | None = None

    @property
    def judged_by(self) -> FindingSet:
        """The findings that the watched images are scored for."""
        return self.findings if self.watched is None else self.watched.findings

    @property
    def watched_split(self) -> str | None:
        """What the split of the watched images is called; None where nothing is divided."""
        return VALID if self.watched is None else self.watched.split

    @cached_property
    def rows_hash(self) -> str:
        """Of the manifest: seconds for some hundred thousand rows, so once, also in a sweep."""
        return content_hash(self.manifest)

    @cached_property
    def watched_hash(self) -> str | None:
        """The same of the other data that are watched."""
        return None if self.watched is None else content_hash(self.watched.manifest)


def build_objective(settings: TrainSettings) -> Objective:
    """The objective that the settings name."""
    return OBJECTIVES[settings.objective](settings.lambda_patch, settings.lambda_token, settings.entropy)


def build_model(inputs: TrainInputs, settings: TrainSettings, objective: Objective) -> TierModel:
    """A checkpoint's model, or two towers with fresh projections; what cannot be frozen is refused."""
    scale, bias = math.log(objective.starting_scale), objective.starting_bias
    if inputs.init is not None:
        model = TierModel.from_pretrained(inputs.init)
        _check_patches(model, inputs)
        model.config.entropy = settings.entropy
        if bias is not None and model.logit_bias is None:
            model.config.logit_bias_init = bias
            model.logit_bias = nn.Parameter(tensor(bias))
    else:
        model = TierModel.from_towers(
            inputs.image_tower or "", inputs.text_tower or "", entropy=settings.entropy,
            logit_scale_init=scale, logit_bias_init=bias,
        )  # fmt: skip
        longest = getattr(model.text_tower.config, "max_position_embeddings", model.config.max_tokens)
        model.config.max_tokens = min(model.config.max_tokens, longest)
    check_freezing(model, settings.freeze_image_blocks, settings.freeze_text_layers)
    return model


def _check_patches(model: TierModel, inputs: TrainInputs) -> None:
    """Refuse a tower that classifies without patches, whose entropy is of nothing."""
    side = inputs.preprocessing.crop
    with torch.no_grad():
        grid = model.encode_images(torch.zeros(1, 3, side, side)).grid
    if grid == (0, 0):
        raise CheckpointError(
            f"the image tower '{model.image_tower.config.model_type}' has no grid of patches to train",
            where=str(inputs.init),
            remedy="start from a checkpoint with patches; `tier model info` names its towers",
        )


def tokenizer_folder(inputs: TrainInputs) -> Path:
    """Where the tokenizer lies."""
    return inputs.init or inputs.text_tower or Path()


def build_tokenizer(inputs: TrainInputs, model: TierModel) -> TextTokenizer:
    """The tokenizer of the starting weights, as the model's configuration wants it."""
    return TextTokenizer.of(tokenizer_folder(inputs), model.config.to_dict())


def split_manifest(inputs: TrainInputs) -> tuple[Manifest, Manifest | None]:
    """The rows to train on, and those to watch, where there are any."""
    training = inputs.manifest.split(TRAIN)
    if inputs.watched is not None:
        return training, inputs.watched.manifest
    watched = inputs.manifest.column("split") == VALID
    return training, inputs.manifest.where(watched) if watched.any() else None


def can_compare(inputs: TrainInputs) -> bool:
    """Whether a mean AUC can tell two models apart: some watched finding is both present and absent."""
    _, watched = split_manifest(inputs)
    if watched is None:
        return False
    labels = watched.labels(inputs.judged_by)
    return bool(((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any())
