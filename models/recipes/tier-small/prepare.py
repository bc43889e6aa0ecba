"""Write the manifest that tier-small was trained and evaluated on, from a folder of NIH images and labels.

    python models/recipes/tier-small/prepare.py DATA_FOLDER MANIFEST.csv

DATA_FOLDER holds labels.csv (file, source, nih_image, patient, age, sex, view, one column per NIH finding,
radiologist_normal) and the images that its first column names. The split is read from
models/tier-small/split.csv; `--new-split SEED` draws it anew, by patient. `--everything` puts every split
except "unused" into training.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

FINDINGS = [
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
    "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
]  # fmt: skip
VISIBLE_AT_64_PX = {"Effusion", "Cardiomegaly", "Consolidation"}
TRAINING_ONLY = {"nih-64", "rsna-normal"}
# More of them would only teach the model what that source looks like.
NORMALS_USED = 1500
SPLIT_FILE = Path(__file__).parents[2] / "tier-small" / "split.csv"
COLUMNS = ["path", "patient", "view", "sex", "age", "source", "split", "contradicted", "nih_image", *FINDINGS]


def main() -> None:
    """Read the labels, apply the split and the radiologists' reads, write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--new-split", type=int, metavar="SEED")
    parser.add_argument("--everything", action="store_true")
    arguments = parser.parse_args()
    with (arguments.data / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if arguments.new_split is not None:
        with (arguments.data / "chexnet-predictions.csv").open(newline="") as file:
            predicted = {row["nih_image"] for row in csv.DictReader(file)}
        write_split(rows, predicted, arguments.new_split)
    with SPLIT_FILE.open(newline="") as file:
        split = {row["file"]: row["split"] for row in csv.DictReader(file)}
    if arguments.everything:
        split = {name: "unused" if part == "unused" else "train" for name, part in split.items()}
    with arguments.manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(manifest_row(row, arguments.data, split[row["file"]]) for row in rows)


def manifest_row(row: dict[str, str], data: Path, split: str) -> dict[str, str]:
    """Return the row of one image: mined labels for evaluation, the radiologist's read for training."""
    normal = row["radiologist_normal"] == "1"
    abnormal = any(row[name] == "1" for name in FINDINGS)
    training = split == "train"
    labels = {name: row[name] for name in FINDINGS}
    if training and normal:
        labels = dict.fromkeys(FINDINGS, "0")
    if row["source"] == "nih-64":
        labels = {name: value if name in VISIBLE_AT_64_PX else "" for name, value in labels.items()}
    return {
        "path": str((data / row["file"]).resolve()),
        "patient": "" if row["source"] == "rsna-normal" else row["patient"],
        "contradicted": "1" if normal and abnormal else "0",
        "split": split,
        **{name: row[name] for name in ("sex", "age", "source", "nih_image")},
        # All of ChestX-ray14 is frontal, and captions mention the view.
        "view": row["view"] or "FRONTAL",
        **labels,
    }


def write_split(rows: list[dict[str, str]], predicted: set[str], seed: int) -> None:
    """Split the patients: test gets 45 % of the diverse source, 60 % of the comparable others."""
    fixed = {row["patient"] for row in rows if row["source"] in TRAINING_ONLY}
    diverse = sorted({row["patient"] for row in rows if row["source"] == "nih-diverse"} - fixed)
    others = (
        {row["patient"] for row in rows if row["source"] == "nih-pneumonia-normal"} - fixed - set(diverse)
    )
    comparable = {row["patient"] for row in rows if row["nih_image"] in predicted}
    rng = random.Random(seed)
    split: dict[str, str] = {}
    for patients, test, valid in (
        (diverse, 0.45, 0.20),
        (sorted(others & comparable), 0.60, 0.0),
        (sorted(others - comparable), 0.0, 0.25),
    ):
        rng.shuffle(patients)
        for rank, patient in enumerate(patients):
            share = (rank + 0.5) / len(patients)
            split[patient] = "test" if share < test else "valid" if share < test + valid else "train"
    normals = [row["file"] for row in rows if row["source"] == "rsna-normal"]
    unused = set(rng.sample(normals, max(len(normals) - NORMALS_USED, 0)))
    with SPLIT_FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "split"])
        for row in rows:
            name = "unused" if row["file"] in unused else split.get(row["patient"], "train")
            writer.writerow([row["file"], name])


if __name__ == "__main__":
    main()
