"""`tier eval`: measure a model's scores against labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Exit, echo

from tier_cli.commands import eval_options as e
from tier_cli.commands import options as o
from tier_cli.commands.eval_sections import Wishes, check_wishes, sections
from tier_cli.console import is_terminal, tell
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.datasets.manifest import Manifest
    from tier_cli.evaluation.context import Evaluation, Section
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.scores import Scores
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.job import Job
    from tier_cli.pipeline.stream import StreamOptions

_DATASETS = ("csv",)
_DEFAULT_MODEL = "tier-small"


def evaluate(
    data: e.Data,
    dataset: e.Dataset = "csv",
    root: e.Root = None,
    split: e.Split = None,
    exclude: e.Exclude = None,
    uncertain: e.Unsure = e.Uncertain.IGNORE,
    views: o.Views = o.ViewsName.FRONTAL,
    model: e.Model = None,
    scores: e.ScoresFile = None,
    join: e.Join = None,
    findings: o.Findings = None,
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = o.DeviceName.AUTO,
    by: e.By = None,
    replicates: e.Replicates = 1000,
    seed: e.Seed = 0,
    corrupt: e.Corrupt = None,
    prompt_sensitivity: e.PromptSensitivity = False,
    output: e.Output = None,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Measure scores against labels: AUC and AUPRC with 95% intervals over patients.

    Images without scores are counted and listed, and stand in no number. Tables go to stderr; JSON goes to
    stdout in a pipe, or to --output.

    Exit codes: 0 when every image had scores, 3 when some had none, 2 for wrong usage. For research use.
    """
    pairs, columns = _check(dataset, exclude or [], by, output, scores, join)
    wishes = Wishes(corrupt, prompt_sensitivity)
    check_wishes(wishes)
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.evaluate import build_report, labelled, select
    from tier_cli.evaluation.measure import Resampling
    from tier_cli.evaluation.report import Protocol

    selection = select(_manifest(dataset, data, root), split, pairs, views.value == "frontal", columns)
    job, chosen = _model(model, scores, findings, engine.value, device.value)
    selection, truth = labelled(selection, chosen, uncertain.value)
    options = _stream(views.value, batch_size, workers)
    sets = _score_sets(job, chosen, selection.manifest, options, scores, join)
    protocol = Protocol(
        data=str(data),
        dataset=dataset,
        split=selection.split,
        images=len(selection.manifest),
        views=views.value,
        excluded=selection.excluded,
        uncertain=uncertain.value,
        finding_set={"name": chosen.name, "hash": chosen.hash},
        model=_stamp(job),
        scoring=job.checkpoint.scoring if job else "",
        resampling=Resampling(replicates, seed),
    )
    evaluation = Evaluation(chosen, selection, truth, sets, protocol, job, options, _score)
    report = build_report(selection, truth, sets, protocol, columns)
    _give(report, evaluation, sections(wishes), output)
    if report.unscored:
        raise Exit(3)


def _check(
    dataset: str,
    exclude: Sequence[str],
    by: str | None,
    output: str | None,
    scores: Path | None,
    join: str | None,
) -> tuple[list[tuple[str, str]], list[str]]:
    """Refuse what cannot work before anything is loaded; give exclusions and grouping columns."""
    if dataset not in _DATASETS:
        raise UsageError(
            f"'{dataset}' is no data set that this version reads",
            where="--dataset",
            remedy="the only one is csv: write a manifest and leave --dataset out",
        )
    if join is not None and scores is None:
        raise UsageError("there is nothing to join", where="--join", remedy="add --scores FILE")
    pairs = []
    for text in exclude:
        column, equals, value = text.partition("=")
        if not (column and equals):
            raise UsageError(f"{text!r} is not COLUMN=VALUE", where="--exclude", remedy="e.g. contradicted=1")
        pairs.append((column.strip(), value))
    if output is not None:
        from tier_cli.evaluation.report import check_output

        check_output(output)
    return pairs, [name.strip() for name in (by or "").split(",") if name.strip()]


def _model(
    model: str | None, scores: Path | None, findings: str | None, engine: str, device: str
) -> tuple[Job | None, FindingSet]:
    """Open the checkpoint, unless scores alone are to be measured; and the finding set."""
    if model is None and scores is not None:
        from tier_cli.findings.load import load_findings

        if findings is None:
            raise UsageError(
                "scores from a file need a finding set",
                where="--scores",
                remedy="name it with --findings, e.g. nih14, or add --model",
            )
        return None, load_findings(findings)
    from tier_cli.pipeline.job import open_job

    job = open_job(model or _DEFAULT_MODEL, findings, engine, device)
    return job, job.findings


def _stream(views: Any, batch_size: int | None, workers: int | None) -> StreamOptions:
    from tier_cli.imaging.radiograph import ReadOptions
    from tier_cli.pipeline.stream import StreamOptions

    return StreamOptions(ReadOptions(views=views), batch_size, workers)


def _manifest(dataset: str, data: Path, root: Path | None) -> Manifest:
    """Read the images and labels that `--dataset` and `--data` name."""
    from tier_cli.datasets.manifest import read_manifest

    return read_manifest(data, root)


def _score_sets(
    job: Job | None,
    findings: FindingSet,
    manifest: Manifest,
    options: StreamOptions,
    scores: Path | None,
    join: str | None,
) -> tuple[Scores, ...]:
    """The scores of the model, then those of the file, as far as they were asked for."""
    from tier_cli.evaluation.scores import read_scores

    # The file first: what is wrong with it should not be told after an hour of scoring.
    theirs = (read_scores(scores, manifest, findings, join),) if scores else ()
    return (_score(job, manifest, options), *theirs) if job is not None else theirs


def _score(job: Job, manifest: Manifest, options: StreamOptions) -> Scores:
    """Run the pipeline of `tier classify` over the manifest's images."""
    from tier_cli.evaluation.scores import collect
    from tier_cli.imaging.discover import Source

    with _progress(len(manifest)) as tick:
        results = job.classify((Source(path) for path in manifest.paths), options, tick)
        return collect(job.checkpoint.name, results, job.findings)


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], object]]:
    if not is_terminal("stderr"):
        yield lambda: None
        return
    from rich.console import Console

    from tier_cli.progress import progress

    with progress(Console(stderr=True), lambda: count) as tick:
        yield tick


def _stamp(job: Job | None) -> dict[str, Any] | None:
    """The model as results name it."""
    if job is None:
        return None
    from tier_cli.results.record import ModelStamp

    hashes = job.checkpoint.hashes
    stamp = ModelStamp(job.checkpoint.name, hashes["weights"], hashes["preprocessing"], job.findings.hash)
    return stamp.to_dict()


def _give(report: Report, evaluation: Evaluation, asked: Sequence[Section], output: str | None) -> None:
    """Show the tables before the sections are made, for these may take long; then write everything."""
    from rich.console import Console

    from tier_cli.evaluation.report import write_report
    from tier_cli.evaluation.table import show, show_notes

    console = Console(stderr=True)
    show(report, {finding.id: finding.label for finding in evaluation.findings.findings}, console)
    made = {}
    for section in asked:
        content = section.make(evaluation)
        if content is not None:
            section.show(content, console)
            made[section.name] = content
    report = replace(report, sections=made)
    show_notes(report, console)
    if output is not None:
        write_report(report, output)
        tell(f"All numbers are in {output}")
    elif not is_terminal("stdout"):
        echo(report.to_json(), nl=False)
