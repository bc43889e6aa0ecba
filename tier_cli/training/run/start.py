"""Build what a run trains: the model, its objective and its tokenizer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn, tensor

from tier_cli.errors import CheckpointError
from tier_cli.model.convert.image_tower import read_image_tower
from tier_cli.model.losses import OBJECTIVES
from tier_cli.model.modeling import TierModel
from tier_cli.model.tokens import TextTokenizer
from tier_cli.training.loop.freezing import check_freezing

if TYPE_CHECKING:
    from tier_cli.model.losses import Objective
    from tier_cli.training.settings import TrainSettings
    from tier_cli.training.train_inputs import TrainInputs


def build_objective(settings: TrainSettings) -> Objective:
    """Return the objective that the settings name."""
    s = settings
    return OBJECTIVES[s.objective](
        s.lambda_patch,
        s.lambda_token,
        s.entropy,
        s.entropy_temperature,
        s.contrast_weight,
        s.prompt_weight,
        s.region_weight,
    )


def build_model(inputs: TrainInputs, settings: TrainSettings, objective: Objective) -> TierModel:
    """Load a checkpoint's model, or build one from two towers; check that its blocks can be frozen."""
    scale, bias = math.log(objective.starting_scale), objective.starting_bias
    if inputs.init is not None:
        model = TierModel.from_pretrained(inputs.init)
        _check_patches(model, inputs)
        model.config.entropy = settings.entropy
        if bias is not None and model.logit_bias is None:
            model.config.logit_bias_init = bias
            model.logit_bias = nn.Parameter(tensor(bias))
    else:
        image = inputs.image_tower or Path()
        model = TierModel.from_towers(
            read_image_tower(image) if image.is_file() else image, inputs.text_tower or "",
            entropy=settings.entropy,
            logit_scale_init=scale, logit_bias_init=bias,
        )  # fmt: skip
        longest = getattr(model.text_tower.config, "max_position_embeddings", model.config.max_tokens)
        model.config.max_tokens = min(model.config.max_tokens, longest)
    check_freezing(model, settings.freeze_image_blocks, settings.freeze_text_layers)
    return model


def _check_patches(model: TierModel, inputs: TrainInputs) -> None:
    """Check that the image tower has patches: without them there is no entropy to train."""
    if patch_grid(model, inputs.preprocessing.crop) == (0, 0):
        raise CheckpointError(
            f"the image tower '{model.image_tower.config.model_type}' has no grid of patches to train",
            where=str(inputs.init),
            remedy="start from a checkpoint with patches; `tier model info` names its towers",
        )


def patch_grid(model: TierModel, side: int, device: torch.device | None = None) -> tuple[int, int]:
    """Return the rows and columns of patches of a square input; (0, 0) for a tower without patches."""
    training = model.training
    model.eval()
    with torch.no_grad():
        grid = model.encode_images(torch.zeros(1, 3, side, side, device=device)).grid
    model.train(training)
    return grid


def build_tokenizer(inputs: TrainInputs, model: TierModel) -> TextTokenizer:
    """Load the tokenizer of the starting weights for the model's configuration."""
    return TextTokenizer.of(inputs.tokenizer_folder, model.config.to_dict())
