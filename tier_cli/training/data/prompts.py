"""Draw the prompts that labelled images are compared with."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.captions import phrases
from tier_cli.training.seeds import PROMPT, derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.findings.schema import Finding
    from tier_cli.training.data.labels import LabelledRows

    Rows = NDArray[np.int64]

# More findings than this take turns: their prompts would cost more than the images.
_MOST_FINDINGS = 32


@dataclass(frozen=True)
class Prompts:
    """Prompts of the findings with known labels, and the labels of the images.

    Parameters
    ----------
    findings
        The findings that some image has a known label of.
    values
        (N, F) labels of these findings: 1, 0, or NaN where unknown or uncertain.
    seed
        Seed of the draws.
    """

    findings: tuple[Finding, ...]
    values: NDArray[np.float64]
    seed: int

    @classmethod
    def of(cls, rows: LabelledRows, order: Rows, seed: int) -> Prompts:
        """Return the prompts for training rows.

        Parameters
        ----------
        rows
            The rows with their labels.
        order
            (N,) the row whose labels each row has; see `Pairs`.
        seed
            Seed of the draws.
        """
        values = np.where(np.isin(rows.values, (0, 1)), rows.values, np.nan)[order]
        known = np.asarray(~np.isnan(values).all(axis=0), dtype=bool)
        kept = tuple(finding for finding, use in zip(rows.findings.findings, known, strict=True) if use)
        return cls(kept, values[:, known], seed)

    def draw(self, step: int) -> tuple[list[str], NDArray[np.int64]]:
        """Return the prompts of a step, positive and negative in turn, and the columns (F,) they belong to.

        Half of the prompts are those that scoring uses; the others are further phrases of known findings.
        """
        draws = random.Random(derive(self.seed, PROMPT, step))
        count = len(self.findings)
        columns = sorted(draws.sample(range(count), min(count, _MOST_FINDINGS)))
        texts = []
        for column in columns:
            finding = self.findings[column]
            for own, more in zip((finding.positive, finding.negative), phrases(finding.id), strict=True):
                texts.append(draws.choice(more if more and draws.random() < 0.5 else own))
        return texts, np.array(columns, dtype=np.int64)

    def labels(self, rows: Rows, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the labels (n, F) of some rows for the findings of a draw."""
        return np.asarray(self.values[np.ix_(rows, columns)], dtype=np.float32)
