"""Evaluate training runs on the held-out patients; write report.json and the tables of the model card.

    python models/recipes/tier-small/report.py MANIFEST.csv RUNS CHEXNET.csv

MANIFEST.csv comes from prepare.py. RUNS holds checkpoint folders l1-s0, l1-s1, l1-s2 (the paper's lambdas),
l0-s0, l0-s1, l0-s2 (both 0) and `shuffled` (permuted captions), all trained on the split "train".
CHEXNET.csv holds a supervised model's probabilities by NIH image name. Also needs --image-tower, the folder
of the starting weights, for the linear probe.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tier_cli.datasets.captions import known_findings, write_caption
from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing, prepare
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import ranking
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.finding_vectors import finding_vectors
from tier_cli.model.open_engine import open_engine
from tier_cli.scoring.score import score
from tier_cli.training.loop.memory import keep_freed_memory

FINDINGS = load_findings("nih14")
TIER, PLAIN, CONTROL = ("l1-s0", "l1-s1", "l1-s2"), ("l0-s0", "l0-s1", "l0-s2"), "shuffled"
HEADINGS = {
    "tier": "TIER, mean of 3 seeds", "plain": "lambdas 0, mean of 3 seeds",
    "probe": "linear probe", "chexnet": "CheXNet (supervised)", "control": "shuffled captions",
}  # fmt: skip
REPLICATES, SEED = 2000, 0
Array = NDArray[np.float64]


def main() -> None:
    """Score all images once, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("chexnet", type=Path)
    parser.add_argument("--image-tower", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "tier-small")
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.manifest)
    test = manifest.split("test")
    images = pixels(test, open_checkpoint(arguments.runs / TIER[0]).preprocessing)
    runs = {name: embed(arguments.runs / name, images) for name in (*TIER, *PLAIN, CONTROL)}
    scores = {name: score(pooled, vectors(arguments.runs / name)) for name, pooled in runs.items()}
    compared = {
        **scores,
        "probe": linear_probe(manifest, test, images, arguments.image_tower),
        "chexnet": supervised(test, arguments.chexnet),
    }
    result = {
        "test_images": len(test),
        "test_patients": len(set(test.column("patient"))),
        "replicates": REPLICATES,
        "seed": SEED,
        "all_images": measure(test, compared, np.ones(len(test), bool)),
        "without_contradicted": measure(test, compared, test.column("contradicted") == "0"),
        "within": within(test, compared),
        "captions": {
            name: caption_accuracy(arguments.runs / name, runs[name], test)
            for name in (*TIER, *PLAIN, CONTROL)
        },
        "similarities": {name: sparsity(arguments.runs / name) for name in (*TIER, *PLAIN)},
        "seconds": {name: training(arguments.runs / name)["seconds"] for name in (*TIER, *PLAIN)},
    }
    (arguments.output / "report.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.output / "tables.md").write_text(tables(result))


def pixels(manifest: Manifest, spec: Preprocessing) -> NDArray[np.float32]:
    """Return inputs (N, 3, S, S); a few hundred images fit into memory."""
    options = ReadOptions(rendering=spec.rendering, views="all")
    return np.stack([prepare(read_radiograph(path, options).pixels, spec).pixels for path in manifest.paths])


def embed(folder: Path, images: NDArray[np.float32]) -> Array:
    """Return pooled image embeddings (N, D)."""
    engine = open_engine(open_checkpoint(folder))
    return np.concatenate([engine.encode_images(images[i : i + 8]) for i in range(0, len(images), 8)]).astype(
        float
    )


def vectors(folder: Path) -> Any:
    """Return the stored vectors of the 14 findings."""
    checkpoint = open_checkpoint(folder)
    return finding_vectors(checkpoint, FINDINGS, lambda: open_engine(checkpoint))


def linear_probe(manifest: Manifest, test: Manifest, images: NDArray[np.float32], tower: Path) -> Array:
    """Fit a logistic regression per finding on the mean features of the frozen starting tower."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from transformers import AutoModel

    keep_freed_memory()
    model = AutoModel.from_pretrained(tower, dtype=torch.float32).eval().to(memory_format=torch.channels_last)

    def features(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            parts = [
                model(
                    torch.from_numpy(batch[i : i + 8]).contiguous(memory_format=torch.channels_last)
                ).last_hidden_state.mean((2, 3))
                for i in range(0, len(batch), 8)
            ]
        return torch.cat(parts).numpy()

    train = manifest.split("train")
    spec = Preprocessing()
    blocks = [train.where(np.arange(len(train)) // 256 == block) for block in range(-(-len(train) // 256))]
    seen = np.concatenate([features(pixels(block, spec)) for block in blocks])
    labels, unseen = train.labels(FINDINGS), features(images)
    columns = []
    for finding in range(len(FINDINGS.ids)):
        known = np.isin(labels[:, finding], (0, 1))
        probe = make_pipeline(
            StandardScaler(), LogisticRegression(C=1e-3, class_weight="balanced", max_iter=2000)
        )
        probe.fit(seen[known], labels[known, finding])
        columns.append(probe.decision_function(unseen))
    return np.stack(columns, axis=1)


def supervised(test: Manifest, file: Path) -> Array:
    """Return the supervised model's probabilities for the test images; NaN where it has none."""
    table = pd.read_csv(file).set_index("nih_image")
    columns = {FINDINGS.match(name.removeprefix("prob_")).id: name for name in table.columns}
    return table.reindex(test.column("nih_image"))[[columns[name] for name in FINDINGS.ids]].to_numpy(float)


def grouped(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    """Average the AUCs of a setting's three seeds, replicate by replicate."""

    def mean(names: tuple[str, ...]) -> Estimate:
        return Estimate(
            np.mean([estimates[n].point for n in names], axis=0),
            np.mean([estimates[n].replicates for n in names], axis=0),
        )

    return {"tier": mean(TIER), "plain": mean(PLAIN), "probe": estimates["probe"],
            "chexnet": estimates["chexnet"], "control": estimates[CONTROL]}  # fmt: skip


def measure(test: Manifest, compared: dict[str, Array], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the AUC per finding and their mean with intervals, and paired differences of the means."""
    part = test.where(rows)
    labels, patients = part.labels(FINDINGS), part.patients()
    areas = {name: ranking(labels, values[rows], auprc=False) for name, values in compared.items()}
    found = resample(areas, patients, replicates=REPLICATES, seed=SEED)
    estimates = {name: measured["auc"] for name, measured in found.items()}
    groups = grouped(estimates)
    return {
        "n": len(part),
        "positives": dict(zip(FINDINGS.ids, (labels == 1).sum(axis=0).tolist(), strict=True)),
        "auc": {
            name: {
                "findings": dict(zip(FINDINGS.ids, _with_interval(group), strict=True)),
                "mean": _with_interval(group.macro)[0],
            }
            for name, group in groups.items()
        },
        "mean_of_each_run": {name: _with_interval(e.macro)[0] for name, e in estimates.items()},
        "difference_of_means": {
            f"tier - {other}": _with_interval(groups["tier"].macro - groups[other].macro)[0]
            for other in ("plain", "probe", "chexnet", "control")
        },
    }


def _with_interval(estimate: Estimate) -> list[list[float]]:
    return [
        [round(float(value), 4) for value in (point, *bounds)]
        for point, bounds in zip(estimate.point, estimate.interval(), strict=True)
    ]


def within(test: Manifest, compared: dict[str, Array]) -> dict[str, Any]:
    """Return the mean AUC within each source and view, over findings with at least five of each label."""
    result: dict[str, Any] = {}
    labels, patients = test.labels(FINDINGS), test.patients()
    for column in ("source", "view"):
        values = test.column(column)
        for value in sorted(set(values)):
            rows = values == value
            enough = ((labels[rows] == 1).sum(axis=0) >= 5) & ((labels[rows] == 0).sum(axis=0) >= 5)
            areas = {
                name: ranking(labels[rows][:, enough], scores[rows][:, enough], auprc=False)
                for name, scores in compared.items()
            }
            found = resample(areas, patients[rows], replicates=REPLICATES, seed=SEED)
            estimates = {name: measured["auc"] for name, measured in found.items()}
            result[f"{column} {value}"] = {
                "n": int(rows.sum()),
                "findings": int(enough.sum()),
                **{name: _with_interval(group.macro)[0] for name, group in grouped(estimates).items()},
            }
    return result


def caption_accuracy(folder: Path, pooled: Array, test: Manifest) -> dict[str, float]:
    """Measure how often a true one-finding caption is closer to the image than its negation.

    Two captions, phrased as in training, are drawn per image and finding. Present and absent findings are
    averaged separately, so that always preferring "no" scores 0.5 in the balanced figure.
    """
    engine = open_engine(open_checkpoint(folder))
    rng = random.Random(SEED)
    labels = test.labels(FINDINGS)
    # Captions are drawn from a pool, so that each distinct one is embedded once.
    pool = {
        (name, value): sorted({_single(name, value, rng) for _ in range(200)})
        for name in known_findings()
        for value in (True, False)
    }
    texts = [text for group in pool.values() for text in group]
    embedded = dict(zip(texts, engine.embed_texts(texts), strict=True))
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    right: dict[bool, list[bool]] = {True: [], False: []}
    for row in range(len(test)):
        for column, name in enumerate(FINDINGS.ids):
            truth = labels[row, column] == 1
            yes, no = (embedded[rng.choice(pool[name, value])] @ unit[row] for value in (True, False))
            right[truth].append((yes > no) == truth)
    present, absent = (float(np.mean(right[value])) for value in (True, False))
    return {
        "present": round(present, 4),
        "absent": round(absent, 4),
        "balanced": round((present + absent) / 2, 4),
    }


def _single(name: str, value: bool, rng: random.Random) -> str:
    return write_caption({name: value}, rng).text


def training(folder: Path) -> dict[str, Any]:
    """Return the content of training.json."""
    content: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return content


def sparsity(folder: Path) -> dict[str, float]:
    """Return the mean entropies and sparsity of the last 100 training steps (five logged lines)."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "contrastive" in line][-5:]
    names = ("patch_entropy", "token_entropy", "similarity_hoyer", "similarity_share_above_0.1")
    return {name: round(float(np.mean([step[name] for step in steps])), 4) for name in names}


def tables(result: dict[str, Any]) -> str:
    """Return the tables of the model card in Markdown."""
    parts = [
        _auc_table(f"All held-out images (n = {result['all_images']['n']})", result["all_images"]),
        _auc_table(
            f"Without labels that a radiologist contradicts (n = {result['without_contradicted']['n']})",
            result["without_contradicted"],
        ),
        "### Mean AUC within a source or a view\n",
        _table(
            ["part", "n", "findings", *HEADINGS.values()],
            [
                [name, str(part["n"]), str(part["findings"]), *(_cell(part[group]) for group in HEADINGS)]
                for name, part in result["within"].items()
            ],
        ),
        "### Captions and their negations\n",
        _table(
            ["run", "present", "absent", "balanced"],
            [[name, *(f"{x:.3f}" for x in shares.values())] for name, shares in result["captions"].items()],
        ),
        "### Token-patch similarities at the end of training\n",
        _table(
            ["run", "patch entropy", "token entropy", "Hoyer sparsity", "share above 0.1"],
            [
                [name, *(f"{x:.4f}" for x in values.values())]
                for name, values in result["similarities"].items()
            ],
        ),
    ]
    return "\n".join(parts)


def _auc_table(title: str, part: dict[str, Any]) -> str:
    rows = [
        [
            name,
            str(part["positives"][name]),
            *(_cell(part["auc"][group]["findings"][name]) for group in HEADINGS),
        ]
        for name in FINDINGS.ids
    ]
    rows.append(["**mean of 14**", "", *(f"**{_cell(part['auc'][group]['mean'])}**" for group in HEADINGS)])
    table = _table(["finding", "positives", *HEADINGS.values()], rows)
    facts = [f"- {name} (mean AUC): {_cell(value)}" for name, value in part["difference_of_means"].items()]
    runs = ", ".join(f"{name} {value[0]:.3f}" for name, value in part["mean_of_each_run"].items())
    return "\n".join([f"### {title}\n", table, *facts, f"- mean AUC of each run: {runs}", ""])


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


if __name__ == "__main__":
    main()
