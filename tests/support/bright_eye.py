"""Build checkpoints that see one thing: set to see how bright each patch is, or trained to see lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tiny import tiny_config, tiny_model, tiny_tokenizer

from tier_cli.imaging.preprocess import Preprocessing, prepare

if TYPE_CHECKING:
    from tier_cli.model.modeling import TierModel
    from tier_cli.pipeline.scoring_job import ScoringJob

WIDTH = 12
# A grid of 7 x 7 patches of 8 pixels.
PREPROCESSING = Preprocessing(resize_short=64, crop=56, mean=(0, 0, 0), std=(1, 1, 1))
_VIT = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 56,
    "patch_size": 8,
}


def open_eye(folder: Path, model: TierModel) -> ScoringJob:
    """Write a model as a checkpoint and open it, with one finding along the first axis, not the second."""
    from tier_cli.findings.load import builtin
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.model import checkpoint as names
    from tier_cli.model.save import save_weights
    from tier_cli.pipeline.scoring_job import ScoringJob, open_job

    # Without graphs, which take seconds to trace.
    tiny_tokenizer(folder)
    save_weights(folder, model)
    names.write_json(folder / names.PREPROCESSING, PREPROCESSING.to_dict())
    (folder / names.FINDINGS).write_text(builtin("chexpert5").to_toml(), encoding="utf-8")
    names.write_checksums(folder)
    job = open_job(str(folder), "bright spot", engine="torch", device="cpu")
    axes = np.eye(WIDTH, dtype=np.float32)
    (member,) = job.members
    return ScoringJob((replace(member, vectors=FindingVectors(axes[:1], axes[1:2])),), job.findings)


def bright_model() -> TierModel:
    """Return a model whose patch embeddings are (brightness, 1, 0, ...)."""
    import torch

    model = tiny_model()
    ones = ("running_var", "normalization.weight", "norm.weight")
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.startswith("image") and tensor.is_floating_point():
                tensor.fill_(1.0 if name.endswith(ones) else 0.0)
        tower: Any = model.image_tower
        head: Any = model.image_projection
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


def trained_model(pictures: Sequence[NDArray[np.float32]], labels: Sequence[int], epochs: int) -> TierModel:
    """Train a ViT on labels of whole pictures (H, W); it is never told where a lesion is.

    Patches of a CNN may learn to stand for what is beside them: the mean over all of them is the same.
    """
    import torch
    from torch.nn import functional

    from tier_cli.model.configuration import TierConfig
    from tier_cli.model.modeling import TierModel

    pixels = torch.from_numpy(np.stack([prepare(one, PREPROCESSING).pixels for one in pictures]))
    wanted = torch.tensor(labels, dtype=torch.float32)
    axes = torch.eye(WIDTH)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TierModel(TierConfig(_VIT, tiny_config().text_tower, projection_dim=WIDTH, max_tokens=80))
        model.train()
        seen = [tensor for name, tensor in model.named_parameters() if name.startswith("image")]
        optimiser = torch.optim.AdamW(seen, lr=3e-3)
        for _ in range(epochs):
            for batch in torch.randperm(len(pixels)).chunk(len(pixels) // 32):
                pooled = functional.normalize(model.encode_images(pixels[batch]).pooled, dim=-1)
                scores = pooled @ (axes[0] - axes[1])
                loss = functional.binary_cross_entropy_with_logits(10 * scores, wanted[batch])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    model.eval()
    return model
