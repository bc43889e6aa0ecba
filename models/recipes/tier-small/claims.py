"""Compare objectives by where their patches point: the claim of the TIER paper, paired by image, over seeds.

    python models/recipes/tier-small/claims.py MANIFEST.csv RUNS --split test --output DIR

RUNS holds checkpoint folders `KIND-0`, `KIND-1`, ... of one kind per objective and one number per seed; the
kind `none` is compared with all others. Images come from the split of MANIFEST.csv, whose column `boxes` says
where findings are. DIR receives claims.json and claims.md.

Per image and finding with a box: whether the most similar patch lies in it, the AUC and the contrast-to-noise
ratio of similarity inside against outside (as `tier eval --grounding`), of the maps that `tier explain`
draws; and, of the words of the finding's first positive prompt, patch entropy and sparsity (as `tier
figures`).
Each is averaged over the seeds, then over the cases of a finding, then over findings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import (
    FINDINGS,
    REPLICATES,
    SEED,
    Array,
    cell,
    embed,
    kind_of,
    mean,
    pixels,
    table,
    vectors,
    with_interval,
)

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.errors import InputError
from tier_cli.evaluation.figures.measures import above_median, entropy, hoyer
from tier_cli.evaluation.sections.grounding_cases import case_of, read_targets, target_directions
from tier_cli.evaluation.sections.grounding_measures import Case, cnr, inside_auc, means, pointing
from tier_cli.maps.similarity import PatchMap, similarities
from tier_cli.metrics.bootstrap import Estimate, resample
from tier_cli.metrics.statistics import ranking
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.pipeline.encode import patch_maps
from tier_cli.pipeline.scorer import Scorer
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.pipeline.stream import stream_options
from tier_cli.scoring.adaptation import unit
from tier_cli.scoring.score import score

REFERENCE = "none"
OF_CASE: dict[str, Callable[[Case], float]] = {
    "pointing": pointing,
    "auc_in_boxes": inside_auc,
    "cnr": cnr,
}
OF_TOKENS: dict[str, Callable[[Array], Array]] = {
    "patch_entropy": lambda cosines: entropy(cosines, axis=1),
    "patch_entropy_at_0.1": lambda cosines: entropy(cosines / 0.1, axis=1),
    "hoyer": hoyer,
    "hoyer_above_median": lambda cosines: hoyer(above_median(cosines)),
}


@dataclass(frozen=True)
class Cases:
    """The cases of a run: finding and patient of each, and its measures by name."""

    findings: tuple[str, ...]
    patients: tuple[str, ...]
    values: dict[str, Array]


def main() -> None:
    """Measure all runs on the same images, then the kinds and their differences from `none`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.manifest).split(arguments.split)
    folders = sorted(path for path in arguments.runs.glob("*-[0-9]*") if (path / "config.json").is_file())
    names = dict.fromkeys(kind_of(folder.name) for folder in folders)
    kinds = {kind: [folder for folder in folders if kind_of(folder.name) == kind] for kind in names}
    if REFERENCE not in kinds:
        parser.error(f"{arguments.runs} holds no run {REFERENCE}-0")
    measured = {folder: measure(folder, manifest) for folder in folders}
    images = pixels(manifest, open_checkpoint(folders[0]).preprocessing)
    scores = {folder: score(embed(folder, images), vectors(folder)) for folder in folders}
    result = {
        "split": arguments.split,
        "images": len(manifest),
        "cases": len(measured[folders[0]].findings),
        "patients_with_boxes": len(set(measured[folders[0]].patients)),
        "replicates": REPLICATES,
        "seed": SEED,
        "kinds": compare(kinds, measured, areas(manifest, scores)),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "claims.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.output / "claims.md").write_text(page(result))


def measure(folder: Path, manifest: Manifest) -> Cases:
    """Compare the patches of every image that has boxes with its findings."""
    (member,) = open_job(str(folder), FINDINGS).members
    targets, _ = read_targets(manifest, FINDINGS)
    rows = [row for row, wanted in enumerate(targets) if wanted]
    patients = manifest.patients()
    directions = target_directions(member, FINDINGS.ids, [targets[row] for row in rows])
    prompts = tokens(member)
    found: list[tuple[str, str, dict[str, float]]] = []
    maps = patch_maps([manifest.paths[row] for row in rows], member, stream_options(views="all", workers=0))
    for row, seen in zip(rows, maps, strict=True):
        if isinstance(seen, InputError):
            raise seen
        for target in targets[row]:
            case = case_of(target.regions, seen, directions[target.finding, target.text])
            if isinstance(case, str):
                raise SystemExit(f"{manifest.paths[row]}: {case}")
            values = {name: of(case) for name, of in OF_CASE.items()}
            found.append((target.finding, str(patients[row]), values | spread(seen, prompts[target.finding])))
    columns = {name: np.array([values[name] for *_, values in found]) for name in (*OF_CASE, *OF_TOKENS)}
    return Cases(tuple(f for f, *_ in found), tuple(p for _, p, _ in found), columns)


def tokens(member: Scorer) -> dict[str, Array]:
    """Return the embeddings (T, D) of the words of each finding's first positive prompt."""
    texts = [finding.positive[0] for finding in FINDINGS.findings]
    embedded = member.engine.embed_tokens(texts)
    return {name: one.embeddings.astype(float) for name, one in zip(FINDINGS.ids, embedded, strict=True)}


def spread(seen: PatchMap, words: Array) -> dict[str, float]:
    """Return how the cosines of words and patches are spread, averaged over the words."""
    cosines = similarities(seen.patches, unit(words))
    return {name: float(np.nanmean(of(cosines))) for name, of in OF_TOKENS.items()}


def areas(manifest: Manifest, scores: dict[Path, Array]) -> dict[Path, Estimate]:
    """Return the mean AUC over the findings of each run, on all images of the split."""
    labels = manifest.labels(FINDINGS)
    statistics = {folder: ranking(labels, values, auprc=False) for folder, values in scores.items()}
    found = resample(statistics, manifest.patients(), replicates=REPLICATES, seed=SEED)
    return {folder: estimates["auc"].macro for folder, estimates in found.items()}


def compare(
    kinds: dict[str, list[Path]], measured: dict[Path, Cases], aucs: dict[Path, Estimate]
) -> dict[str, Any]:
    """Return each kind's measures, averaged over its seeds, and their differences from the reference."""
    estimates = {kind: estimate([measured[f] for f in folders]) for kind, folders in kinds.items()}
    for kind, folders in kinds.items():
        estimates[kind]["mean_auc"] = mean([aucs[folder] for folder in folders])
    document: dict[str, Any] = {}
    for kind, own in estimates.items():
        document[kind] = {"seeds": len(kinds[kind]), **{name: with_interval(e)[0] for name, e in own.items()}}
        document[kind]["each_seed"] = {
            folder.name: {
                "mean_auc": with_interval(aucs[folder])[0][0],
                **{name: with_interval(e)[0][0] for name, e in estimate([measured[folder]]).items()},
            }
            for folder in kinds[kind]
        }
        if kind != REFERENCE:
            document[kind]["minus_none"] = {
                name: with_interval(e - estimates[REFERENCE][name])[0] for name, e in own.items()
            }
    return document


def estimate(runs: Sequence[Cases]) -> dict[str, Estimate]:
    """Average the runs of several seeds case by case, then within findings, then over findings."""
    first = runs[0]
    values = {name: np.mean([run.values[name] for run in runs], axis=0) for name in first.values}
    names = sorted(set(first.findings))
    groups = np.array([names.index(name) for name in first.findings], dtype=np.intp)
    statistic = means(values, groups, len(names))
    found = resample({0: statistic}, np.array(first.patients), replicates=REPLICATES, seed=SEED)[0]
    return {name: one.macro for name, one in found.items()}


def page(result: dict[str, Any]) -> str:
    """Return the measures of each kind, and the differences, in Markdown."""
    kinds = result["kinds"]
    names = [*OF_CASE, *OF_TOKENS, "mean_auc"]
    others = [kind for kind in kinds if kind != REFERENCE]
    headings = [REFERENCE, *(text for kind in others for text in (kind, f"{kind} minus {REFERENCE}"))]
    rows = []
    for name in names:
        cells = [cell(kinds[REFERENCE][name])]
        for kind in others:
            cells += [cell(kinds[kind][name]), cell(kinds[kind]["minus_none"][name])]
        rows.append([name, *cells])
    return (
        f"{result['cases']} findings with boxes of {result['patients_with_boxes']} patients; "
        f"{result['images']} images, split {result['split']}.\n\n{table(['measure', *headings], rows)}"
    )


if __name__ == "__main__":
    main()
