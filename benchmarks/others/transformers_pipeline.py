"""Score DICOM files with the zero-shot pipeline of transformers: python transformers_pipeline.py MODEL IMAGES

`pipeline("zero-shot-image-classification")` with CLIP, as its documentation calls it: one picture at a time
with the candidate labels. Pictures come from pydicom and its `apply_voi_lut`, in 8 bits. The same as there:
all of it; weights are random. The pipeline embeds the labels anew for every image.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_voi_lut
from transformers import pipeline


def picture(path: Path) -> Image.Image:
    """Return a file as 8-bit picture of what its window shows."""
    dataset = pydicom.dcmread(path)
    values = np.asarray(apply_voi_lut(dataset.pixel_array, dataset), np.float32)
    values *= 255 / (2**dataset.BitsStored - 1)
    return Image.fromarray(values.round().astype(np.uint8)).convert("RGB")


def main() -> None:
    """Score a folder; a score is the logarithm of a label's probability."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder in the layout of transformers, and labels.json")
    parser.add_argument("images", type=Path)
    given = parser.parse_args()
    labels = json.loads((given.model / "labels.json").read_text(encoding="utf-8"))
    classify = pipeline("zero-shot-image-classification", model=str(given.model), device="cpu")
    for path in sorted(given.images.iterdir()):
        found = classify(picture(path), candidate_labels=labels, hypothesis_template="{}")
        scores = {one["label"]: float(np.log(one["score"])) for one in found}
        sys.stdout.write(json.dumps({"path": str(path), "scores": scores}) + "\n")


if __name__ == "__main__":
    main()
