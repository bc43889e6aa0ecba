"""The section ``retrieval``: images and their reports, found by each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import CheckpointError, ManifestError, UsageError
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.intervals import documents, interval_text, number, value_text
from tier_cli.evaluation.sections.retrieval_measures import (
    PRECISIONS,
    RANKS,
    Pairing,
    chance,
    finding_ranks,
    pair_up,
    precisions,
    ranks,
)
from tier_cli.evaluation.units import Units, units_of
from tier_cli.metrics.bootstrap import resample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.measure import Labelled, Resampling
    from tier_cli.pipeline.scoring_job import ScoringJob

    Vectors = NDArray[np.float32]

RULE = (
    "an image and a report match if they are of one study, or the report is word for word that of its study; "
    "each wording stands once among the reports to choose from; ties count against the model"
)
_DIRECTIONS = {"image_to_report": "image to report", "report_to_image": "report to image"}
_TEXTS_AT_A_TIME = 64


def retrieval_section() -> Section:
    """Give the section ``retrieval``."""
    return Section("retrieval", _make, show_retrieval)


def check_texts(texts: NDArray[np.str_], origin: str) -> None:
    """Refuse rows without reports.

    Raises
    ------
    ManifestError
        No row has a text.
    """
    if not any(text.strip() for text in texts.tolist()):
        raise ManifestError("no image has a report", where=origin, remedy="--retrieval needs a column text")


def _make(evaluation: Evaluation) -> dict[str, Any]:
    job, manifest = evaluation.job, evaluation.selection.manifest
    if job is None:
        raise UsageError("reports need a model to be embedded", where="--retrieval", remedy="add --model")
    images = _images(evaluation)
    usable = np.isfinite(images).all(axis=1)
    texts, studies = manifest.column("text"), units_of(manifest, "study")
    # A report that only an unusable image carries is not among those to choose from.
    worded = usable & (np.char.strip(texts) != "")
    told = np.zeros(studies.count, bool)
    told[studies.index[worded]] = True
    used = usable & told[studies.index]
    if not used.any():
        raise ManifestError("no image that could be scored has a report", where=manifest.origin)
    patients, how = evaluation.truth.patients[used], evaluation.protocol.resampling
    known = _numbered(studies, used)
    pairing = pair_up(texts[used].tolist(), known)
    vectors = _texts(job, pairing.texts)
    return {
        "rule": RULE,
        "images": int(used.sum()),
        "studies": known.count,
        "patients": len(np.unique(patients)),
        "texts": len(pairing.texts),
        "texts_of_several_studies": pairing.shared,
        "left_out": {
            "without_report": int((usable & ~told[studies.index]).sum()),
            "unusable": int((~usable).sum()),
        },
        "directions": measure_directions(images[used], vectors, pairing, known, patients, how),
        "findings": _findings(evaluation, job, images),
    }


def measure_directions(
    images: Vectors,
    texts: Vectors,
    pairing: Pairing,
    studies: Units,
    patients: NDArray[np.generic],
    how: Resampling,
) -> list[dict[str, Any]]:
    """Measure image to report and report to image.

    Parameters
    ----------
    images, texts
        (N, D) and (T, D); their products are similarities.
    pairing, studies
        What belongs together.
    patients
        (N,) one key an image.
    how
        How patients are resampled; what there is to choose from stays the same.
    """
    from_texts = ranks(texts, images, pairing.by_text)
    of_queries = pairing.queries[:, 1]
    sides = {
        "image_to_report": (
            ranks(images, texts, pairing.by_image),
            pairing.by_image.counts,
            len(texts),
            patients,
        ),
        "report_to_image": (
            from_texts[of_queries],
            pairing.by_text.counts[of_queries],
            len(images),
            studies.first(np.asarray(patients, np.str_))[pairing.queries[:, 0]],
        ),
    }
    return [{"direction": name, **_direction(*side, how)} for name, side in sides.items()]


def _direction(
    places: NDArray[np.intp],
    relevant: NDArray[np.intp],
    gallery: int,
    patients: NDArray[np.generic],
    how: Resampling,
) -> dict[str, Any]:
    (found,) = resample(
        {0: finding_ranks(places)}, patients, replicates=how.replicates, seed=how.seed
    ).values()
    recalls, median = chance(relevant, gallery)
    return {
        "queries": len(places),
        "gallery": gallery,
        "recall": [
            {"k": k, **one, "chance": number(by_chance)}
            for k, one, by_chance in zip(RANKS, documents(found["recall"], how.level), recalls, strict=True)
        ],
        "median_rank": {**documents(found["median_rank"], how.level)[0], "chance": median},
    }


def _images(evaluation: Evaluation) -> Vectors:
    """Every image's unit vectors, side by side over the root of the number of models; NaN where unusable.

    So that products of such vectors are means of cosines.
    """
    units = []
    for found in evaluation.embeddings:
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        units.append(np.asarray(found / np.where(lengths > 0, lengths, np.nan), np.float32))
    return np.concatenate(units, axis=1) / _root(evaluation.job)


def _texts(job: ScoringJob, texts: tuple[str, ...]) -> Vectors:
    """Embed reports (T, D) as images are."""
    from tier_cli.display.progress import progress_on_stderr

    parts = []
    with progress_on_stderr(len(texts), "Embedding reports") as tick:
        for first in range(0, len(texts), _TEXTS_AT_A_TIME):
            some = texts[first : first + _TEXTS_AT_A_TIME]
            parts.append(np.concatenate([m.engine.embed_texts(some) for m in job.members], axis=1))
            for _ in some:
                tick()
    vectors = np.concatenate(parts)
    if not np.isfinite(vectors).all():
        raise CheckpointError(
            "the model gave no finite embedding of a report", remedy="check it with `tier model verify`"
        )
    return np.asarray(vectors, np.float32) / _root(job)


def _root(job: ScoringJob | None) -> np.float32:
    return np.float32(np.sqrt(len(job.members) if job else 1))


def _numbered(studies: Units, used: NDArray[np.bool_]) -> Units:
    """The studies of the images that are used, numbered anew."""
    names, index = np.unique(studies.index[used], return_inverse=True)
    return Units("study", index, len(names))


def _findings(evaluation: Evaluation, job: ScoringJob, images: Vectors) -> list[dict[str, Any]]:
    """Precision of the images nearest to each finding's positive vector."""
    truth, how = evaluation.truth, evaluation.protocol.resampling
    wanted = [job.findings.ids.index(name) for name in truth.findings]
    vectors = np.concatenate([member.vectors.positive[wanted] for member in job.members], axis=1) / _root(job)
    scores = np.asarray(images @ vectors.T, np.float64)
    (found,) = resample(
        {0: precisions(truth.labels, scores)}, truth.patients, replicates=how.replicates, seed=how.seed
    ).values()
    each = {k: documents(found[f"precision@{k}"], how.level) for k in PRECISIONS}
    return [
        {
            "finding": name,
            **_rates(truth, scores, place),
            "precision": [{"k": k, **each[k][place]} for k in PRECISIONS],
        }
        for place, name in enumerate(truth.findings)
    ]


def _rates(truth: Labelled, scores: NDArray[np.float64], place: int) -> dict[str, Any]:
    known = truth.labels[np.isfinite(scores[:, place]), place]
    n, positives = int(np.isfinite(known).sum()), int((known == 1).sum())
    return {"n": n, "positives": positives, "chance": number(positives / n) if n else None}


def show_retrieval(content: Mapping[str, Any], console: Console) -> None:
    """Print both directions, then the findings."""
    from rich.table import Table
    from rich.text import Text

    from tier_cli.display.evaluation_table import put

    for one in content["directions"]:
        table = Table(box=None, header_style="dim")
        table.add_column("", min_width=14)
        for name in ("value", "95% interval", "chance"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in one["recall"]:
            cells = (value_text(row), Text(interval_text(row)), f"{row['chance']:.3f}")
            table.add_row(f"recall at {row['k']}", *cells)
        median = one["median_rank"]
        form = ".1f"
        table.add_row(
            "median rank", value_text(median, form), Text(interval_text(median, form)), str(median["chance"])
        )
        kind = _DIRECTIONS[one["direction"]]
        put(console, f"Retrieval, {kind}: {one['queries']} queries among {one['gallery']}", table)
    console.print(Text(content["rule"], style="dim"))
    put(console, "Images nearest to a finding's prompts: share that have it", _finding_table(content))


def _finding_table(content: Mapping[str, Any]) -> Any:
    from rich.text import Text

    from tier_cli.display.evaluation_table import new_table

    table = new_table("n", "positive", *(f"first {k}" for k in PRECISIONS), "95% interval", "chance")
    for row in content["findings"]:
        *_, last = row["precision"]
        rate = "-" if row["chance"] is None else f"{row['chance']:.3f}"
        values = [value_text(one) for one in row["precision"]]
        table.add_row(
            Text(row["finding"]),
            str(row["n"]),
            str(row["positives"]),
            *values,
            Text(interval_text(last)),
            rate,
        )
    return table
