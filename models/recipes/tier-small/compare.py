"""Write an HTML page that compares a run with the supervised CheXNet and a linear probe on the same images.

    python models/recipes/tier-small/compare.py SPLIT.csv RUN CHEXNET.csv PAGE.html --image-tower TOWER

SPLIT.csv comes from prepare.py. RUN is a checkpoint trained on its split "train", such as runs/tier-0.
CHEXNET.csv holds a supervised model's probabilities by NIH image name; TOWER holds the starting weights, for
the probe. The probe's scores are written to PAGE.probe.csv, all numbers to PAGE.json. Further options, such
as `--exclude contradicted=1`, are passed to `tier eval`.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

from report import FINDINGS, linear_probe, pixels

from tier_cli.datasets.manifest import read_manifest
from tier_cli.imaging.preprocess import Preprocessing

TIER = "import sys; from tier_cli.app import main; sys.exit(main())"
# The NIH requires this acknowledgement from everybody who shows its images.
NOTE = (
    "Images and labels: ChestX-ray14, provided by the NIH Clinical Center, "
    "https://nihcc.app.box.com/v/ChestXray-NIHCC; Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. "
    "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised Classification and "
    "Localization of Common Thorax Diseases. CVPR 2017. Labels were mined from reports and are noisy."
)


def main() -> None:
    """Score the probe, then let `tier eval` measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("chexnet", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--image-tower", type=Path, required=True)
    arguments, further = parser.parse_known_args()
    probe = arguments.page.with_suffix(".probe.csv")
    write_probe(arguments.manifest, arguments.image_tower, probe)
    command = [
        "eval", "--data", arguments.manifest, "--split", "test", "--model", arguments.checkpoint,
        "--scores", arguments.chexnet, "--scores", probe, "--join", "nih_image", "--by", "source,view",
        "--report", arguments.page, "--report-note", NOTE, "--output", arguments.page.with_suffix(".json"),
        *further,
    ]  # fmt: skip
    sys.exit(subprocess.run([sys.executable, "-c", TIER, *map(str, command)], check=False).returncode)


def write_probe(manifest_path: Path, tower: Path, target: Path) -> None:
    """Fit the linear probe on the split "train"; write its scores of the split "test" by NIH image name."""
    manifest = read_manifest(manifest_path)
    test = manifest.split("test")
    scores = linear_probe(manifest, pixels(test, Preprocessing()), tower)
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["nih_image", *FINDINGS.ids])
        names = test.column("nih_image")
        writer.writerows([name, *row] for name, row in zip(names, scores.tolist(), strict=True))


if __name__ == "__main__":
    main()
