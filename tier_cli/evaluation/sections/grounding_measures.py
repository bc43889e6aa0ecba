"""Measure whether the patches that resemble a finding lie in its region of the image.

Similarities are used as they are, one per patch, without smoothing: every source pixel has the similarity of
the patch that covers it. Pixels need not be enumerated: each patch is weighted by the number of pixels of the
region, and of the rest of the image, that it covers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tier_cli.maps.patch_grid import patch_edges
from tier_cli.metrics.ranking import Floats, ratio

if TYPE_CHECKING:
    from tier_cli.metrics.statistics import Statistic, Weights


_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Case:
    """One finding in one image: its region, and the similarity of each patch.

    Parameters
    ----------
    similarities
        (P,) one per patch.
    inside
        (P,) source pixels of the region that each patch covers.
    covered
        (P,) source pixels that each patch covers; less than its area if it extends beyond the image's edge.
    region
        Source pixels of the whole region, including what is cropped away.
    hits
        (P,) whether the centre of each patch lies in the region.
    centre
        Whether the centre of the model's view lies in the region.
    """

    similarities: Floats
    inside: Floats
    covered: Floats
    region: float
    hits: NDArray[np.bool_]
    centre: bool

    @property
    def outside(self) -> Floats:
        """(P,) source pixels outside the region that each patch covers."""
        rest = self.covered - self.inside
        # The tiny rest of a patch inside the region is rounding error.
        return np.where(rest > _ROUNDING, rest, 0.0)

    @property
    def visible(self) -> float:
        """The share of the region that lies in the model's view."""
        return float(self.inside.sum()) / self.region


# The overlap (K,) of a case's region with the patches at or above each of K thresholds.
Overlap: TypeAlias = Callable[[Case, ArrayLike], Floats]


def make_case(
    similarities: Floats, region: NDArray[np.bool_], grid: tuple[int, int], side: int, affine: ArrayLike
) -> Case:
    """Lay the patches of a model's input over a region of the source image.

    Parameters
    ----------
    similarities
        (P,) row by row.
    region
        (H, W) in the source image; not empty.
    grid
        Rows and columns of patches; they divide the input evenly.
    side
        Side of the input in pixels.
    affine
        (2, 3) from pixels of the input to pixels of the source image; whole numbers are pixel centres.

    Raises
    ------
    ValueError
        The affine rotates or mirrors, which preprocessing never does.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix[0, 1] or matrix[1, 0] or min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise ValueError("the affine rotates or mirrors; patches need one that only scales and shifts")
    (step_x, _, first_x), (_, step_y, first_y) = matrix
    across = patch_edges(grid[1], side, step_x, first_x)
    down = patch_edges(grid[0], side, step_y, first_y)
    rows, columns = _shares(down, region.shape[0]), _shares(across, region.shape[1])
    inside = rows @ region.astype(np.float64) @ columns.T
    covered = np.outer(rows.sum(axis=1), columns.sum(axis=1))
    hits = _lies_in(region, (down[:-1] + down[1:]) / 2, (across[:-1] + across[1:]) / 2)
    middle = [np.array([(edges[0] + edges[-1]) / 2]) for edges in (down, across)]
    return Case(
        similarities=np.asarray(similarities, dtype=np.float64),
        inside=inside.ravel(),
        covered=covered.ravel(),
        region=float(region.sum()),
        hits=hits.ravel(),
        centre=bool(_lies_in(region, *middle)[0, 0]),
    )


def _shares(edges: Floats, length: int) -> Floats:
    """Return the share of each of `length` pixels between successive edges (cells, length)."""
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(overlap, 0, 1), np.float64)


def _lies_in(region: NDArray[np.bool_], down: Floats, across: Floats) -> NDArray[np.bool_]:
    """Return which points (rows, columns) lie in the region; points outside the image do not."""
    rows, columns = np.floor(down).astype(int), np.floor(across).astype(int)
    there = np.outer((rows >= 0) & (rows < region.shape[0]), (columns >= 0) & (columns < region.shape[1]))
    found = region[np.ix_(rows.clip(0, region.shape[0] - 1), columns.clip(0, region.shape[1] - 1))]
    return np.asarray(found & there, dtype=bool)


def pointing(case: Case) -> float:
    """Play the pointing game: 1 if the most similar patch's centre is in the region, else 0; ties share."""
    best = case.similarities == case.similarities.max()
    return float(case.hits[best].mean())


def inside_auc(case: Case) -> float:
    """Return the AUC of similarity for pixels inside the region against the other pixels in view.

    NaN if the view contains none of the region, or nothing else.
    """
    _, place = np.unique(case.similarities, return_inverse=True)
    of_region, of_rest = (np.bincount(place, weights=areas) for areas in (case.inside, case.outside))
    below = np.cumsum(of_rest) - of_rest / 2
    return float(ratio((of_region * below).sum(), of_region.sum() * of_rest.sum()))


def cnr(case: Case) -> float:
    """Return the contrast-to-noise ratio: difference of means over the root of the summed variances.

    As for MS-CXR (Boecking et al., ECCV 2022), with its sign: below 0 if the region is less similar than the
    rest. NaN as in `inside_auc`, or if all similarities are equal.
    """
    (mean_in, variance_in), (mean_out, variance_out) = (
        _moments(case.similarities, areas) for areas in (case.inside, case.outside)
    )
    spread = np.sqrt(variance_in + variance_out)
    return float((mean_in - mean_out) / spread) if spread > 0 else float("nan")


def _moments(values: Floats, areas: Floats) -> tuple[float, float]:
    total = areas.sum()
    if total <= 0:
        return float("nan"), float("nan")
    mean = float((values * areas).sum() / total)
    return mean, float((areas * (values - mean) ** 2).sum() / total)


def ious(case: Case, thresholds: ArrayLike) -> Floats:
    """Return the intersection over union (K,) of the region and the patches at or above each of K thresholds.

    The cropped-away part of the region counts in the union.
    """
    chosen = case.similarities >= np.atleast_1d(thresholds)[:, None]
    common = chosen @ case.inside
    return common / (chosen @ case.covered + case.region - common)


def dices(case: Case, thresholds: ArrayLike) -> Floats:
    """Return the Dice coefficient (K,) of the region and the patches at or above each of K thresholds.

    The cropped-away part of the region counts as missed.
    """
    chosen = case.similarities >= np.atleast_1d(thresholds)[:, None]
    return np.asarray(2 * (chosen @ case.inside) / (chosen @ case.covered + case.region), np.float64)


def iou_of_view(case: Case) -> float:
    """Return the intersection over union of the region and the whole view: a model that points everywhere."""
    return float(ious(case, [-np.inf])[0])


def dice_of_view(case: Case) -> float:
    """Return the Dice coefficient of the region and the whole view."""
    return float(dices(case, [-np.inf])[0])


def halves(patients: NDArray[np.str_], seed: int = 0) -> tuple[NDArray[np.bool_], ...]:
    """Split the patients of N cases into random halves; return their masks (N,), or none for one patient."""
    keys, of_case = np.unique(patients, return_inverse=True)
    if len(keys) < 2:
        return ()
    order = np.random.default_rng(seed).permutation(len(keys))
    second = np.isin(of_case, order[len(keys) // 2 :])
    return ~second, second


def best_thresholds(
    cases: Sequence[Case], parts: Sequence[NDArray[np.bool_]], overlap: Overlap, candidates: int = 99
) -> Floats:
    """Choose, for each half of the patients, the threshold that is best for the other half.

    Parameters
    ----------
    cases, parts
        N cases, and their `halves`.
    overlap
        What is best: `ious` or `dices`.
    candidates
        Number of thresholds tried, which are quantiles of the similarities.

    Returns
    -------
    (2,) thresholds, that of the first half first; NaN without halves.
    """
    thresholds = np.full(2, np.nan)
    for number, mine in enumerate(parts):
        others = _without(cases, mine)
        pooled = np.concatenate([case.similarities for case in others])
        tried = np.quantile(pooled, (np.arange(candidates) + 0.5) / candidates, method="nearest")
        thresholds[number] = _best(others, tried, overlap)
    return thresholds


def split_overlaps(
    cases: Sequence[Case], parts: Sequence[NDArray[np.bool_]], thresholds: Floats, overlap: Overlap
) -> Floats:
    """Measure N cases, each half at its own threshold; NaN without halves.

    Parameters
    ----------
    cases, parts
        As in `best_thresholds`.
    thresholds
        (2,) one for each half.
    overlap
        `ious` or `dices`.
    """
    values = np.full(len(cases), np.nan)
    for mine, threshold in zip(parts, thresholds, strict=False):
        values[mine] = [overlap(case, threshold)[0] for case in _without(cases, ~mine)]
    return values


def _without(cases: Sequence[Case], part: NDArray[np.bool_]) -> list[Case]:
    return [case for case, here in zip(cases, part, strict=True) if not here]


def _best(cases: Sequence[Case], tried: Floats, overlap: Overlap) -> float:
    return float(tried[np.argmax(np.mean([overlap(case, tried) for case in cases], axis=0))])


def usual_overlaps(
    cases: Sequence[Case], parts: Sequence[NDArray[np.bool_]], overlaps: Sequence[Overlap]
) -> list[Floats]:
    """Segment without looking: the patches that regions of other patients usually cover.

    For each half, a patch counts if the mean share of it that regions of the other half cover reaches a
    threshold, which is the best one for the other half by the first of `overlaps`.

    Returns
    -------
    (N,) values for each of `overlaps`, NaN without halves.
    """
    values = [np.full(len(cases), np.nan) for _ in overlaps]
    for mine in parts:
        others = _without(cases, mine)
        shares = np.mean([case.inside / np.maximum(case.covered, _ROUNDING) for case in others], axis=0)
        threshold = _best([replace(case, similarities=shares) for case in others], shares, overlaps[0])
        here = [replace(case, similarities=shares) for case in _without(cases, ~mine)]
        for one, overlap in zip(values, overlaps, strict=True):
            one[mine] = [overlap(case, threshold)[0] for case in here]
    return values


def usual_place(cases: Sequence[Case], parts: Sequence[NDArray[np.bool_]]) -> Floats:
    """Play the pointing game by always pointing where the finding usually is in other patients.

    Parameters as in `best_thresholds`, result (N,) as in `split_overlaps`: for each half, the patch whose
    centre lies most often in the regions of the other half. No image is used.
    """
    values = np.full(len(cases), np.nan)
    for mine in parts:
        others = _without(cases, mine)
        often = np.mean([case.hits for case in others], axis=0)
        # Regions smaller than a patch may contain no centre: then take the patch that covers most of them.
        share = np.mean([case.inside / case.region for case in others], axis=0)
        best = np.lexsort((share, often))[-1]
        values[mine] = [case.hits[best] for case, here in zip(cases, mine, strict=True) if here]
    return values


def means(values: dict[str, Floats], groups: NDArray[np.intp], count: int) -> Statistic:
    """Return a statistic: the mean of each measure within each group.

    Parameters
    ----------
    values
        (N,) values by measure; NaN = the case does not count for it.
    groups, count
        (N,) the group of each case, and the number of groups.
    """
    member = groups[:, None] == np.arange(count)

    def statistic(weights: Weights) -> dict[str, Floats]:
        found, drawn = {}, np.asarray(weights, dtype=np.float64)
        for name, column in values.items():
            there = member & np.isfinite(column)[:, None]
            sums = drawn @ np.where(there, column[:, None], 0.0)
            found[name] = ratio(sums, drawn @ there.astype(np.float64))
        return found

    return statistic
