"""`tier adapt`: better scores from a few labelled images, without training."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli.commands import fit_options as f
from tier_cli.commands import options as o
from tier_cli.commands.evaluate import options as e
from tier_cli.commands.evaluate.data import exclusions, stream_options
from tier_cli.console import is_terminal, tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions


class Method(StrEnum):
    """How scores are adapted."""

    GDA = "gda"


How = Annotated[
    Method, typer.Option(help="gda: Gaussian discriminant analysis of embeddings.", rich_help_panel="Fit")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the cross-validation.", rich_help_panel="Fit")]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Rows to fit on; train by default, all where there are no splits.",
        show_default=False,
        rich_help_panel="Data",
    ),
]


def adapt(
    output: f.Output,
    data: e.Data = None,
    dataset: e.Dataset = "csv",
    root: e.Root = None,
    split: Split = None,
    exclude: e.Exclude = None,
    uncertain: e.Unsure = e.Uncertain.IGNORE,
    views: o.Views = o.ViewsName.FRONTAL,
    model: o.Model = "tier-small",
    findings: o.Findings = None,
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = o.DeviceName.AUTO,
    method: How = Method.GDA,
    seed: Seed = 0,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Mix a linear score, fitted on a few labelled images, into a checkpoint's own.

    How much is mixed in is chosen by cross-validation over patients; where
    nothing helps, nothing is written. A table goes to stderr, JSON to stdout in a
    pipe.

    Exit codes: 0 when every image could be read, 3 when some could not, 2 for
    wrong usage. For research use.
    """
    from tier_cli.commands import fit_data as d
    from tier_cli.pipeline.scoring_job import adaptation_key, open_job

    excluded = exclusions(exclude or [])
    d.check_output(output)
    selection = d.choose_rows(dataset, data, root, split, "train", excluded, views.value == "frontal")
    job = open_job(model, findings, engine.value, device.value)
    from tier_cli.evaluation.selection import labelled
    from tier_cli.fitting.adapt import adapt
    from tier_cli.fitting.adapted_copy import write_adapted

    selection, truth = labelled(selection, job.findings, uncertain.value)
    pooled, there = _embed(job, selection.manifest.paths, stream_options(views.value, batch_size, workers))
    rows = truth.by_image.where(there)
    own = job.members[0].own_scores(pooled)[:, [job.findings.ids.index(name) for name in rows.findings]]
    adapted = adapt(pooled, own, rows, job.findings.ids, seed)
    facts = adapted.facts | {
        "fitted_on": {
            **d.describe(selection, data, dataset, views.value, uncertain.value, truth.by_image),
            "images_used": len(rows.patients),
            "patients_used": len(set(rows.patients.tolist())),
        }
    }
    written = None
    if adapted.adaptation is not None:
        key = adaptation_key(job.checkpoint, job.findings)
        write_adapted(job.checkpoint.path, output, adapted.adaptation, key, facts)
        written = str(output)
    _give(facts, written, [*selection.notes, *_missed(there)], job.checkpoint.calibration is not None)
    if not there.all():
        raise typer.Exit(3)


def _embed(
    job: ScoringJob, paths: list[str], options: StreamOptions
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Embed the images (M, D) that can be read, and say which of all (N,) they are."""
    import numpy as np

    from tier_cli.errors import ManifestError
    from tier_cli.pipeline.encode import embedding_matrix

    found = embedding_matrix(paths, job.members[0], options)
    there = np.asarray(np.isfinite(found).all(axis=1))
    if not there.any():
        raise ManifestError("no image could be read", remedy="check --root, or try `tier classify` on one")
    return found[there].astype(np.float64), there


def _missed(there: NDArray[np.bool_]) -> list[str]:
    missed = int((~there).sum())
    return [f"images that could not be read: {missed} of {len(there)}"] if missed else []


def _give(facts: dict[str, Any], output: str | None, notes: list[str], calibrated: bool) -> None:
    from rich.console import Console

    from tier_cli.fitting.adapted_copy import show

    show(facts, notes, Console(stderr=True))
    if output is None:
        tell(
            "No mixture was better than the checkpoint's own scores, so nothing was written.", colour="yellow"
        )
    else:
        tell(f"The adapted checkpoint is in {output}")
        if calibrated:
            tell(
                "Its calibration was for other scores and was left behind: run `tier calibrate` on the copy."
            )
    if not is_terminal("stdout"):
        typer.echo(json.dumps({"output": output, **facts}))
