"""How well images find their reports, and reports their images: ranks, recall and what chance would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.metrics.ranking import Floats, ratio
from tier_cli.metrics.statistics import Statistic, Weights

if TYPE_CHECKING:
    from tier_cli.evaluation.units import Units

    Vectors = NDArray[np.float32]
    Numbers = NDArray[np.intp]

RANKS = (1, 5, 10)
PRECISIONS = (5, 10)
# Similarities held at a time: bounds memory at some tens of megabytes.
_CELLS = 4_000_000


@dataclass(frozen=True)
class Relevant:
    """Which of a gallery each query is to find.

    Parameters
    ----------
    starts, members
        (Q + 1,) and (E,): those of query q are `members[starts[q] : starts[q + 1]]`, at least one.
    gallery
        G, how many there are to choose from.
    """

    starts: Numbers
    members: Numbers
    gallery: int

    @property
    def counts(self) -> Numbers:
        """How many are right, a query (Q,)."""
        return np.diff(self.starts)

    @classmethod
    def of(cls, pairs: NDArray[np.intp], queries: int, gallery: int) -> Relevant:
        """Make it from (query, member) pairs (E, 2), in any order and maybe repeated."""
        unique = np.unique(pairs, axis=0)
        starts = np.searchsorted(unique[:, 0], np.arange(queries + 1))
        return cls(starts, unique[:, 1], gallery)


@dataclass(frozen=True)
class Pairing:
    """Which images and reports belong together: those of one study, and with it all of the same wording.

    Parameters
    ----------
    texts
        The T distinct reports, runs of white space as one space.
    by_image
        For each image (N,) the texts of its study; images without any must have been left out.
    by_text
        For each text (T,) the images of the studies that have it.
    queries
        (Q, 2) a study and a text of it: each report once a study.
    shared
        Texts of more than one study.
    """

    texts: tuple[str, ...]
    by_image: Relevant
    by_text: Relevant
    queries: NDArray[np.intp]
    shared: int


def pair_up(texts: Sequence[str], studies: Units) -> Pairing:
    """Pair images with reports.

    Parameters
    ----------
    texts
        One an image (N,); blank where its study has the text elsewhere.
    studies
        The study of each image, numbered from 0.
    """
    plain = [" ".join(text.split()) for text in texts]
    distinct = tuple(dict.fromkeys(text for text in plain if text))
    numbers = {text: number for number, text in enumerate(distinct)}
    rows = np.array([row for row, text in enumerate(plain) if text], np.intp)
    own = np.array([numbers[plain[row]] for row in rows], np.intp)
    queries = np.unique(np.stack([studies.index[rows], own], axis=1), axis=0)
    pairs = _images_and_texts(studies.index, queries)
    return Pairing(
        distinct,
        Relevant.of(pairs, len(plain), len(distinct)),
        Relevant.of(pairs[:, ::-1], len(distinct), len(plain)),
        queries,
        int((np.bincount(queries[:, 1], minlength=len(distinct)) > 1).sum()),
    )


def _images_and_texts(study_of: NDArray[np.intp], queries: NDArray[np.intp]) -> NDArray[np.intp]:
    """From (study, text) pairs, sorted by study, to (image, text) pairs."""
    first = np.searchsorted(queries[:, 0], study_of, side="left")
    count = np.searchsorted(queries[:, 0], study_of, side="right") - first
    images = np.repeat(np.arange(len(study_of)), count)
    within = np.arange(len(images)) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([images, queries[np.repeat(first, count) + within, 1]], axis=1)


def ranks(queries: Vectors, gallery: Vectors, relevant: Relevant) -> NDArray[np.intp]:
    """Rank of the first right member of the gallery for each query (Q,), from 1.

    Members that are right but not the best of these are passed over; wrong ones that are as near count as
    nearer, so that a model that says the same of everything finds nothing.

    Parameters
    ----------
    queries, gallery
        (Q, D) and (G, D); nearer is a larger product.
    relevant
        What is right.
    """
    found = np.empty(len(queries), np.intp)
    size = max(1, _CELLS // max(1, len(gallery)))
    for first in range(0, len(queries), size):
        last = min(first + size, len(queries))
        near = queries[first:last] @ gallery.T
        members = relevant.members[relevant.starts[first] : relevant.starts[last]]
        rows = np.repeat(np.arange(last - first), relevant.counts[first:last])
        best = np.full(last - first, -np.inf, near.dtype)
        np.maximum.at(best, rows, near[rows, members])
        near[rows, members] = -np.inf
        found[first:last] = 1 + (near >= best[:, None]).sum(axis=1)
    return found


def finding_ranks(places: NDArray[np.intp]) -> Statistic:
    """Give ``recall`` at each of `RANKS` (R, 3) and ``median_rank`` (R, 1) of queries of ranks (Q,)."""
    found = (places[:, None] <= np.array(RANKS)).astype(np.float64)
    order = np.argsort(places, kind="stable")
    ascending = places[order]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        each = np.asarray(weights, np.float64)
        total = each.sum(axis=1, keepdims=True)
        reached = np.cumsum(each[:, order], axis=1)
        # As of the ranks themselves, each as often as its weight says: the mean of the two in the middle.
        low = ascending[np.minimum((reached < total / 2).sum(axis=1), len(ascending) - 1)]
        high = ascending[np.minimum((reached <= total / 2).sum(axis=1), len(ascending) - 1)]
        return {"recall": ratio(each @ found, total), "median_rank": ((low + high) / 2)[:, None]}

    return statistic


def chance(relevant: NDArray[np.intp], gallery: int) -> tuple[list[float], int]:
    """Give recall at each of `RANKS` and the median rank of queries whose gallery is shuffled.

    Parameters
    ----------
    relevant
        (Q,) how many members are right, a query.
    gallery
        How many there are.

    Notes
    -----
    None of the first r is right with probability prod_{j<r} (G - R - j) / (G - j), as drawn without
    replacement. The median is the least rank by which half of all queries have found something.
    """
    counts, times = np.unique(relevant, return_counts=True)
    missed = np.zeros(gallery + 1)
    for count, share in zip(counts.tolist(), (times / times.sum()).tolist(), strict=True):
        drawn = np.arange(gallery)
        steps = np.maximum(gallery - count - drawn, 0) / (gallery - drawn)
        missed += share * np.concatenate([[1.0], np.cumprod(steps)])
    recalls = [float(1 - missed[min(rank, gallery)]) for rank in RANKS]
    return recalls, int(np.argmax(missed <= 0.5 + 1e-12))


def precisions(labels: Floats, scores: Floats) -> Statistic:
    """Give ``precision@K`` (R, F) for each of `PRECISIONS`: the share of 1 among the K highest scores.

    Parameters
    ----------
    labels
        (N, F) 1, 0, anything else = row left out for that finding.
    scores
        (N, F), NaN = row left out for that finding. NaN where fewer than K rows are there.
    """
    sides = []
    for label, score in zip(labels.T, scores.T, strict=True):
        rows = np.flatnonzero(((label == 0) | (label == 1)) & np.isfinite(score))
        rows = rows[np.argsort(-score[rows], kind="stable")]
        sides.append((rows, label[rows]))

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        return {
            f"precision@{k}": np.stack([_precision(weights, *side, k) for side in sides], axis=1)
            for k in PRECISIONS
        }

    return statistic


def _precision(weights: Weights, rows: NDArray[np.intp], labels: Floats, k: int) -> Floats:
    """Share of 1 among the first K rows (R,), a row taken as often as its weight says."""
    size = 4 * k
    while True:
        each = np.take(weights, rows[:size], axis=1).astype(np.float64)
        before = np.cumsum(each, axis=1) - each
        taken = np.clip(k - before, 0, each)
        total = taken.sum(axis=1)
        # All that are needed are usually among the first few: the others are not looked at.
        if size >= len(rows) or (total >= k).all():
            return ratio(taken @ labels[:size], np.where(total >= k, total, 0))
        size *= 4
