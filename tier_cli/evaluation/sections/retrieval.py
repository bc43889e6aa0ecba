"""Measure how well images find their reports, and reports their images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import CheckpointError, ManifestError, UsageError
from tier_cli.evaluation.context import Section
from tier_cli.evaluation.intervals import documents, number
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

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.truth import Labelled
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.progress import Progress

    Vectors = NDArray[np.float32]

RULE = (
    "an image and a report match if they belong to one study, or if the report has the same words as that of "
    "the image's study; reports with the same words count as one candidate; ties count against the model"
)
_TEXTS_AT_A_TIME = 64


def retrieval_section() -> Section:
    """Return the section ``retrieval``."""
    return Section("retrieval", _measure)


def check_texts(texts: NDArray[np.str_], origin: str) -> None:
    """Refuse rows without reports.

    Raises
    ------
    ManifestError
        No row has a text.
    """
    if not any(text.strip() for text in texts.tolist()):
        raise ManifestError("no image has a report", where=origin, remedy="--retrieval needs a column text")


def _measure(evaluation: Evaluation) -> dict[str, Any]:
    job, manifest = evaluation.job, evaluation.selection.manifest
    if job is None:
        raise UsageError("embedding reports needs a model", where="--retrieval", remedy="add --model")
    images = _images(evaluation)
    usable = np.isfinite(images).all(axis=1)
    texts, studies = manifest.column("text"), units_of(manifest, "study")
    # A report that only an unusable image carries is not a candidate.
    with_text = usable & (np.char.strip(texts) != "")
    has_report = np.zeros(studies.count, bool)
    has_report[studies.index[with_text]] = True
    used = usable & has_report[studies.index]
    if not used.any():
        raise ManifestError(
            "no image that could be scored has a report",
            where=manifest.origin,
            remedy="fill the column text of readable images",
        )
    patients, how = evaluation.truth.patients[used], evaluation.protocol.resampling
    used_studies = _numbered(studies, used)
    pairing = pair_up(texts[used].tolist(), used_studies)
    vectors = _texts(job, pairing.texts, evaluation.progress)
    return {
        "rule": RULE,
        "images": int(used.sum()),
        "studies": used_studies.count,
        "patients": len(np.unique(patients)),
        "texts": len(pairing.texts),
        "texts_of_several_studies": pairing.shared,
        "left_out": {
            "without_report": int((usable & ~has_report[studies.index]).sum()),
            "unusable": int((~usable).sum()),
        },
        "directions": measure_directions(images[used], vectors, pairing, used_studies, patients, how),
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
        Which images and texts match, and the study of each image.
    patients
        (N,) one patient key per image.
    how
        How patients are resampled; the candidates stay the same.
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
    """Return the images' unit vectors of all models side by side, divided by the root of their number.

    Products of such vectors are means of cosines. NaN for unusable files.
    """
    units = []
    for found in evaluation.embeddings:
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        units.append(np.asarray(found / np.where(lengths > 0, lengths, np.nan), np.float32))
    return np.concatenate(units, axis=1) / _root(evaluation.job)


def _texts(job: ScoringJob, texts: tuple[str, ...], progress: Progress) -> Vectors:
    """Embed reports (T, D) like images."""
    parts = []
    with progress(len(texts), "Embedding reports") as tick:
        for first in range(0, len(texts), _TEXTS_AT_A_TIME):
            some = texts[first : first + _TEXTS_AT_A_TIME]
            parts.append(np.concatenate([m.engine.embed_texts(some) for m in job.members], axis=1))
            for _ in some:
                tick()
    vectors = np.concatenate(parts)
    if not np.isfinite(vectors).all():
        raise CheckpointError(
            "the embedding of a report is not finite",
            remedy="check it with `tier model verify`",
        )
    return np.asarray(vectors, np.float32) / _root(job)


def _root(job: ScoringJob | None) -> np.float32:
    return np.float32(np.sqrt(len(job.members) if job else 1))


def _numbered(studies: Units, used: NDArray[np.bool_]) -> Units:
    """Return the studies of the images in use, renumbered."""
    names, index = np.unique(studies.index[used], return_inverse=True)
    return Units("study", index, len(names))


def _findings(evaluation: Evaluation, job: ScoringJob, images: Vectors) -> list[dict[str, Any]]:
    """Measure the precision of the images nearest to each finding's positive vector."""
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
