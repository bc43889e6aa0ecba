"""Fit an input check on chest X-rays alone, and write it into a copy of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.decoding.decode import Settings
from tier_cli.decoding.prefetch import decoded
from tier_cli.errors import InputError, ManifestError
from tier_cli.imaging.discover import Source
from tier_cli.model.copying import checkpoint_copy, write_card_section
from tier_cli.pipeline.input_checks import check_key, undo_each
from tier_cli.pipeline.stream import batch_size_of, workers_of
from tier_cli.progress import Progress, no_progress
from tier_cli.scoring.adaptation import unit
from tier_cli.scoring.input_check import INPUT_CHECK, Gaussian, InputCheck, write_input_check

if TYPE_CHECKING:
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.pipeline.stream import StreamOptions

Floats = NDArray[np.float64]

# The fewest images that distributions are fitted on, and that limits are set on.
MIN_IMAGES = 50
# Chests of other hospitals lie further out than those of the hospital fitted on.
_MARGIN = 1.6
# The share of turned and inverted chests that the limit of the ratio catches where it can.
_CAUGHT = 0.95


@dataclass(frozen=True, eq=False)
class Chests:
    """Embeddings of chests as they are, and of each of them turned or inverted.

    Parameters
    ----------
    plain, altered
        (N, D) each, of length 1.
    unreadable
        The number of images that could not be read.
    """

    plain: Floats
    altered: Floats
    unreadable: int = 0


def embed_chests(
    paths: Sequence[str], scorer: Scorer, options: StreamOptions, progress: Progress = no_progress
) -> Chests:
    """Embed images as they are and altered: turned by 90, 180 or 270 degrees or inverted, in turn."""
    spec = scorer.checkpoint.preprocessing
    size = max(1, batch_size_of(options, scorer.engine) // 2)
    sources = (Source(path) for path in paths)
    plain: list[NDArray[np.float32]] = []
    altered: list[NDArray[np.float32]] = []
    with (
        closing(decoded(sources, Settings.of(options.read, spec), workers_of(options), size)) as outcomes,
        progress(len(paths), "Embedding images") as tick,
    ):
        while group := list(islice(outcomes, size)):
            images = [image.pixels for _, image in group if not isinstance(image, InputError)]
            if images:
                # Undoing what was not done is how images are altered.
                others = [
                    list(undo_each(image, spec).values())[(len(plain) + number) % 4]
                    for number, image in enumerate(images)
                ]
                pooled = scorer.encode(np.stack([*images, *others]))
                plain += list(pooled[: len(images)])
                altered += list(pooled[len(images) :])
            for _ in group:
                tick()
    unreadable = len(paths) - len(plain)
    if not plain:
        raise ManifestError(
            "no image could be read", remedy="check --root, or try `tier classify` on one of the images"
        )
    return Chests(unit(np.stack(plain)), unit(np.stack(altered)), unreadable)


def fit_input_check(chests: Chests, others: Chests, passing: float) -> InputCheck:
    """Fit both distributions on `chests`, and set the limits on `others`, which are of other patients.

    The limit of the distance is the one that the share `passing` of the others does not exceed, times a
    margin for other hospitals. The limit of the ratio is the most lenient one that still catches 95 % of the
    altered others, but never lower than the one that the share `passing` of the others does not exceed.

    Raises
    ------
    ManifestError
        If there are too few images.
    """
    for images in (chests, others):
        if len(images.plain) < MIN_IMAGES:
            raise ManifestError(
                f"{len(images.plain)} images are too few to fit an input check",
                remedy=f"provide at least {MIN_IMAGES} readable images in each of both splits",
            )
    near = _gaussian(chests.plain)
    broad = _gaussian(np.concatenate([chests.plain, chests.altered]))

    def ratios(images: Floats) -> Floats:
        ratio: Floats = near.distance(images) / broad.distance(images)
        return ratio

    distance = _MARGIN * _reached(near.distance(others.plain), passing)
    ratio = max(_reached(ratios(others.plain), passing), _reached(ratios(others.altered), 1 - _CAUGHT))
    return InputCheck(near, broad, distance, ratio)


def _reached(values: Floats, share: float) -> float:
    return float(np.quantile(values, share, method="higher"))


def _gaussian(images: Floats) -> Gaussian:
    """Fit a normal distribution with the shrinkage of Ledoit and Wolf (2004)."""
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(images)
    return Gaussian(fitted.location_, np.linalg.cholesky(fitted.precision_))


def shares(check: InputCheck, others: Chests) -> dict[str, float]:
    """Return the share of the chests that the limits were set on that pass, and of altered ones caught."""
    return {
        "passing": round(float((check.score(others.plain) <= 1).mean()), 4),
        "altered_caught": round(float((check.score(others.altered) > 1).mean()), 4),
    }


def write_checked(checkpoint: Checkpoint, output: Path, check: InputCheck, facts: Mapping[str, Any]) -> None:
    """Copy a checkpoint folder to `output` and add the input check and a section of the model card."""
    with checkpoint_copy(checkpoint.path, output, leave_out=[INPUT_CHECK]) as folder:
        write_input_check(folder, check, check_key(checkpoint), facts)
        write_card_section(folder, "Input check", card(facts))


def card(facts: Mapping[str, Any]) -> str:
    """Return the section of the model card, in Markdown."""
    fitted, limit = facts["fitted_on"], facts["limit_on"]
    return (
        "This checkpoint can tell frontal chest X-rays from other images, by the distance of their "
        f"embeddings from those of {fitted['images']} chests (split {fitted['split']}). The limits were set "
        f"on {limit['images']} chests of other patients (split {limit['split']}): {facts['passing']:.1%} of "
        f"them pass, and {facts['altered_caught']:.1%} are caught when turned or inverted. These shares are "
        "too good by construction, and chests of other hospitals are caught more often: measure both on your "
        "own images."
    )
