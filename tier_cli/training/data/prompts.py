"""Draw the prompts that labelled images are compared with."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.captions import phrases
from tier_cli.training.seeds import PROMPT, derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.findings.schema import Finding
    from tier_cli.training.data.labels import TrainingRows
    from tier_cli.training.data.pairs import Pairs

    Rows = NDArray[np.int64]

# More findings than this take turns: their prompts would cost more than the images.
_MOST_FINDINGS = 32
_SMALLEST_SHARE = 1e-3


@dataclass(frozen=True)
class Prompts:
    """Prompts of the findings with known labels, and the labels of the images.

    Parameters
    ----------
    findings
        The findings that some image has a known label of.
    values
        (N, F) labels of these findings: 1, 0, a probability, or NaN where unknown or uncertain.
    weights
        (N,) how often each row is drawn.
    count
        How many prompts of each kind are drawn per finding and step.
    seed
        Seed of the draws.
    """

    findings: tuple[Finding, ...]
    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    count: int
    seed: int

    @classmethod
    def of(cls, rows: TrainingRows, pairs: Pairs, count: int, seed: int) -> Prompts:
        """Return the prompts for training rows.

        Parameters
        ----------
        rows
            The rows with their labels, and the probabilities that take the place of some.
        pairs
            The pairs of these rows: which labels each row has, and how often it is drawn.
        count, seed
            As for the class.
        """
        values = rows.targets()[pairs.order]
        known = rows.compared()
        kept = tuple(finding for finding, use in zip(rows.findings.findings, known, strict=True) if use)
        return cls(kept, values[:, known], pairs.weights, count, seed)

    @cached_property
    def prior(self) -> NDArray[np.float32]:
        """The log odds (F,) of the findings among the images that are drawn, bounded where all agree."""
        drawn = self.weights[:, None] * ~np.isnan(self.values)
        share = (drawn * np.nan_to_num(self.values)).sum(0) / np.maximum(drawn.sum(0), 1e-12)
        bounded = share.clip(_SMALLEST_SHARE, 1 - _SMALLEST_SHARE)
        return np.asarray(np.log(bounded / (1 - bounded)), dtype=np.float32)

    def draw(self, step: int, purpose: int = PROMPT) -> tuple[list[str], NDArray[np.int64]]:
        """Return the prompts of a step and the columns (F,) they belong to.

        Per finding, `count` positive prompts are followed by `count` negative ones. Half of them are prompts
        that scoring uses; the others are further phrases of known findings.
        """
        draws = random.Random(derive(self.seed, purpose, step))
        findings = len(self.findings)
        columns = sorted(draws.sample(range(findings), min(findings, _MOST_FINDINGS)))
        texts = []
        for column in columns:
            finding = self.findings[column]
            for own, more in zip((finding.positive, finding.negative), phrases(finding.id), strict=True):
                for _ in range(self.count):
                    texts.append(draws.choice(more if more and draws.random() < 0.5 else own))
        return texts, np.array(columns, dtype=np.int64)

    def labels(self, rows: Rows, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the labels (n, F) of some rows for the findings of a draw."""
        return np.asarray(self.values[np.ix_(rows, columns)], dtype=np.float32)
