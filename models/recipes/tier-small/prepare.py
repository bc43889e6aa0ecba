"""Write the manifests for training with labels from a folder of NIH images and labels.

    python models/recipes/tier-small/prepare.py DATA_FOLDER OUTPUT_FOLDER

DATA_FOLDER holds labels.csv (file, source, nih_image, patient, age, sex, view, one column per NIH finding,
radiologist_normal, nih_boxes_1024), rsna-lungs.csv (file, nih_image, patient, age, sex, view, rsna_class) and
the images that their first columns name. OUTPUT_FOLDER receives

    split.csv   training, validation and test images, for the runs that are reported
    final.csv   the same with the test images in training, for weights that are not measured on them
    lungs.csv   images of lungs alone with the radiologists' classes, for an experiment
    heldout-1.csv to heldout-5.csv
                split.csv without the training labels of two or three findings, for runs without soft labels
    shuffled.csv
                split.csv with training labels exchanged at random within each source, as a control without
                soft labels

The split is read from split.csv beside this program; `--new-split SEED` draws it anew, by patient.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tier_cli.datasets.regions import Region
from tier_cli.datasets.regions import boxes_cell as regions_cell

FINDINGS = [
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
    "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
]  # fmt: skip
VISIBLE_AT_64_PX = {"Effusion", "Cardiomegaly", "Consolidation"}
# Validation and test take their images from these sources only: they share one size and one treatment of the
# pixels, and in the others the source, the view or the resolution gives the label away.
JUDGED = {"nih-diverse", "nih-bbox", "nih-moo"}
TEST_SHARE, VALID_SHARE = 0.35, 0.21
# More of them would only teach the model what that source looks like.
NORMALS_USED = 2500
# `source` then names the public data set, so that a checkpoint knows what it was trained on; file names of
# ChestX-ray14 tell that by themselves.
PUBLIC = {"rsna-normal": "rsna", "rsna-lungs": "rsna"}
# NIH's boxes count pixels of the original images.
ORIGINAL_SIZE = (1024, 1024)
# Findings whose labels are left out together.
LEFT_OUT = [
    ("Cardiomegaly", "Effusion", "Pneumothorax"),
    ("Atelectasis", "Nodule", "Emphysema"),
    ("Infiltration", "Mass", "Fibrosis"),
    ("Pneumonia", "Consolidation", "Pleural_Thickening"),
    ("Edema", "Hernia"),
]
SPLIT_FILE = Path(__file__).parent / "split.csv"
COLUMNS = [
    "path", "patient", "view", "sex", "age", "source", "split", "contradicted", "nih_image", "boxes",
    *FINDINGS,
]  # fmt: skip
LUNG_COLUMNS = ["path", "patient", "view", "sex", "age", "source", "split", "Lung Opacity", "No Finding"]
Row = dict[str, str]


def main() -> None:
    """Read the labels, apply the split and the radiologists' reads, write the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--new-split", type=int, metavar="SEED")
    arguments = parser.parse_args()
    rows, lungs = read_rows(arguments.data / "labels.csv"), read_rows(arguments.data / "rsna-lungs.csv")
    if arguments.new_split is not None:
        write_split(rows, arguments.new_split)
    split = {row["file"]: row["split"] for row in read_rows(SPLIT_FILE)}
    final = {name: "train" if part == "test" else part for name, part in split.items()}
    arguments.output.mkdir(parents=True, exist_ok=True)
    whole = [manifest_row(row, arguments.data, split[row["file"]]) for row in rows]
    write_rows(arguments.output / "split.csv", COLUMNS, whole)
    write_rows(
        arguments.output / "final.csv",
        COLUMNS,
        [manifest_row(row, arguments.data, final[row["file"]]) for row in rows],
    )
    for number, findings in enumerate(LEFT_OUT, 1):
        rest = [row | (dict.fromkeys(findings, "") if row["split"] == "train" else {}) for row in whole]
        write_rows(arguments.output / f"heldout-{number}.csv", COLUMNS, rest)
    write_rows(arguments.output / "shuffled.csv", COLUMNS, shuffled(whole))
    held_out = {row["patient"] for row in rows if split[row["file"]] in ("valid", "test")}
    write_rows(
        arguments.output / "lungs.csv",
        LUNG_COLUMNS,
        [lung_row(row, arguments.data) for row in lungs if row["patient"] not in held_out],
    )


def manifest_row(row: Row, data: Path, split: str) -> Row:
    """Return the row of one image: mined labels for evaluation, the radiologist's read for training."""
    normal = row["radiologist_normal"] == "1"
    abnormal = any(row[name] == "1" for name in FINDINGS)
    labels = {name: row[name] for name in FINDINGS}
    if split == "train" and normal:
        labels = dict.fromkeys(FINDINGS, "0")
    if row["source"] == "nih-64":
        labels = {name: value if name in VISIBLE_AT_64_PX else "" for name, value in labels.items()}
    return {
        "path": str((data / row["file"]).resolve()),
        "patient": "" if row["source"] == "rsna-normal" else row["patient"],
        "contradicted": "1" if normal and abnormal else "0",
        "split": split,
        "boxes": boxes_cell(row["nih_boxes_1024"]),
        "source": PUBLIC.get(row["source"], row["source"]),
        **{name: row[name] for name in ("sex", "age", "nih_image")},
        # All of ChestX-ray14 is frontal, and captions mention the view.
        "view": row["view"] or "FRONTAL",
        **labels,
    }


def shuffled(rows: Sequence[Row]) -> list[Row]:
    """Exchange the labels of training images at random within each source."""
    sources: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row["split"] == "train":
            sources.setdefault(row["source"], []).append(place)
    rng = random.Random(0)
    found = list(rows)
    for places in sources.values():
        others = rng.sample(places, len(places))
        for place, other in zip(places, others, strict=True):
            found[place] = rows[place] | {
                name: rows[other][name] for name in (*FINDINGS, "boxes", "contradicted")
            }
    return found


def lung_row(row: Row, data: Path) -> Row:
    """Return the row of one image of lungs: an opacity, or else a normal image or not."""
    return {
        "path": str((data / row["file"]).resolve()),
        "split": "train",
        "source": PUBLIC["rsna-lungs"],
        **{name: row[name] for name in ("patient", "view", "sex", "age")},
        "Lung Opacity": str(int(row["rsna_class"] == "Lung Opacity")),
        "No Finding": str(int(row["rsna_class"] == "Normal")),
    }


def write_split(rows: Sequence[Row], seed: int) -> None:
    """Split the patients, with the same shares of every finding as far as there are enough patients.

    All images of a patient go the same way. Images of other sources that belong to a validation or test
    patient are left out of training.
    """
    images: dict[str, list[Row]] = {}
    for row in rows:
        if row["source"] in JUDGED:
            images.setdefault(row["patient"], []).append(row)
    counts = Counter(finding for row in rows if row["source"] in JUDGED for finding in present(row))
    # Patients with the rarest findings are dealt out first, group by group.
    groups: dict[str, list[str]] = {}
    for patient, own in sorted(images.items()):
        found = {finding for row in own for finding in present(row)}
        groups.setdefault(min(found, key=lambda name: counts[name], default=""), []).append(patient)
    rng = random.Random(seed)
    part: dict[str, str] = {}
    for _, patients in sorted(groups.items()):
        rng.shuffle(patients)
        for rank, patient in enumerate(patients):
            share = (rank + 0.5) / len(patients)
            part[patient] = (
                "test" if share < TEST_SHARE else "valid" if share < TEST_SHARE + VALID_SHARE else "train"
            )
    normals = [row["file"] for row in rows if row["source"] == "rsna-normal"]
    unused = set(rng.sample(normals, max(len(normals) - NORMALS_USED, 0)))
    split = []
    for row in rows:
        name = part.get(row["patient"], "train")
        if row["file"] in unused or (name != "train" and row["source"] not in JUDGED):
            name = "unused"
        split.append({"file": row["file"], "split": name})
    write_rows(SPLIT_FILE, ["file", "split"], split)


def present(row: Row) -> list[str]:
    """Return the findings that an image has by its labels."""
    return [name for name in FINDINGS if row[name] == "1"]


def boxes_cell(cell: str) -> str:
    """Return a cell of the column `boxes` from NIH's `Finding:x,y,w,h;...` in pixels of the original."""
    boxes = []
    for entry in filter(None, cell.split(";")):
        finding, numbers = entry.split(":")
        x, y, width, height = map(float, numbers.split(","))
        name = {"Infiltrate": "Infiltration"}.get(finding, finding)
        boxes.append(Region(name, box=(x, y, x + width, y + height), size=ORIGINAL_SIZE))
    return regions_cell(boxes)


def read_rows(file: Path) -> list[Row]:
    """Read the rows of a CSV file."""
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def write_rows(file: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows to a CSV file."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
