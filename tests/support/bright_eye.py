"""Build a checkpoint that sees one thing: how bright each patch is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tiny import tiny_model, tiny_tokenizer

if TYPE_CHECKING:
    from tier_cli.model.modeling import TierModel
    from tier_cli.pipeline.scoring_job import ScoringJob

SIDE = 56


def bright_eye(folder: Path) -> ScoringJob:
    """Write the checkpoint and open it, with one finding that resembles bright patches; the grid is 7 x 7."""
    from tier_cli.findings.load import builtin
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.checkpoint import FINDINGS, PREPROCESSING, write_checksums, write_json
    from tier_cli.model.save import save_weights
    from tier_cli.pipeline.scoring_job import ScoringJob, open_job

    # Without graphs, which take seconds to trace.
    tiny_tokenizer(folder)
    save_weights(folder, _model())
    plain = Preprocessing(resize_short=64, crop=SIDE, mean=(0, 0, 0), std=(1, 1, 1))
    write_json(folder / PREPROCESSING, plain.to_dict())
    (folder / FINDINGS).write_text(builtin("chexpert5").to_toml(), encoding="utf-8")
    write_checksums(folder)
    job = open_job(str(folder), "bright spot", engine="torch", device="cpu")
    axes = np.eye(12, dtype=np.float32)
    (member,) = job.members
    return ScoringJob((replace(member, vectors=FindingVectors(axes[:1], axes[1:2])),), job.findings)


def _model() -> TierModel:
    """Return a model whose patch embeddings are (brightness, 1, 0, ...)."""
    import torch

    model = tiny_model()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.startswith("image") and tensor.is_floating_point():
                tensor.fill_(
                    1.0 if name.endswith(("running_var", "normalization.weight", "norm.weight")) else 0
                )
        tower, head = model.image_tower, model.image_projection
        first = tower.embedder.embedder
        first.convolution.weight[0] = 1 / first.convolution.weight[0].numel()
        first.normalization.bias[1] = 1
        # The first stage adds nothing to its input; in the second the shortcut is nothing, and the layers
        # average the two by two cells in the middle of a patch.
        halves, same = (part.convolution.weight for part in tower.encoder.stages[1].layers[0].layer)
        for channel in (0, 1):
            halves[channel, channel, 1:, 1:] = 1 / 4
            same[channel, channel, 1, 1] = 1
            head.conv_in.weight[channel, channel] = head.conv_out.weight[channel, channel] = 1
    return model
