"""What a training run is told: one frozen record, written into the checkpoint as it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run.

    Parameters
    ----------
    lambda_patch, lambda_token
        Weights of the two entropies (paper: 0.2 and 0.1).
    entropy
        ``masked`` or ``paper``: whether padding takes part in the entropies.
    epochs, images_per_epoch
        An epoch draws this many images; None draws as many as there are.
    batch_size
        Pairs that are contrasted with each other.
    learning_rate, head_rate_factor, weight_decay, warmup_share
        AdamW with a cosine schedule; the projections, which start from nothing, learn faster by the factor.
    average_decay
        The shipped weights are an exponential average over steps with this decay; 0 ships the last step's.
    freeze_image_blocks
        Blocks at the start of the image tower that stay as they are; their output is computed once.
    cached_views
        Augmented copies of each image kept when blocks are frozen.
    freeze_text_layers
        Layers at the start of the text tower that stay as they are, with the embeddings.
    precision
        ``fp32``, or ``bf16`` for autocast in both encoders; the objective is always computed in fp32.
    shuffle_captions
        Control: captions are permuted among the images, so that there is nothing to learn.
    """

    lambda_patch: float = 0.2
    lambda_token: float = 0.1
    entropy: str = "masked"
    epochs: int = 10
    images_per_epoch: int | None = None
    batch_size: int = 64
    learning_rate: float = 2e-4
    head_rate_factor: float = 3.0
    weight_decay: float = 1e-2
    warmup_share: float = 0.05
    average_decay: float = 0.995
    freeze_image_blocks: int = 0
    cached_views: int = 6
    freeze_text_layers: int = 4
    precision: str = "fp32"
    seed: int = 0
    shuffle_captions: bool = False
