"""Evaluate training runs on the test patients; write report.json and tables.md for a model card.

    python models/recipes/tier-small/report.py SPLIT.csv RUNS CHEXNET.csv --image-tower TOWER --output DIR

SPLIT.csv comes from prepare.py. RUNS holds checkpoint folders that were trained on the split "train":
`tier-0`, `tier-1`, ... (one per seed; the first is shipped), the mean of the weights of `soft-0`, ... and of
`boxes-0`, ... (with boxes), and whatever there is of these, of `plain-0`, ... (both lambdas 0), `contrast-0`,
... (no prompt term), `hard-0`, ... (neither boxes nor soft labels), `shuffled-0` (permuted captions and
labels), and `supervised-0` from supervised.py, `supervised-soft-0` with its --soft-labels.
CHEXNET.csv holds the probabilities of a supervised DenseNet-121 by NIH image name, TOWER the starting weights
of the image tower, for the linear probe.
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
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tier_cli.datasets.captions import known_findings, write_caption
from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing, prepare
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.ranking import auc
from tier_cli.metrics.statistics import ranking
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.finding_vectors import finding_vectors
from tier_cli.model.open_engine import open_engine
from tier_cli.scoring.score import score
from tier_cli.training.loop.log import METRICS
from tier_cli.training.loop.memory import keep_freed_memory

FINDINGS = load_findings("nih14")
TITLES = {
    "shipped": "tier-small", "tier": "its recipe", "plain": "lambdas 0", "contrast": "no prompt term",
    "soft": "before boxes", "boxes": "end of the epoch with boxes", "hard": "neither boxes nor soft labels",
    "supervised": "supervised tower", "supervised-soft": "supervised tower, soft labels",
    "probe": "linear probe", "shuffled": "shuffled captions", "chexnet": "CheXNet (a teacher)",
}  # fmt: skip
REPLICATES, SEED = 2000, 0
# Images that are prepared at a time where there are many.
BLOCK = 256
# CheXNet was trained on other images of ChestX-ray14.
EVERYTHING, OF_CHEXNET = "All test images", "Images of the test split of ChestX-ray14"
Array = NDArray[np.float64]
Rows = NDArray[np.bool_]


def main() -> None:
    """Score all images once, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("chexnet", type=Path)
    parser.add_argument("--image-tower", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.split)
    test = manifest.split("test")
    kinds = [kind for kind in TITLES if kind not in ("shipped", "probe", "chexnet")]
    found = {kind: sorted(arguments.runs.glob(f"{kind}-[0-9]*")) for kind in kinds}
    images = pixels(test, open_checkpoint(found["tier"][0]).preprocessing)
    runs: dict[str, Array] = {}
    embeddings: dict[str, Array] = {}
    for kind, folders in found.items():
        for folder in folders:
            if kind.startswith("supervised"):
                runs[folder.name] = pd.read_csv(folder / "test-scores.csv")[list(FINDINGS.ids)].to_numpy(
                    float
                )
            else:
                embeddings[folder.name] = embed(folder, images)
                runs[folder.name] = score(embeddings[folder.name], vectors(folder))
    everything = np.ones(len(test), bool)
    runs["probe-0"] = linear_probe(manifest, images, arguments.image_tower)
    with_chexnet, known = chexnet(test, arguments.chexnet)
    parts = {
        EVERYTHING: everything,
        "Test images without labels that a radiologist contradicts": test.column("contradicted") == "0",
        "The source chosen for many findings": test.column("source") == "nih-diverse",
        "PA films": test.column("view") == "PA",
        "AP films": test.column("view") == "AP",
    }
    # An average of weights was not trained by itself.
    trained = [name for name in embeddings if (arguments.runs / name / METRICS).is_file()]
    result = {
        "test_images": len(test),
        "test_patients": len(set(test.patients().tolist())),
        "replicates": REPLICATES,
        "seed": SEED,
        "parts": {name: measure(test, runs, rows) for name, rows in parts.items()}
        | {OF_CHEXNET: measure(test, {**runs, "chexnet": with_chexnet}, known)},
        "alarms": alarms(manifest, test, embeddings["tier-0"], runs["tier-0"]),
        "captions": {
            name: caption_accuracy(arguments.runs / name, one, test) for name, one in embeddings.items()
        },
        "similarities": {name: sparsity(arguments.runs / name) for name in trained},
        "seconds": {name: training(arguments.runs / name)["seconds"] for name in trained},
    }
    (arguments.output / "report.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.output / "tables.md").write_text(tables(result))


def pixels(manifest: Manifest, spec: Preprocessing) -> NDArray[np.float32]:
    """Return inputs (N, 3, S, S); a few hundred images fit into memory."""
    options = ReadOptions(rendering=spec.rendering, views="all")
    return np.stack([prepare(read_radiograph(path, options).pixels, spec).pixels for path in manifest.paths])


def blocks(manifest: Manifest) -> list[Manifest]:
    """Divide images into blocks whose pixels fit into memory."""
    number = np.arange(len(manifest)) // BLOCK
    return [manifest.where(number == block) for block in range(-(-len(manifest) // BLOCK))]


def embed(folder: Path, images: NDArray[np.float32]) -> Array:
    """Return pooled image embeddings (N, D)."""
    engine = open_engine(open_checkpoint(folder))
    parts = [engine.encode_images(images[i : i + 8]) for i in range(0, len(images), 8)]
    return np.concatenate(parts).astype(float)


def linear_probe(manifest: Manifest, images: NDArray[np.float32], tower: Path) -> Array:
    """Fit a logistic regression per finding on the mean features of the frozen starting tower."""
    import torch
    from transformers import AutoModel

    keep_freed_memory()
    model = AutoModel.from_pretrained(tower, dtype=torch.float32).eval().to(memory_format=torch.channels_last)

    def features(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = []
        with torch.no_grad():
            for first in range(0, len(batch), 8):
                inputs = torch.from_numpy(batch[first : first + 8])
                inputs = inputs.contiguous(memory_format=torch.channels_last)
                parts.append(model(inputs).last_hidden_state.mean((2, 3)).numpy())
        return np.concatenate(parts)

    train = manifest.split("train")
    spec = Preprocessing()
    seen = np.concatenate([features(pixels(block, spec)) for block in blocks(train)])
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


def vectors(folder: Path) -> Any:
    """Return the stored vectors of the 14 findings."""
    checkpoint = open_checkpoint(folder)
    return finding_vectors(checkpoint, FINDINGS, lambda: open_engine(checkpoint))


def chexnet(test: Manifest, file: Path) -> tuple[Array, Rows]:
    """Return the supervised model's probabilities (N, F) and which test images have them (N,)."""
    table = pd.read_csv(file).set_index("nih_image")
    columns = {FINDINGS.match(name.removeprefix("prob_")).id: name for name in table.columns}
    values = table.reindex(test.column("nih_image"))[[columns[name] for name in FINDINGS.ids]].to_numpy(float)
    return values, ~np.isnan(values).any(axis=1)


def measure(test: Manifest, runs: dict[str, Array], rows: Rows) -> dict[str, Any]:
    """Return the AUC per finding and their mean with intervals, and paired differences of the means.

    Findings with fewer than five images of either label are left out. Runs of several seeds are averaged: the
    mean of their AUCs, replicate by replicate.
    """
    part = test.where(rows)
    labels = part.labels(FINDINGS)
    enough = ((labels == 1).sum(axis=0) >= 5) & ((labels == 0).sum(axis=0) >= 5)
    labels = labels[:, enough]
    areas = {name: ranking(labels, values[rows][:, enough], auprc=False) for name, values in runs.items()}
    found = resample(areas, part.patients(), replicates=REPLICATES, seed=SEED)
    estimates = {name: measured["auc"] for name, measured in found.items()}
    kinds = {
        kind: [one for name, one in estimates.items() if kind_of(name) == kind]
        for kind in dict.fromkeys(map(kind_of, runs))
    }
    kinds = {"shipped": kinds["tier"][:1], **kinds}
    groups = {kind: mean(members) for kind, members in kinds.items()}
    names = [name for name, use in zip(FINDINGS.ids, enough, strict=True) if use]
    return {
        "n": len(part),
        "patients": len(set(part.patients().tolist())),
        "positives": dict(zip(names, (labels == 1).sum(axis=0).tolist(), strict=True)),
        "auc": {
            kind: {
                "seeds": len(kinds[kind]),
                "findings": dict(zip(names, with_interval(group), strict=True)),
                "mean": with_interval(group.macro)[0],
            }
            for kind, group in groups.items()
        },
        "mean_of_each_run": {name: with_interval(one.macro)[0] for name, one in estimates.items()},
        "difference_of_means": {
            f"{TITLES[ours]} minus {TITLES[kind]}": with_interval(groups[ours].macro - group.macro)[0]
            for ours in ("shipped", "tier")
            for kind, group in groups.items()
            if kind not in ("shipped", "tier")
        },
    }


def kind_of(run: str) -> str:
    """Return the part of a run's name before the seed; without a seed, the name."""
    return run.rpartition("-")[0] or run


def mean(members: list[Estimate]) -> Estimate:
    """Average the AUCs of several seeds, replicate by replicate."""
    if len(members) == 1:
        return members[0]
    return Estimate(
        np.mean([one.point for one in members], axis=0), np.mean([one.replicates for one in members], axis=0)
    )


def with_interval(estimate: Estimate) -> list[list[float]]:
    """Return value, lower and upper bound of each finding, rounded."""
    return [
        [round(float(value), 4) for value in (point, *bounds)]
        for point, bounds in zip(estimate.point, estimate.interval(), strict=True)
    ]


def alarms(manifest: Manifest, test: Manifest, embedded: Array, scores: Array) -> dict[str, Any]:
    """Measure shortcuts: what tells the source, and what view, age and sex tell about the findings."""
    source = (test.column("source") == "nih-diverse").astype(int)
    probe = make_pipeline(
        StandardScaler(), LogisticRegression(C=1e-2, class_weight="balanced", max_iter=2000)
    )
    told = cross_val_predict(
        probe, embedded, source, groups=test.patients(), cv=GroupKFold(5), method="decision_function"
    )
    labels = test.labels(FINDINGS)
    by_score, within_view = {}, {}
    for f, name in enumerate(FINDINGS.ids):
        without = labels[:, f] == 0
        own, values = source[without], scores[without, f]
        by_score[name] = round(auc(own, values), 4)
        within_view[name] = round(stratified_auc(own, values, test.column("view")[without]), 4)
    train = manifest.split("train")
    train = train.where(np.isin(train.column("source"), ["nih-diverse", "nih-bbox", "nih-moo"]))
    seen, unseen, known = circumstances(train), circumstances(test), train.labels(FINDINGS)
    circumstance = {}
    for f, name in enumerate(FINDINGS.ids):
        fitted = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
        fitted.fit(seen, known[:, f] == 1)
        circumstance[name] = round(auc(labels[:, f], fitted.decision_function(unseen)), 4)
    pa = test.column("view") == "PA"
    return {
        "share_of_pa": {
            "many findings": round(float(pa[source == 1].mean()), 4),
            "others": round(float(pa[source == 0].mean()), 4),
        },
        "source_from_embedding": round(auc(source, told), 4),
        "source_from_score_without_finding": by_score,
        "source_from_score_within_view": within_view,
        "finding_from_view_age_sex": circumstance
        | {"mean": round(float(np.mean(list(circumstance.values()))), 4)},
    }


def stratified_auc(truth: NDArray[np.int_], scores: Array, strata: NDArray[Any]) -> float:
    """Return the AUC (0.5 for ties) over the pairs of a positive and a negative of one stratum."""
    right = pairs = 0.0
    for stratum in set(strata.tolist()):
        chosen = strata == stratum
        positives = int(truth[chosen].sum())
        if count := positives * (int(chosen.sum()) - positives):
            right += count * auc(truth[chosen], scores[chosen])
            pairs += count
    return right / pairs


def circumstances(manifest: Manifest) -> Array:
    """Return view, age and sex as numbers (N, 3)."""
    ages = pd.to_numeric(pd.Series(manifest.column("age")), errors="coerce").fillna(50)
    return np.column_stack([manifest.column("view") == "AP", ages, manifest.column("sex") == "M"]).astype(
        float
    )


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
        (name, value): sorted({write_caption({name: value}, rng).text for _ in range(200)})
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


def training(folder: Path) -> dict[str, Any]:
    """Return the content of training.json."""
    content: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return content


def sparsity(folder: Path) -> dict[str, float]:
    """Return the mean entropies and sparsity of the last 100 training steps (five logged lines)."""
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    steps = [line for line in lines if "contrastive" in line][-5:]
    names = ("patch_entropy", "token_entropy", "similarity_hoyer", "similarity_share_above_0.1")
    return {name: round(float(np.mean([step[name] for step in steps])), 4) for name in names}


def tables(result: dict[str, Any]) -> str:
    """Return the tables of the model card in Markdown."""
    alarm = result["alarms"]
    by = ("source_from_score_without_finding", "source_from_score_within_view", "finding_from_view_age_sex")
    blocks = [means_table(result["parts"])]
    blocks += [auc_table(name, result["parts"][name]) for name in (EVERYTHING, OF_CHEXNET)]
    blocks += [
        "### Shortcuts\n",
        f"- source from the embedding: AUC {alarm['source_from_embedding']:.3f}",
        f"- PA films: {alarm['share_of_pa']['many findings']:.0%} of the source chosen for many findings, "
        f"{alarm['share_of_pa']['others']:.0%} of the others",
        "- findings from view, age and sex alone: mean AUC "
        f"{alarm['finding_from_view_age_sex']['mean']:.3f}\n",
        table(
            ["finding", "source from its score", "within one view", "from view, age and sex"],
            [[name, *(f"{alarm[kind][name]:.3f}" for kind in by)] for name in FINDINGS.ids],
        ),
        "### Captions and their negations\n",
        table(
            ["run", "present", "absent", "balanced"],
            [[name, *(f"{x:.3f}" for x in shares.values())] for name, shares in result["captions"].items()],
        ),
        "### Token-patch similarities at the end of training\n",
        table(
            ["run", "patch entropy", "token entropy", "Hoyer sparsity", "share above 0.1"],
            [
                [name, *(f"{x:.4f}" for x in values.values())]
                for name, values in result["similarities"].items()
            ],
        ),
    ]
    return "\n".join(blocks)


def means_table(parts: dict[str, Any]) -> str:
    """Return the mean AUCs of every part of the test images, one row per part."""
    measured = parts[OF_CHEXNET]["auc"]
    kinds = list(measured)
    rows = [
        [
            name, str(part["n"]), str(len(part["positives"])),
            *(cell(part["auc"][kind]["mean"]) if kind in part["auc"] else "" for kind in kinds),
        ]
        for name, part in parts.items()
    ]  # fmt: skip
    heading = ["part", "images", "findings", *headings(measured)]
    return f"### Mean AUC\n\n{table(heading, rows)}"


def auc_table(title: str, part: dict[str, Any]) -> str:
    """Return the AUCs of one part of the test images, and their differences."""
    kinds = list(part["auc"])
    rows = [
        [name, str(count), *(cell(part["auc"][kind]["findings"][name]) for kind in kinds)]
        for name, count in part["positives"].items()
    ]
    means = [f"**{cell(part['auc'][kind]['mean'])}**" for kind in kinds]
    rows.append([f"**mean of {len(rows)}**", "", *means])
    heading = ["finding", "positives", *headings(part["auc"])]
    facts = [f"- {name} (mean AUC): {cell(value)}" for name, value in part["difference_of_means"].items()]
    runs = ", ".join(f"{name} {cell(value)}" for name, value in part["mean_of_each_run"].items())
    title = f"### {title} (n = {part['n']}, {part['patients']} patients)\n"
    return "\n".join([title, table(heading, rows), *facts, f"- mean AUC of each run: {runs}", ""])


def headings(measured: dict[str, Any]) -> list[str]:
    """Return the titles of kinds of runs, with the number of seeds that were averaged."""
    return [
        TITLES[kind] + (f", {one['seeds']} seeds" if one["seeds"] > 1 else "")
        for kind, one in measured.items()
    ]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell(value: list[float]) -> str:
    """Return a value with its interval."""
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


if __name__ == "__main__":
    main()
