"""The words that options of `tier train` take."""

from __future__ import annotations

from enum import StrEnum


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


class Augmentation(StrEnum):
    """How images are changed at every draw."""

    STANDARD = "standard"
    PAPER = "paper"


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
