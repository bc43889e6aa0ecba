"""Compute ranks, recall and chance levels of retrieval between images and reports."""

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
# Similarities held at a time: limits memory to some tens of megabytes.
_CELLS = 4_000_000


@dataclass(frozen=True)
class Relevant:
    """The relevant members of a gallery for each query.

    Parameters
    ----------
    starts, members
        (Q + 1,) and (E,): query q has `members[starts[q] : starts[q + 1]]`, at least one.
    gallery
        G, the number of candidates.
    """

    starts: Numbers
    members: Numbers
    gallery: int

    @property
    def counts(self) -> Numbers:
        """(Q,) the number of relevant members per query."""
        return np.diff(self.starts)

    @classmethod
    def of(cls, pairs: NDArray[np.intp], queries: int, gallery: int) -> Relevant:
        """Build from (query, member) pairs (E, 2), in any order, possibly repeated."""
        unique = np.unique(pairs, axis=0)
        starts = np.searchsorted(unique[:, 0], np.arange(queries + 1))
        return cls(starts, unique[:, 1], gallery)


@dataclass(frozen=True)
class Pairing:
    """The matching images and reports: those of one study, and reports with the same words.

    Parameters
    ----------
    texts
        The T distinct reports, with runs of white space replaced by one space.
    by_image
        For each of N images, the texts of its study; images without any must have been left out.
    by_text
        For each of T texts, the images of the studies that have it.
    queries
        (Q, 2) a study and one of its texts: each report once per study.
    shared
        The number of texts that several studies have.
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
        (N,) one per image; blank if another image of its study carries the text.
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
    """Turn (study, text) pairs, sorted by study, into (image, text) pairs."""
    first = np.searchsorted(queries[:, 0], study_of, side="left")
    count = np.searchsorted(queries[:, 0], study_of, side="right") - first
    images = np.repeat(np.arange(len(study_of)), count)
    within = np.arange(len(images)) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([images, queries[np.repeat(first, count) + within, 1]], axis=1)


def ranks(queries: Vectors, gallery: Vectors, relevant: Relevant) -> NDArray[np.intp]:
    """Return the rank (Q,), from 1, of each query's first relevant member of the gallery.

    Other relevant members are skipped. Irrelevant ones with the same similarity count as nearer, so that a
    model that embeds everything alike finds nothing.

    Parameters
    ----------
    queries, gallery
        (Q, D) and (G, D); a larger product is nearer.
    relevant
        The relevant members.
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
    """Return a statistic of ranks (Q,): ``recall`` at each of `RANKS` (R, 3) and ``median_rank`` (R, 1)."""
    found = (places[:, None] <= np.array(RANKS)).astype(np.float64)
    order = np.argsort(places, kind="stable")
    ascending = places[order]

    def statistic(weights: Weights) -> Mapping[str, Floats]:
        each = np.asarray(weights, np.float64)
        total = each.sum(axis=1, keepdims=True)
        reached = np.cumsum(each[:, order], axis=1)
        # The median of the ranks, each repeated by its weight: the mean of the two in the middle.
        low = ascending[np.minimum((reached < total / 2).sum(axis=1), len(ascending) - 1)]
        high = ascending[np.minimum((reached <= total / 2).sum(axis=1), len(ascending) - 1)]
        return {"recall": ratio(each @ found, total), "median_rank": ((low + high) / 2)[:, None]}

    return statistic


def chance(relevant: NDArray[np.intp], gallery: int) -> tuple[list[float], int]:
    """Return recall at each of `RANKS` and the median rank for a shuffled gallery.

    Parameters
    ----------
    relevant
        (Q,) the number of relevant members per query.
    gallery
        G, the number of candidates.

    Notes
    -----
    None of the first r is relevant with probability prod_{j<r} (G - R - j) / (G - j), drawing without
    replacement. The median is the smallest rank by which half of all queries have a hit.
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
    """Return a statistic: ``precision@K`` (R, F) for `PRECISIONS`, the share of 1 among the K highest scores.

    It is NaN if there are fewer than K rows.

    Parameters
    ----------
    labels
        (N, F) 1, 0, anything else = row left out for that finding.
    scores
        (N, F), NaN = row left out for that finding.
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
    """Return the share of 1 among the first K rows (R,), each row repeated by its weight."""
    size = 4 * k
    while True:
        each = np.take(weights, rows[:size], axis=1).astype(np.float64)
        before = np.cumsum(each, axis=1) - each
        taken = np.clip(k - before, 0, each)
        total = taken.sum(axis=1)
        # The first few rows usually suffice: more are read only if needed.
        if size >= len(rows) or (total >= k).all():
            return ratio(taken @ labels[:size], np.where(total >= k, total, 0))
        size *= 4
