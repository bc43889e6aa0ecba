"""Quantise a checkpoint into a copy, and measure what int8 gains and costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.datasets.manifest import Manifest
from tier_cli.decoding.decode import Settings
from tier_cli.decoding.prefetch import decoded
from tier_cli.errors import InputError, ManifestError, UsageError
from tier_cli.evaluation.candidates import score
from tier_cli.evaluation.truth import settle_uncertain
from tier_cli.findings.load import builtin, builtin_names
from tier_cli.imaging.discover import Source
from tier_cli.maps.scale import MAP_SCALE
from tier_cli.metrics.bootstrap import resample
from tier_cli.metrics.statistics import ranking
from tier_cli.model.checkpoint import (
    CALIBRATION,
    CONFIG,
    IMAGE_GRAPH,
    TEXT_GRAPH,
    VECTORS,
    WEIGHTS,
    open_checkpoint,
    write_checksums,
)
from tier_cli.model.copying import checkpoint_copy, write_card_section
from tier_cli.model.finding_vectors import carry_vectors
from tier_cli.model.quantise import quantise
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.pipeline.stream import batch_size_of, workers_of
from tier_cli.progress import Progress, no_progress
from tier_cli.scoring.adaptation import ADAPTATION, TENSORS
from tier_cli.scoring.input_check import INPUT_CHECK

if TYPE_CHECKING:
    from tier_cli.evaluation.selection import Selection
    from tier_cli.model.engine import Engine
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions

Images = list[NDArray[np.float32]]

# The fewest images that ranges come from.
MIN_IMAGES = 10
# What was fitted to the float model's embeddings or scores, and how it is fitted again.
_FITTED = {
    CALIBRATION: "tier calibrate",
    ADAPTATION: "tier adapt",
    TENSORS: "tier adapt",
    INPUT_CHECK: "tier model input-check",
    MAP_SCALE: "tier model map-scale",
}
# Results of the float model.
_MEASURED = ("metrics.jsonl", "report.json", "validation.json")
_REPLICATES, _TIMED_IMAGES, _ROUNDS = 1000, 8, 5


def write_quantised(
    job: ScoringJob,
    rows: Selection,
    output: Path,
    options: StreamOptions,
    images: int,
    float_layers: int,
    seed: int,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Write an int8 copy of a checkpoint, with its gain and its cost in the model card.

    Parameters
    ----------
    job
        One model on the onnx engine, with the finding set whose scores are compared.
    rows
        The images: those of some patients give the ranges, those of all others are scored by both models.
    output
        The new folder.
    options
        How images are read.
    images
        At most so many images give the ranges.
    float_layers
        See `tier_cli.model.quantise.quantise`.
    seed
        Draws the patients of these images.
    progress
        Where progress is reported.

    Returns
    -------
    dict
        What was measured.

    Raises
    ------
    UsageError
        The checkpoint has int8 weights already.
    ManifestError
        There are too few images.
    """
    source = job.checkpoint
    if source.is_quantised:
        raise UsageError(
            "has int8 weights already", where=str(source.path), remedy="name the checkpoint it was made from"
        )
    ranged, others = _divided(rows.manifest, images, seed)
    prepared = _prepared(ranged, job, options, progress)
    left_out = [name for name in _FITTED if (source.path / name).is_file()]
    replaced = (WEIGHTS, CONFIG, IMAGE_GRAPH, TEXT_GRAPH, VECTORS, *_MEASURED)
    with checkpoint_copy(source.path, output, [*replaced, *left_out]) as folder:
        facts: dict[str, Any] = dict(quantise(source, prepared, folder, float_layers))
        write_checksums(folder)
        copy = open_checkpoint(folder)
        carry_vectors(source, copy, [source.findings, *map(builtin, builtin_names())])
        write_checksums(folder)
        small = open_job(str(folder), job.findings, "onnx", "cpu")
        facts |= {"ranges_from": len(prepared), "split": rows.split}
        facts |= _cost(job, small, others, options, progress)
        facts["unreadable"] += len(ranged) - len(prepared)
        facts["ms_per_image"] = _time(job.engine, small.engine, np.stack(prepared[:_TIMED_IMAGES]))
        facts["bytes"] = {
            name: (place / WEIGHTS).stat().st_size
            for name, place in (("float", source.path), ("int8", folder))
        }
        facts["vnni"] = _has_vnni()
        facts["fit_again"] = sorted({_FITTED[name] for name in left_out})
        write_card_section(folder, "Int8 weights", card(source.name, facts))
    return facts


def _divided(manifest: Manifest, images: int, seed: int) -> tuple[Manifest, Manifest]:
    """Return the rows of randomly drawn patients, at most half of all rows, and the other rows."""
    patients = manifest.patients()
    keys, row_patient, counts = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(keys))
    chosen = order[np.cumsum(counts[order]) <= min(images, len(patients) // 2)]
    drawn = np.isin(row_patient, chosen)
    return manifest.where(drawn), manifest.where(~drawn)


def _prepared(manifest: Manifest, job: ScoringJob, options: StreamOptions, progress: Progress) -> Images:
    settings = Settings.of(options.read, job.checkpoint.preprocessing)
    size = batch_size_of(options, job.engine)
    sources = (Source(path) for path in manifest.paths)
    found: Images = []
    with (
        closing(decoded(sources, settings, workers_of(options), size)) as outcomes,
        progress(len(manifest), "Preparing images") as tick,
    ):
        while group := list(islice(outcomes, size)):
            for _, image in group:
                if not isinstance(image, InputError):
                    found.append(image.pixels)
                tick()
    if len(found) < MIN_IMAGES:
        raise ManifestError(
            f"{len(found)} images are too few for the ranges of activations",
            where=manifest.origin,
            remedy=f"provide at least {2 * MIN_IMAGES} readable images of several patients",
        )
    return found


def _cost(
    job: ScoringJob, small: ScoringJob, manifest: Manifest, options: StreamOptions, progress: Progress
) -> dict[str, Any]:
    """Compare the scores of both models, and their AUC where there are labels."""
    ids = job.findings.ids
    first, second = score(job, manifest, options, progress), score(small, manifest, options, progress)
    before, after = first.of(ids), second.of(ids)
    both = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    if both.sum() < MIN_IMAGES:
        raise ManifestError(
            f"{int(both.sum())} images can be scored by both models, too few to compare them",
            where=manifest.origin,
            remedy=f"provide at least {2 * MIN_IMAGES} readable images of several patients",
        )
    moved = np.abs(after - before)[both]
    facts: dict[str, Any] = {
        "images": int(both.sum()),
        "patients": len(np.unique(manifest.patients()[both])),
        "unreadable": len(first.unscored),
        "score_change": {"mean": round(float(moved.mean()), 4), "largest": round(float(moved.max()), 4)},
        "auc": None,
    }
    if manifest.label_columns(job.findings):
        labels = settle_uncertain(manifest.labels(job.findings), "ignore")[both]
        facts["auc"] = _areas(labels, before[both], after[both], manifest.patients()[both])
    return facts


def _areas(
    labels: NDArray[np.float64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    patients: NDArray[np.str_],
) -> dict[str, Any] | None:
    """Return both mean AUCs and their difference with its interval, by resampling patients."""
    models = {"float": ranking(labels, before, auprc=False), "int8": ranking(labels, after, auprc=False)}
    drawn = resample(models, patients, replicates=_REPLICATES)
    areas = {name: found["auc"] for name, found in drawn.items()}
    known = np.isfinite(areas["float"].point)
    if not known.any():
        return None
    difference = (areas["int8"] - areas["float"]).macro
    low, high = difference.interval()[0].tolist()
    return {
        **{name: round(float(area.macro.point[0]), 4) for name, area in areas.items()},
        "difference": round(float(difference.point[0]), 4),
        "interval": [round(low, 4), round(high, 4)],
        "findings": int(known.sum()),
    }


def _time(first: Engine, second: Engine, pixels: NDArray[np.float32]) -> dict[str, float]:
    """Return the CPU milliseconds that an image takes with each, the least of several rounds by turns."""
    best = {"float": float("inf"), "int8": float("inf")}
    for _ in range(_ROUNDS):
        for name, engine in zip(best, (first, second), strict=True):
            start = time.process_time()
            engine.encode_images(pixels)
            best[name] = min(best[name], (time.process_time() - start) / len(pixels) * 1000)
    return {name: round(value, 2) for name, value in best.items()}


def _has_vnni() -> bool | None:
    """Return whether this processor has instructions for int8; None where the system does not tell."""
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None


def card(source: str, facts: Mapping[str, Any]) -> str:
    """Return the section of the model card, in Markdown."""
    lines = [
        f"A copy of {source} whose image tower computes with int8 weights and activations, except for its "
        f"first {facts['float_layers']} of {facts['layers']} layers. Ranges come from {facts['ranges_from']} "
        "images. Only onnxruntime on CPU computes it. All other numbers of this card were measured with the "
        "float model.",
        "",
        "| | float | int8 |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in figures(facts)),
        "",
        sentence(facts),
    ]
    if facts["fit_again"]:
        lines += ["", fit_again(facts["fit_again"])]
    return "\n".join(lines)


def figures(facts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the rows of the table that compares both models: what is compared, float, int8."""
    times, sizes, auc = facts["ms_per_image"], facts["bytes"], facts["auc"]
    rows = [
        ("CPU time per image, ms", f"{times['float']:.2f}", f"{times['int8']:.2f}"),
        ("images per CPU second", f"{1000 / times['float']:.0f}", f"{1000 / times['int8']:.0f}"),
        ("weights, MB", f"{sizes['float'] / 1e6:.1f}", f"{sizes['int8'] / 1e6:.1f}"),
    ]
    if auc is not None:
        rows.append((f"mean AUC, {auc['findings']} findings", f"{auc['float']:.3f}", f"{auc['int8']:.3f}"))
    return rows


def sentence(facts: Mapping[str, Any]) -> str:
    """Say what int8 costs, on how many images."""
    auc, moved = facts["auc"], facts["score_change"]
    where = f"{facts['images']} images of {facts['patients']} other patients, split {facts['split']}"
    text = f"On {where}, scores change by {moved['mean']:.4f} on average and {moved['largest']:.4f} at most."
    if auc is None:
        return f"{text} There are no labels to measure the AUC that int8 costs."
    low, high = auc["interval"]
    return f"{text} The mean AUC changes by {auc['difference']:+.3f} [{low:+.3f}, {high:+.3f}]."


def fit_again(commands: Sequence[str]) -> str:
    """Say what was not copied."""
    return (
        "What was fitted to the float model was not copied, because scores and embeddings differ. Fit it "
        "again: " + ", ".join(f"`{command}`" for command in commands) + "."
    )
