"""Read and prepare DICOM files with MedSigLIP's data accessors: python medsiglip.py IMAGES

The accessors themselves (github.com/Google-Health/medsiglip, python/data_accessors; run at commit 56b1447):
`GenericDicomHandler.process_file`, then what its server does before the model: floats in [0, 1], three
channels, zeros to a square, transformers' `SiglipImageProcessor` at 448 px. PYTHONPATH names the folder
`python` of a clone. The model is not compared: its weights are gated, and its 400 million parameters would
hide the reading. The accessors refuse RLE.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from data_accessors.local_file_handlers.generic_dicom_handler import GenericDicomHandler
from transformers import SiglipImageProcessor

SIDE = 448


def main() -> None:
    """Prepare a folder; print the mean of each image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    given = parser.parse_args()
    handler = GenericDicomHandler()
    processor = SiglipImageProcessor(do_rescale=False, size={"height": SIDE, "width": SIDE})
    for path in sorted(given.images.iterdir()):
        (values,) = handler.process_file([], {}, str(path))
        image = values.astype(np.float32) / float(np.iinfo(values.dtype).max)
        image = np.concatenate([image] * 3, axis=-1)
        above, left = ((max(image.shape[:2]) - side) // 2 for side in image.shape[:2])
        below, right = (max(image.shape[:2]) - side for side in image.shape[:2])
        image = np.pad(image, ((above, below - above), (left, right - left), (0, 0)))
        made = processor.preprocess(
            [image], data_format="channels_first", input_data_format="channels_last", return_tensors="np"
        )
        mean = float(made["pixel_values"].mean()) / 2 + 0.5
        sys.stdout.write(json.dumps({"path": str(path), "scores": {"mean": mean}}) + "\n")


if __name__ == "__main__":
    main()
