"""Measure a model's scores against labels: `tier eval`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Exit

from tier_cli.commands import options as shared_options
from tier_cli.commands.evaluate import options as eval_options
from tier_cli.commands.evaluate.command_line import command_line
from tier_cli.commands.evaluate.data import data_sets, exclusions, only_data_set, prevalences
from tier_cli.commands.evaluate.output import ReportOutput
from tier_cli.commands.evaluate.page import Page
from tier_cli.commands.evaluate.table import check_table_options, evaluate_table
from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError
from tier_cli.evaluation.candidates import is_table
from tier_cli.evaluation.sections.options import SectionOptions
from tier_cli.evaluation.settings import EvaluationSettings
from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.packages import require_extras

if TYPE_CHECKING:
    from tier_cli.evaluation.candidates import Evaluable

_NOT_GROUPS = ("path", "patient", "study", "series", "instance", "text", "boxes", "mask")


def evaluate(
    data: eval_options.Data = None,
    dataset: eval_options.Datasets = None,
    root: eval_options.Root = None,
    split: eval_options.Split = None,
    exclude: eval_options.Exclude = None,
    exclude_trained: eval_options.ExcludeTrained = False,
    uncertain: eval_options.Unsure = "ignore",
    views: eval_options.Views = "frontal",
    decode: shared_options.Decode = shared_options.DecodeName.FAST,
    model: eval_options.Model = None,
    scores: eval_options.ScoresFile = None,
    compare: eval_options.Compare = None,
    join: eval_options.Join = None,
    probabilities: eval_options.Probabilities = False,
    findings: shared_options.Findings = None,
    engine: shared_options.Engine = shared_options.EngineName.AUTO,
    device: shared_options.Device = shared_options.DeviceName.AUTO,
    unit: eval_options.Unit = None,
    by: eval_options.By = None,
    select_on: eval_options.SelectOn = None,
    operating_point: eval_options.OperatingPoint = None,
    prevalence: eval_options.Prevalence = None,
    replicates: eval_options.Replicates = 1000,
    seed: eval_options.Seed = 0,
    exclusive: eval_options.Exclusive = False,
    corrupt: eval_options.Corrupt = None,
    prompt_sensitivity: eval_options.PromptSensitivity = False,
    grounding: eval_options.Grounding = False,
    grounding_protocol: eval_options.GroundingProtocol = None,
    retrieval: eval_options.Retrieval = False,
    output: eval_options.Output = None,
    report: eval_options.Report = None,
    report_images: eval_options.ReportImages = True,
    report_paths: eval_options.ReportPaths = False,
    report_note: eval_options.ReportNote = None,
    batch_size: shared_options.BatchSize = None,
    workers: shared_options.Workers = None,
    runner: shared_options.Runner = shared_options.RunnerName.LOCAL,
    ray_address: shared_options.RayAddress = None,
    timeout_per_file: shared_options.TimeoutPerFile = DEFAULT_TIMEOUT,
    memory_per_file: shared_options.MemoryPerFile = DEFAULT_MEMORY,
) -> None:
    """Measure scores against labels, with 95% intervals over patients.

    AUC and AUPRC are always measured; sensitivity, specificity, PPV, F1 and MCC
    need thresholds, from --select-on or a calibrated model; Brier score and
    calibration error need probabilities.

    Images without scores are counted and listed, and never enter a number.
    Tables go to stderr; JSON goes to --output, or to stdout in a pipe.
    Several --dataset give one table with the mean AUC of each --model.

    Exit codes: 0 if every image had scores, 3 if some had none, 2 for wrong
    usage. For research use.
    """
    require_extras("tier eval", "eval")
    _check(model, scores, compare, join, probabilities, output)
    page = Page(report, report_images, report_paths, report_note)
    page.check()
    from tier_cli.commands.runners import opened

    sets = data_sets(dataset or [])
    settings = EvaluationSettings(
        findings=findings,
        split=split,
        exclude=exclusions(exclude or []),
        exclude_trained=exclude_trained,
        views=views,
        decode=decode.value,
        uncertain=uncertain,
        unit=unit,
        by=_columns(by or ""),
        select_on=select_on,
        operating_point=operating_point,
        prevalence=prevalences(prevalence or []),
        join=join,
        probabilities=probabilities,
        replicates=replicates,
        seed=seed,
        sections=SectionOptions(
            _names(corrupt),
            prompt_sensitivity,
            grounding,
            exclusive,
            retrieval,
            _names(grounding_protocol),
        ),
        engine=engine.value,
        device=device.value,
        batch_size=batch_size,
        workers=workers,
        timeout_per_file=timeout_per_file,
        memory_per_file=memory_per_file,
    )
    if len(sets) > 1:
        check_table_options(settings, data=data, root=root, scores=scores, compare=compare, report=report)
        with opened(runner, ray_address, workers) as distributor:
            evaluate_table(model or [DEFAULT_MODEL], sets, replace(settings, runner=distributor), output)
        return
    name, data, root = only_data_set(sets, data, root)
    folder = None if name == CSV else root or os.environ.get("TIER_DATA_ROOT")
    _check_inputs_are_kept(output, report, [data, *(model or []), *(scores or []), *(compare or ())], folder)
    first, *others = _evaluables(model, scores, compare)
    from tier_cli.display.progress import progress_on_stderr
    from tier_cli.evaluation.run import evaluate as measure

    results = ReportOutput(output)
    try:
        with opened(runner, ray_address, workers) as distributor:
            whole = measure(
                first,
                data,
                replace(settings, dataset=name, root=root, runner=distributor),
                compare=others,
                command=command_line(name, root),
                progress=progress_on_stderr,
                observe=results,
            )
    except KeyboardInterrupt:
        results.interrupted()
        raise
    done, evaluation = results.finish(whole)
    page.write(done, evaluation)
    if not done.complete:
        raise Exit(3)


def _check_inputs_are_kept(
    output: str | None,
    report: str | None,
    inputs: Sequence[str | Path | None],
    data_root: str | Path | None,
) -> None:
    """Refuse to replace a file that the run reads."""
    from tier_cli.results.overwrite import check_not_an_input

    for option, path in (("--output", output), ("--report", report)):
        if path is not None:
            check_not_an_input(path, option, inputs, data_root)


def _evaluables(
    model: Sequence[str] | None, scores: Sequence[Path] | None, compare: tuple[str, str] | None
) -> list[Evaluable]:
    if compare is not None:
        return list(compare)
    models: list[Evaluable] = [list(model or [DEFAULT_MODEL])] if model or not scores else []
    return [*models, *(scores or [])]


def _columns(by: str) -> tuple[str, ...]:
    """Parse ``--by``; refuse columns that identify patients or images, which would appear in every output."""
    names = dict.fromkeys(name.strip() for name in by.split(",") if name.strip())
    for name in names:
        if name.lower() in _NOT_GROUPS:
            raise UsageError(
                f"cannot group by the column {name!r}", where="--by", remedy="e.g. sex,age,view,source"
            )
    return tuple(names)


def _names(listed: str | None) -> tuple[str, ...] | None:
    """Parse names with commas between them."""
    return None if listed is None else tuple(name.strip() for name in listed.split(",") if name.strip())


def _check(
    model: Sequence[str] | None,
    scores: Sequence[Path] | None,
    compare: tuple[str, str] | None,
    join: str | None,
    probabilities: bool,
    output: str | None,
) -> None:
    """Refuse options that cannot work, before anything is loaded."""
    if compare is not None and (model or scores):
        raise UsageError(
            "cannot be combined with --model or --scores",
            where="--compare",
            remedy="name both models or files of scores with --compare",
        )
    for file in scores or []:
        if not is_table(str(file)):
            raise UsageError(
                f"'{file}' is neither CSV nor Parquet",
                where="--scores",
                remedy="use a file with the suffix .csv or .parquet",
            )
    has_table = bool(scores) or any(is_table(text) for text in compare or ())
    for option, used in (("--join", join is not None), ("--probabilities", probabilities)):
        if used and not has_table:
            raise UsageError("requires --scores FILE", where=option, remedy="add --scores FILE")
    if output is not None:
        from tier_cli.evaluation.report import check_output

        check_output(output)
