"""Read and prepare DICOM files as TorchXRayVision does: python xrayvision.py IMAGES

The package `torchxrayvision` itself (github.com/mlmed/torchxrayvision): `utils.read_xray_dcm` with the
window, then `XRayCenterCrop` and `XRayResizer(224)` with its default engine, as its scripts/process_image.py
does before the model. Its models are classifiers of their own, so only reading and preparing is compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torchxrayvision as xrv


def main() -> None:
    """Prepare a folder; print the mean of each image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    given = parser.parse_args()
    crop, resize = xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(224)
    for path in sorted(given.images.iterdir()):
        image = resize(crop(xrv.utils.read_xray_dcm(path, voi_lut=True)[None]))
        line = {"path": str(path), "scores": {"mean": float(image.mean()) / 2048 + 0.5}}
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
