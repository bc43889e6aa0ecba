"""`tier adapt`: improve scores with a few labelled images, without training."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tier_cli.commands.evaluate.data import exclusions
from tier_cli.commands.evaluate.options import Data, Dataset, Exclude, ExcludeTrained, Root, Unsure, Views
from tier_cli.commands.fit_options import FIT_PANEL, Output, split_option
from tier_cli.commands.options import (
    BatchSize,
    Device,
    DeviceName,
    Engine,
    EngineName,
    Findings,
    Model,
    Workers,
)
from tier_cli.console import is_terminal, print_message
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions


class Method(StrEnum):
    """How scores are adapted."""

    GDA = "gda"


MethodOption = Annotated[
    Method,
    typer.Option(
        help="Method; gda is Gaussian discriminant analysis of embeddings.", rich_help_panel=FIT_PANEL
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, metavar="N", help="Seed of the cross-validation.", rich_help_panel=FIT_PANEL)
]
_DEFAULT_SPLIT = "train"
Split = Annotated[str | None, split_option(_DEFAULT_SPLIT)]


def adapt(
    output: Output,
    data: Data = None,
    dataset: Dataset = "csv",
    root: Root = None,
    split: Split = None,
    exclude: Exclude = None,
    exclude_trained: ExcludeTrained = False,
    uncertain: Unsure = "ignore",
    views: Views = "frontal",
    model: Model = DEFAULT_MODEL,
    findings: Findings = None,
    engine: Engine = EngineName.AUTO,
    device: Device = DeviceName.AUTO,
    method: MethodOption = Method.GDA,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    workers: Workers = None,
) -> None:
    """Improve a checkpoint's scores with a few labelled images, without training.

    Mixes linear scores, fitted on the image embeddings, with the checkpoint's
    own scores. Cross-validation by patient chooses the mixing weight; if no
    mixture is better, nothing is written. A table goes to stderr, and JSON to
    stdout if it is a pipe.

    Exit codes: 0 when every image could be read, 3 when some could not, 2 for
    wrong usage. For research use.
    """
    require_extras("tier adapt", "eval")
    from tier_cli.commands.fit_data import choose_rows, describe_rows, without_trained
    from tier_cli.files.atomic import check_new_folder
    from tier_cli.pipeline.scoring_job import adaptation_key, open_job
    from tier_cli.pipeline.stream import stream_options

    excluded = exclusions(exclude or [])
    check_new_folder(output)
    selection = choose_rows(dataset, data, root, split, _DEFAULT_SPLIT, excluded, views == "frontal")
    job = open_job(model, findings, engine.value, device.value)
    selection, trained_on = without_trained(job, selection, dataset, exclude_trained)
    from tier_cli.evaluation.truth import labelled
    from tier_cli.fitting.adapt import fit_adaptation
    from tier_cli.fitting.adapted_copy import write_adapted

    selection, truth = labelled(selection, job.findings, uncertain)
    options = stream_options(views=views, batch_size=batch_size, workers=workers)
    pooled, readable = _embed(job, selection.manifest.paths, options)
    rows = truth.by_image.where(readable)
    own = job.members[0].own_scores(pooled)[:, [job.findings.ids.index(name) for name in rows.findings]]
    adapted = fit_adaptation(pooled, own, rows, job.findings.ids, seed)
    facts = adapted.facts | {
        "fitted_on": {
            **describe_rows(selection, data, dataset, views, uncertain, truth.by_image),
            **trained_on,
            "images_used": len(rows.patients),
            "patients_used": len(set(rows.patients.tolist())),
        }
    }
    written = None
    if adapted.adaptation is not None:
        key = adaptation_key(job.checkpoint, job.findings)
        write_adapted(job.checkpoint.path, output, adapted.adaptation, key, facts)
        written = str(output)
    _report(
        facts, written, [*selection.notes, *_unreadable(readable)], job.checkpoint.calibration is not None
    )
    if not readable.all():
        raise typer.Exit(3)


def _embed(
    job: ScoringJob, paths: list[str], options: StreamOptions
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the embeddings (M, D) of the readable images, and which of all images (N,) are readable."""
    import numpy as np

    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.errors import ManifestError
    from tier_cli.pipeline.encode import embedding_matrix

    found = embedding_matrix(paths, job.members[0], options, progress_on_stderr)
    readable = np.asarray(np.isfinite(found).all(axis=1))
    if not readable.any():
        raise ManifestError(
            "no image could be read", remedy="check --root, or try `tier classify` on one of the images"
        )
    return found[readable].astype(np.float64), readable


def _unreadable(readable: NDArray[np.bool_]) -> list[str]:
    count = int((~readable).sum())
    return [f"{count} of {len(readable)} images could not be read"] if count else []


def _report(facts: dict[str, Any], output: str | None, notes: list[str], calibrated: bool) -> None:
    from rich.console import Console

    from tier_cli.display.fitted_table import show_adaptation

    show_adaptation(facts, notes, Console(stderr=True))
    if output is None:
        print_message(
            "No mixture was better than the checkpoint's own scores: nothing was written.", colour="yellow"
        )
    else:
        print_message(f"Wrote the adapted checkpoint to {output}")
        if calibrated:
            print_message(
                "The calibration was not copied, because it was fitted to other scores: run `tier calibrate` "
                "on the copy."
            )
    if not is_terminal("stdout"):
        typer.echo(json.dumps({"output": output, **facts}))
