"""Write probabilities for `tier train --soft-labels`: labels averaged with what other models see.

    python models/recipes/tier-small/soft_labels.py MANIFEST.csv SPLIT.csv CHEXNET.csv OUTPUT.csv \
        --teacher runs/hard-0 --teacher runs/hard-1

MANIFEST.csv is what will be trained on, SPLIT.csv what the teachers were trained on (both from prepare.py;
for the reported runs they are one file). CHEXNET.csv holds the probabilities of a supervised DenseNet-121 by
NIH image name, for the images of ChestX-ray14's test split. Every training image whose 14 findings are
labelled gets, for each finding, the mean of its label and of a probability. The probability is that of the
teachers' mean score; where CheXNet's is known, that counts twice and the teachers' once. Scores become
probabilities by a logistic regression on the labels, for images that the teachers have seen and others
separately.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from report import FINDINGS, Array, blocks, chexnet, embed, pixels, vectors
from sklearn.linear_model import LogisticRegression

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.scoring.score import score

LABEL_SHARE, CHEXNET_SHARE = 1 / 2, 2 / 3


def main() -> None:
    """Score the images, calibrate the scores, average them with the labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("chexnet", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--teacher", type=Path, action="append", required=True)
    arguments = parser.parse_args()
    rows = training_rows(read_manifest(arguments.manifest))
    taught = read_manifest(arguments.split).split("train")
    seen = np.isin(rows.paths, taught.paths)
    labels = rows.labels(FINDINGS)
    scores = np.mean([standardised(scores_of(folder, rows)) for folder in arguments.teacher], axis=0)
    other, known = chexnet(rows, arguments.chexnet)
    values = np.empty_like(labels)
    for finding in range(len(FINDINGS.ids)):
        own = labels[:, finding]
        found = np.empty(len(rows))
        for part in (seen, ~seen):
            if part.any():
                found[part] = calibrated(scores[part, finding], own[part])
        logits = np.log(other[known, finding] / (1 - other[known, finding]))
        found[known] += CHEXNET_SHARE * (calibrated(logits, own[known]) - found[known])
        values[:, finding] = LABEL_SHARE * own + (1 - LABEL_SHARE) * found
    table = pd.DataFrame(values, columns=list(FINDINGS.ids))
    table.insert(0, "path", list(rows.paths))
    table.to_csv(arguments.output, index=False)


def training_rows(manifest: Manifest) -> Manifest:
    """Return the training images of ChestX-ray14 whose findings are all labelled."""
    train = manifest.split("train")
    labelled = np.isin(train.labels(FINDINGS), (0, 1)).all(axis=1)
    # The other normal images are believed as they are.
    return train.where(labelled & (train.column("source") != "rsna"))


def scores_of(folder: Path, rows: Manifest) -> Array:
    """Return a teacher's scores (N, F)."""
    spec = open_checkpoint(folder).preprocessing
    embedded = np.concatenate([embed(folder, pixels(block, spec)) for block in blocks(rows)])
    return score(embedded, vectors(folder))


def standardised(scores: Array) -> Array:
    """Return scores (N, F) with mean 0 and deviation 1, so that no teacher counts more than another."""
    found: Array = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    return found


def calibrated(scores: Array, labels: Array) -> Array:
    """Return the probability of a label by its score, (N,)."""
    found: Array = LogisticRegression().fit(scores[:, None], labels).predict_proba(scores[:, None])[:, 1]
    return found


if __name__ == "__main__":
    main()
