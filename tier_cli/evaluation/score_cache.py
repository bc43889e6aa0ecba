"""Keep the scores of images in the cache folder, so that a repeated evaluation computes only what is new."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.evaluation.candidates import score
from tier_cli.evaluation.scores import Scores, Unscored
from tier_cli.files.atomic import whole_file
from tier_cli.files.caches import cache_dir
from tier_cli.progress import Progress, no_progress

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.metrics.ranking import Floats
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions

# An interrupted run loses no more than these images.
_PART = 5000


def score_with_cache(
    job: ScoringJob, manifest: Manifest, options: StreamOptions, progress: Progress = no_progress
) -> Scores:
    """Score a manifest's images as `score` does, but only those whose scores are not in the cache.

    A score is reused if the image has the same path, size and time of change, and if checkpoint,
    preprocessing, finding set with its prompts, engine, views and release of the package are the same. The
    cache holds hashes, no paths. Images that could not be scored are tried again.

    Parameters
    ----------
    job, manifest, options, progress
        As for `score`.
    """
    folder = cache_dir()
    if folder is None:
        return score(job, manifest, options, progress)
    file = folder / "scores" / _model_key(job, options) / f"{_hash([manifest.origin])}.npz"
    known = _read(file, len(job.findings.ids))
    images = [_identity(path) for path in manifest.paths]
    values = np.array([known.get(image, _unknown(job)) for image in images]).reshape(len(images), -1)
    missing = np.flatnonzero(~np.isfinite(values).all(axis=1))
    unscored: list[Unscored] = []
    for first in range(0, len(missing), _PART):
        part = np.zeros(len(images), dtype=bool)
        part[missing[first : first + _PART]] = True
        fresh = score(job, manifest.where(part), options, progress)
        values[part] = fresh.values
        unscored += fresh.unscored
        _write(file, [image for image, one in zip(images, part, strict=True) if one], fresh.values, known)
    return Scores(job.stamp.name, job.findings.ids, values, tuple(unscored))


def _unknown(job: ScoringJob) -> Floats:
    return np.full(len(job.findings.ids), np.nan)


def _model_key(job: ScoringJob, options: StreamOptions) -> str:
    from tier_cli import __version__
    from tier_cli.model.checkpoint import canonical_hash

    members = [
        {
            "hashes": member.checkpoint.hashes,
            "config": member.checkpoint.config,
            "scoring": member.scoring,
            "adaptation": member.adaptation.hash if member.adaptation else "",
            "engine": [member.engine.name, str(member.engine.device)],
        }
        for member in job.members
    ]
    read = {name: str(value) for name, value in vars(options.read).items()}
    key = {"version": __version__, "members": members, "findings": job.findings.hash, "read": read}
    return str(canonical_hash(key))


def _identity(path: str) -> str:
    """Return a hash of path, size and time of change; "" for a file that is absent."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return _hash([os.path.realpath(path), str(found.st_size), str(found.st_mtime_ns)])


def _hash(parts: Sequence[str]) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:32]


def _read(file: Path, findings: int) -> dict[str, Floats]:
    """Return the scores (F,) of images; nothing if the file is absent or damaged."""
    try:
        with np.load(file, allow_pickle=False) as content:
            images, scores = content["images"], content["scores"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    if images.ndim != 1 or scores.shape != (len(images), findings):
        return {}
    return dict(zip(images.astype(str).tolist(), scores, strict=True))


def _write(file: Path, images: Sequence[str], values: Floats, known: dict[str, Floats]) -> None:
    """Add scores to those that are known, and write all of them."""
    for image, one in zip(images, values, strict=True):
        if image and np.isfinite(one).all():
            known[image] = one
    if not known:
        return
    # If the cache is full, the scores are computed again next time.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as partial, partial.open("wb") as opened:
            np.savez(opened, images=np.array(list(known), dtype="S32"), scores=np.stack(list(known.values())))
