"""Measure how well a logistic probe predicts the phantoms' labels from small images or from metadata.

    python benchmarks/phantom/difficulty.py [FOLDER]

FOLDER was written by `tier data phantom`; without it, --count images are generated. The probe sees the grey
values of images reduced to 32 and to 64 pixels, or view, sex, age and image size. It is fitted and evaluated
by patient. Of several penalty strengths, the best on the evaluated patients is shown, which favours the
probe.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.model.engine import usable_cpus
from tier_cli.phantom.folder import write_folder
from tier_cli.phantom.lesions import FINDINGS

Array = NDArray[np.float64]
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)
FOLDS = 5


def main() -> None:
    """Generate images if needed, fit the probes, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128, help="side of generated images in pixels")
    parser.add_argument("--sides", type=int, nargs="*", default=[32, 64])
    given = parser.parse_args()
    if given.folder is not None:
        result = difficulty(read_manifest(given.folder / "manifest.csv"), given.sides)
    else:
        with tempfile.TemporaryDirectory() as folder:
            written = write_folder(
                Path(folder), given.count, given.seed, size=given.size, workers=usable_cpus()
            )
            result = difficulty(read_manifest(written.manifest), given.sides)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def difficulty(manifest: Manifest, sides: list[int]) -> dict[str, object]:
    """Return the AUC of each probe for each finding, and their mean."""
    patients = manifest.patients()
    labels = np.stack([manifest.frame[name].astype(int) for name in FINDINGS], axis=1)
    probes = {f"pixels {side} x {side}": pixels(manifest, side) for side in sides}
    probes["metadata"] = metadata(manifest)
    return {
        "images": len(manifest),
        "patients": len(set(patients)),
        "share of images": dict(zip(FINDINGS, labels.mean(axis=0).round(3).tolist(), strict=True)),
        **{name: probe(inputs, labels, patients) for name, inputs in probes.items()},
    }


def probe(inputs: Array, labels: NDArray[np.int64], patients: NDArray[np.str_]) -> dict[str, float]:
    """Return the cross-validated AUC of a logistic regression for each finding, at its best penalty."""
    aucs = {
        name: max(_auc(inputs, labels[:, column], patients, penalty) for penalty in PENALTIES)
        for column, name in enumerate(FINDINGS)
    }
    return {
        "mean": round(float(np.mean(list(aucs.values()))), 3),
        **{k: round(v, 3) for k, v in aucs.items()},
    }


def _auc(inputs: Array, label: NDArray[np.int64], patients: NDArray[np.str_], penalty: float) -> float:
    scores = np.zeros(len(label))
    for fit, judge in GroupKFold(FOLDS).split(inputs, label, patients):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=300, tol=1e-3))
        scores[judge] = model.fit(inputs[fit], label[fit]).decision_function(inputs[judge])
    return float(roc_auc_score(label, scores))


def pixels(manifest: Manifest, side: int) -> Array:
    """Return the grey values (N, side * side) of the reduced images."""
    rows = []
    for path in manifest.paths:
        with Image.open(path) as picture:
            rows.append(np.asarray(picture.convert("F").resize((side, side), Image.Resampling.BOX)).ravel())
    return np.stack(rows) / 255


def metadata(manifest: Manifest) -> Array:
    """Return view, sex, age and image size (N, 5)."""
    sizes = []
    for path in manifest.paths:
        with Image.open(path) as picture:
            sizes.append(picture.size)
    view, sex = manifest.column("view") == "AP", manifest.column("sex") == "F"
    return np.column_stack([view, sex, manifest.column("age").astype(float), sizes])


if __name__ == "__main__":
    main()
