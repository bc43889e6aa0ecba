"""Does the model look where the finding is: similarities of patches against a region of the image.

Similarities are taken as they are, one a patch: every source pixel has the similarity of the patch that
covers it. So pixels need not be listed, for areas say the same: the measures weigh each patch by how many
pixels of the region, and of the rest of the image, it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tier_cli.metrics.ranking import Floats, ratio

if TYPE_CHECKING:
    from tier_cli.metrics.statistics import Statistic, Weights


_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Case:
    """One finding in one image: where it is, and what the model sees where.

    Parameters
    ----------
    similarities
        (P,) one a patch.
    inside
        (P,) source pixels of the region that each patch covers.
    covered
        (P,) source pixels that each patch covers; less than its area where it reaches over the image's edge.
    region
        Source pixels of the whole region, what is cropped away included.
    hits
        (P,) whether the centre of each patch lies in the region.
    centre
        Whether the centre of what the model sees lies in the region.
    """

    similarities: Floats
    inside: Floats
    covered: Floats
    region: float
    hits: NDArray[np.bool_]
    centre: bool

    @property
    def outside(self) -> Floats:
        """(P,) source pixels beside the region that each patch covers."""
        rest = self.covered - self.inside
        # What is left of a patch that lies in the region is rounding.
        return np.where(rest > _ROUNDING, rest, 0.0)

    @property
    def visible(self) -> float:
        """The share of the region that the model sees."""
        return float(self.inside.sum()) / self.region


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
        Rows and columns of patches, which divide the input evenly.
    side
        Side of the input in pixels.
    affine
        (2, 3) from a pixel of the input to the source image's, whole numbers being pixel centres.

    Raises
    ------
    ValueError
        An affine that turns or mirrors: preparing an image does neither.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix[0, 1] or matrix[1, 0] or min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise ValueError("patches can only be laid over an image that is neither turned nor mirrored")
    (step_x, _, first_x), (_, step_y, first_y) = matrix
    across = _edges(grid[1], side, step_x, first_x)
    down = _edges(grid[0], side, step_y, first_y)
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


def _edges(count: int, side: int, step: float, first: float) -> Floats:
    """Where patches begin and end in the source (count + 1,); pixel k reaches from k to k + 1."""
    return (np.arange(count + 1) * side / count - 0.5) * step + first + 0.5


def _shares(edges: Floats, length: int) -> Floats:
    """How much of each of `length` pixels lies between two edges that follow each other (cells, length)."""
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(overlap, 0, 1), np.float64)


def _lies_in(region: NDArray[np.bool_], down: Floats, across: Floats) -> NDArray[np.bool_]:
    """Whether points lie in the region (rows, columns); outside the image is outside."""
    rows, columns = np.floor(down).astype(int), np.floor(across).astype(int)
    there = np.outer((rows >= 0) & (rows < region.shape[0]), (columns >= 0) & (columns < region.shape[1]))
    found = region[np.ix_(rows.clip(0, region.shape[0] - 1), columns.clip(0, region.shape[1] - 1))]
    return np.asarray(found & there, dtype=bool)


def pointing(case: Case) -> float:
    """The pointing game: 1 where the centre of the best patch lies in the region, else 0; ties share."""
    best = case.similarities == case.similarities.max()
    return float(case.hits[best].mean())


def inside_auc(case: Case) -> float:
    """AUC of the similarities of the pixels in the region against those of the others the model sees.

    NaN where the model sees none of the region, or nothing else.
    """
    _, place = np.unique(case.similarities, return_inverse=True)
    of_region, of_rest = (np.bincount(place, weights=areas) for areas in (case.inside, case.outside))
    below = np.cumsum(of_rest) - of_rest / 2
    return float(ratio((of_region * below).sum(), of_region.sum() * of_rest.sum()))


def cnr(case: Case) -> float:
    """Contrast-to-noise ratio: the difference of means by the root of the summed variances.

    As for MS-CXR (Boecking et al., ECCV 2022), with its sign: below 0 where the model likes the region less
    than the rest. NaN as in `inside_auc`, or where all similarities are the same.
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
    """Intersection over union (K,) of the region and the patches of at least each of K thresholds.

    What is cropped away of the region counts in the union.
    """
    chosen = case.similarities >= np.atleast_1d(thresholds)[:, None]
    common = chosen @ case.inside
    return common / (chosen @ case.covered + case.region - common)


def iou_of_view(case: Case) -> float:
    """Intersection over union of the region and all that the model sees: what pointing everywhere gives."""
    return float(ious(case, [-np.inf])[0])


def halves(patients: NDArray[np.str_], seed: int = 0) -> tuple[NDArray[np.bool_], ...]:
    """Put the patients of N cases into two halves by chance: masks (N,) of each; none for one patient."""
    keys, of_case = np.unique(patients, return_inverse=True)
    if len(keys) < 2:
        return ()
    order = np.random.default_rng(seed).permutation(len(keys))
    second = np.isin(of_case, order[len(keys) // 2 :])
    return ~second, second


def split_ious(
    cases: Sequence[Case], parts: Sequence[NDArray[np.bool_]], candidates: int = 99
) -> tuple[Floats, Floats]:
    """Intersection over union at the best threshold, chosen on other patients.

    Each half is measured at the threshold that is best for the other half, among quantiles of the
    similarities there.

    Parameters
    ----------
    cases, parts
        N cases, and their `halves`.
    candidates
        Thresholds tried.

    Returns
    -------
    (N,) values and (2,) thresholds, that of the first half first; NaN without halves.
    """
    values, thresholds = np.full(len(cases), np.nan), np.full(2, np.nan)
    for number, mine in enumerate(parts):
        others = [case for case, here in zip(cases, mine, strict=True) if not here]
        pooled = np.concatenate([case.similarities for case in others])
        tried = np.quantile(pooled, (np.arange(candidates) + 0.5) / candidates, method="nearest")
        thresholds[number] = tried[np.argmax(np.mean([ious(case, tried) for case in others], axis=0))]
        values[mine] = [
            ious(case, thresholds[number])[0] for case, here in zip(cases, mine, strict=True) if here
        ]
    return values, thresholds


def usual_place(cases: Sequence[Case], parts: Sequence[NDArray[np.bool_]]) -> Floats:
    """The pointing game of always pointing where the finding mostly is in other patients.

    Parameters and result (N,) as of `split_ious`: for each half the patch whose centre most often lies in the
    regions of the other half. No image is looked at.
    """
    values = np.full(len(cases), np.nan)
    for mine in parts:
        others = [case for case, here in zip(cases, mine, strict=True) if not here]
        often = np.mean([case.hits for case in others], axis=0)
        # Regions smaller than a patch may hold no centre: then the patch that covers most of them.
        share = np.mean([case.inside / case.region for case in others], axis=0)
        best = np.lexsort((share, often))[-1]
        values[mine] = [case.hits[best] for case, here in zip(cases, mine, strict=True) if here]
    return values


def means(values: dict[str, Floats], groups: NDArray[np.intp], count: int) -> Statistic:
    """Give the mean of each measure within each group, for resampling.

    Parameters
    ----------
    values
        (N,) a measure by name; NaN = the case is left out of it.
    groups, count
        (N,) the group of each case, and how many groups there are.
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
