"""Scores that `tier classify` wrote earlier, taken only where they are of the very model at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.errors import ManifestError
from tier_cli.evaluation.scores import Scores, read_scores, read_table

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.pipeline.scoring_job import ScoringJob


def read_own_scores(path: Path, manifest: Manifest, job: ScoringJob) -> Scores:
    """Read scores and check by their hashes that the same run would give them.

    Parameters
    ----------
    path
        CSV or Parquet of `tier classify`, by image.
    manifest
        Whose images they are of.
    job
        The model or ensemble.

    Raises
    ------
    ManifestError
        The file has no hashes, or those of something else; or see `read_scores`.
    """
    stamp = job.stamp
    expected = {
        "model_weights": stamp.weights,
        "model_preprocessing": stamp.preprocessing,
        "model_findings": stamp.findings,
        "scoring": job.scoring,
    }
    if stamp.adaptation:
        expected["model_adaptation"] = stamp.adaptation
    header, rows = read_table(path)
    missing = [name for name in expected if name not in header]
    if missing:
        raise ManifestError(
            f"has no column {missing[0]}, so which model it is of cannot be told",
            where=str(path),
            remedy="give a file that `tier classify --output` wrote by image",
        )
    for name, value in expected.items():
        place = header.index(name)
        if any(row[place] != value for row in rows):
            raise ManifestError(
                f"holds scores of another {name.removeprefix('model_')} than the run would use",
                where=str(path),
                remedy="score the images again, or name the model and finding set they were scored with",
            )
    return read_scores(path, manifest, job.findings)
