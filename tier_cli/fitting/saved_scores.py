"""Read scores that `tier classify` wrote earlier, and check that this run would give the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.errors import ManifestError
from tier_cli.evaluation.scores import Scores, read_scores, read_table

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.pipeline.scoring_job import ScoringJob


def read_saved_scores(path: Path, manifest: Manifest, job: ScoringJob) -> Scores:
    """Read saved scores after checking by their hashes that they come from the same model and settings.

    Parameters
    ----------
    path
        CSV or Parquet file that `tier classify` wrote by image.
    manifest
        The images that need scores.
    job
        The model or ensemble of this run.

    Raises
    ------
    ManifestError
        If the file has no hashes or other hashes, and as in `read_scores`.
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
            f"has no column {missing[0]}, which says what model the scores come from",
            where=str(path),
            remedy="use a file that `tier classify --output` wrote by image",
        )
    for name, value in expected.items():
        column = header.index(name)
        if any(row[column] != value for row in rows):
            raise ManifestError(
                f"the column {name} differs from this run",
                where=str(path),
                remedy="score the images again, or choose the model and finding set of these scores",
            )
    return read_scores(path, manifest, job.findings)
