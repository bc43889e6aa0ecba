"""Count the labels, splits and texts of a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.survey.result import LabelCount, SplitCount, TextCount

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest

    # Finding id -> its column and its labels (N,).
    Labels = Mapping[str, tuple[str, NDArray[np.float64]]]

_MOST_REPEATED = 3


def count_labels(manifest: Manifest, labels: Labels) -> Iterable[LabelCount]:
    """Count the labels of each finding."""
    splits = manifest.column("split")
    for finding, (column, values) in labels.items():
        one_class = [
            str(split)
            for split in np.unique(splits)
            if not {0.0, 1.0} <= set(np.unique(values[splits == split]).tolist())
        ]
        positive, negative, uncertain = (int((values == label).sum()) for label in (1, 0, -1))
        blank = int(np.isnan(values).sum())
        yield LabelCount(finding, column, positive, negative, uncertain, blank, tuple(one_class))


def count_splits(manifest: Manifest, labels: Labels) -> Iterable[SplitCount]:
    """Count images, patients and positive labels of each split."""
    patients, splits = manifest.patients(), manifest.column("split")
    for name in np.unique(splits):
        here = splits == name
        positive = {finding: int((values[here] == 1).sum()) for finding, (_, values) in labels.items()}
        yield SplitCount(str(name), int(here.sum()), len(set(patients[here].tolist())), positive)


def count_texts(manifest: Manifest) -> TextCount:
    """Count texts and their words, and find the most repeated texts."""
    texts, patients = manifest.column("text").tolist(), manifest.patients().tolist()
    filled = [text for text in texts if text]
    words = np.array([len(text.split()) for text in filled])
    span = (int(words.min()), int(np.median(words)), int(words.max())) if filled else None
    repeated = []
    # A text of a single patient might identify that person; texts of several patients are stock phrases.
    for text, times in Counter(filled).most_common(_MOST_REPEATED):
        if len({patient for patient, other in zip(patients, texts, strict=True) if other == text}) > 1:
            repeated.append((text, times))
    return TextCount(len(filled), len(texts) - len(filled), span, tuple(repeated))


def count_distinct(manifest: Manifest, column: str) -> int:
    """Count the distinct cells of a column that are not blank."""
    return len(set(manifest.column(column).tolist()) - {""})
