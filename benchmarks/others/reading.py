"""Read and prepare DICOM files with `tier`, without a model: python reading.py SPEC IMAGES

SPEC names the preparation that the other program uses: `xrayvision` (a centre crop of 224 px) or `medsiglip`
(the whole image in 448 px). Files are read by the decoding processes of `tier classify`.
"""

from __future__ import annotations

import argparse
import json
import sys

from tier_cli.decoding.decode import Decoded, Settings
from tier_cli.decoding.prefetch import decoded
from tier_cli.imaging.discover import discover
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.model.engine import usable_cpus

_SAME = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
SPECS = {
    "xrayvision": Preprocessing(resize_short=224, crop=224, **_SAME),
    "medsiglip": Preprocessing(resize_short=None, crop=448, fit="pad", **_SAME),
}


def main() -> None:
    """Prepare a folder; print the mean of each image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", choices=SPECS)
    parser.add_argument("images")
    parser.add_argument("--workers", type=int, default=usable_cpus())
    parser.add_argument("--read", type=json.loads, default={}, help="options of ReadOptions, as JSON")
    given = parser.parse_args()
    settings = Settings(ReadOptions(**given.read), SPECS[given.spec])
    for path, outcome in decoded(discover([given.images]), settings, given.workers, 8):
        if not isinstance(outcome, Decoded):
            raise SystemExit(f"{path}: {outcome}")
        line = {"path": path, "scores": {"mean": float(outcome.pixels.mean())}}
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
