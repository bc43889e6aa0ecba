"""Measure the patches of one model in one pass over the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.evaluation.figures.measures import (
    above_median,
    entropy,
    hoyer,
    profile,
    relative_importance,
    share_above,
    softmax,
)
from tier_cli.evaluation.figures.patient_means import PatientMeans, groups_of
from tier_cli.evaluation.figures.regions import InRegions, RegionSums
from tier_cli.maps.similarity import similarities

if TYPE_CHECKING:
    from tier_cli.evaluation.figures.question import Asked, Question
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.sections.grounding_cases import Target
    from tier_cli.maps.similarity import PatchMap
    from tier_cli.metrics.bootstrap import Estimate
    from tier_cli.metrics.ranking import Floats
    from tier_cli.pipeline.scorer import Scorer
    from tier_cli.pipeline.stream import StreamOptions

# Measures of how similarities are spread, in the order of `Measured.spread`.
SPREAD = ("patch_entropy", "token_entropy", "hoyer", "share_above_0.1", "hoyer_above_median")


@dataclass(frozen=True, eq=False)
class Rows:
    """The N images.

    Parameters
    ----------
    paths, patients
        (N,) file and patient of each.
    findings
        Ids of the finding set.
    targets
        (N,) their regions by finding.
    """

    paths: Sequence[str]
    patients: NDArray[np.str_]
    findings: Sequence[str]
    targets: Sequence[Sequence[Target]]

    def patients_of(self, images: NDArray[np.bool_]) -> int:
        """Count the patients of some images (N,)."""
        return len(np.unique(self.patients[images]))


@dataclass(frozen=True, eq=False)
class Measured:
    """What one model's patches show.

    Parameters
    ----------
    name
        How figures call the model.
    grid
        Rows and columns of its patches, P in all.
    images
        (N,) which images were compared with something.
    patients
        Number of their patients.
    pairs
        Images, or pairs of image and finding, that were compared.
    positive_pairs, positive_patients
        Those whose total similarity is above 0, and their patients.
    profile, weight
        Estimates (P,) of the similarity, and of P times the softmax weight, of the patch at each rank.
    importance
        Estimate (P,) of P times the relative importance at each rank, over `positive_pairs`.
    spread
        Estimate (5,) of the `SPREAD`; NaN where it does not apply.
    regions
        Inside against outside regions; None without regions.
    left_out
        Counts of images that could not be used, by reason.
    """

    name: str
    grid: tuple[int, int]
    images: NDArray[np.bool_]
    patients: int
    pairs: int
    positive_pairs: int
    positive_patients: int
    profile: Estimate
    weight: Estimate
    importance: Estimate
    spread: Estimate
    regions: InRegions | None
    left_out: Counter[str]


def grid_of_model(member: Scorer) -> tuple[int, int]:
    """Return rows and columns of a model's patches.

    Raises
    ------
    CheckpointError
        Its image tower has no grid of patches.
    """
    from tier_cli.pipeline.encode import patches_at

    return patches_at(member.engine, member.checkpoint.preprocessing.crop)


def measure_model(
    name: str,
    member: Scorer,
    rows: Rows,
    question: Question,
    options: StreamOptions,
    how: Resampling,
    tick: Callable[[], object] = lambda: None,
) -> Measured:
    """Compare the patches of every image with its text or findings, and with its regions.

    Only sums by patient are kept.

    Parameters
    ----------
    name, member
        The model.
    rows, question
        The images, and what their patches are compared with.
    options, how
        How images are read, and how intervals are made.
    tick
        Called once per image.

    Raises
    ------
    CheckpointError
        The image tower has no grid of patches.
    """
    from tier_cli.pipeline.encode import patch_maps

    grid = grid_of_model(member)
    groups = groups_of(rows.patients)
    sums = _Sums(groups, grid[0] * grid[1])
    regions = None
    if any(rows.targets):
        regions = RegionSums(member, rows.findings, rows.targets, rows.patients, groups)
    left_out: Counter[str] = Counter()
    with closing(patch_maps(rows.paths, member, options, tick)) as maps:
        for row, (seen, asked) in enumerate(zip(maps, question.of_images(member), strict=True)):
            if isinstance(seen, InputError):
                left_out[seen.kind] += 1
                continue
            if regions is not None:
                regions.add(row, seen)
            if not sums.add(row, seen, asked):
                left_out["not_finite"] += 1
    return Measured(
        name=name,
        grid=grid,
        images=sums.profile.images,
        patients=rows.patients_of(sums.profile.images),
        pairs=int(sums.profile.rows[0]),
        positive_pairs=int(sums.importance.rows[0]),
        positive_patients=rows.patients_of(sums.importance.images),
        profile=sums.profile.estimate(how),
        weight=sums.weight.estimate(how),
        importance=sums.importance.estimate(how),
        spread=sums.spread.estimate(how),
        regions=None if regions is None else regions.result(how),
        left_out=left_out,
    )


class _Sums:
    """Collect the similarities of one model's patches to texts or findings."""

    def __init__(self, groups: NDArray[np.intp], patches: int):
        self._patches = patches
        self.profile, self.weight, self.importance = (PatientMeans(groups, patches) for _ in range(3))
        self.spread = PatientMeans(groups, len(SPREAD))

    def add(self, row: int, seen: PatchMap, asked: Asked) -> bool:
        """Add an image; return whether its similarities are finite."""
        if not len(asked.whole):
            return True
        whole = similarities(seen.patches, asked.whole)
        parts = similarities(seen.patches, asked.parts)
        if not (np.isfinite(whole).all() and np.isfinite(parts).all()):
            return False
        self.profile.add(row, profile(whole))
        self.weight.add(row, profile(softmax(whole)) * self._patches)
        self.importance.add(row, relative_importance(whole) * self._patches)
        if len(parts):
            self.spread.add(row, _spread(parts, with_tokens=asked.parts is not asked.whole)[None])
        return True


def _spread(parts: Floats, with_tokens: bool) -> Floats:
    """Return the `SPREAD` of the similarities (T, P) of one image: means over tokens or patches."""
    above = above_median(parts)
    return np.array(
        [
            entropy(parts, axis=1).mean(),
            entropy(parts, axis=0).mean() if with_tokens else np.nan,
            np.nanmean(hoyer(parts)) if parts.any() else np.nan,
            share_above(parts).mean(),
            np.nanmean(hoyer(above)) if above.any() else np.nan,
        ]
    )
