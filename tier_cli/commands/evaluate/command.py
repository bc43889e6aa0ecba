"""`tier eval`: measure a model's scores against labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Exit, echo

from tier_cli.commands import options as o
from tier_cli.commands.evaluate import options as e
from tier_cli.commands.evaluate.data import Data, exclusions, stream_options
from tier_cli.commands.evaluate.origin import origin_of
from tier_cli.commands.evaluate.page import Page
from tier_cli.commands.evaluate.sections import Wishes, check_model, check_rows, check_wishes, sections
from tier_cli.console import is_terminal, tell
from tier_cli.datasets.registry import CSV
from tier_cli.errors import UsageError
from tier_cli.evaluation.candidates import candidates, is_table
from tier_cli.evaluation.run import Given, run

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Evaluation, Section
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.selection import Selection
    from tier_cli.scoring.operating_points import Rule

_NO_GROUPS = ("path", "patient", "study", "series", "instance", "text", "boxes", "mask")


def evaluate(
    data: e.Data = None,
    dataset: e.Dataset = CSV,
    root: e.Root = None,
    split: e.Split = None,
    exclude: e.Exclude = None,
    uncertain: e.Unsure = e.Uncertain.IGNORE,
    views: o.Views = o.ViewsName.FRONTAL,
    model: e.Model = None,
    scores: e.ScoresFile = None,
    compare: e.Compare = None,
    join: e.Join = None,
    probabilities: e.Probabilities = False,
    findings: o.Findings = None,
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = o.DeviceName.AUTO,
    unit: e.Unit = None,
    by: e.By = None,
    select_on: e.SelectOn = None,
    operating_point: e.OperatingPoint = None,
    replicates: e.Replicates = 1000,
    seed: e.Seed = 0,
    exclusive: e.Exclusive = False,
    corrupt: e.Corrupt = None,
    prompt_sensitivity: e.PromptSensitivity = False,
    grounding: e.Grounding = False,
    retrieval: e.Retrieval = False,
    output: e.Output = None,
    report: e.Report = None,
    report_images: e.ReportImages = True,
    report_paths: e.ReportPaths = False,
    report_note: e.ReportNote = None,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Measure scores against labels, with 95% intervals over patients.

    AUC and AUPRC always; sensitivity, specificity, PPV, F1 and MCC where there
    are thresholds, from --select-on or a calibrated model; Brier score and
    calibration error where there are probabilities.

    Images without scores are counted and listed, and stand in no number. Tables
    go to stderr; JSON goes to stdout in a pipe, or to --output.

    Exit codes: 0 when every image had scores, 3 when some had none, 2 for wrong
    usage. For research use.
    """
    _check(model, scores, compare, join, probabilities, output)
    page = Page(report, report_images, report_paths, report_note)
    page.check()
    rule = _rule(select_on, operating_point)
    source = Data(dataset, data, root, exclusions(exclude or []), views.value == "frontal")
    info = source.info
    exclusive = exclusive or (info is not None and info.exclusive)
    wishes = Wishes(corrupt, prompt_sensitivity, grounding, exclusive, retrieval)
    check_wishes(wishes)
    columns = _columns(by or "")
    rows = source.rows(split, columns)
    check_rows(wishes, rows.manifest)
    selecting = _selecting(source, rows, select_on)
    wanted = findings or (info.findings if info else None)
    sets, finding_set = candidates(model, scores, compare, wanted, engine.value, device.value)
    check_model(wishes, sets[0].job is not None)
    given = Given(
        source=source,
        unit=unit.value if unit else (info.unit if info else "image"),
        uncertain=uncertain.value,
        join=join,
        probabilities=probabilities,
        rule=rule,
        replicates=replicates,
        seed=seed,
        stream=stream_options(views.value, batch_size, workers),
    )
    evaluation = run(given, rows, selecting, sets, finding_set)
    from tier_cli.evaluation.build import build_report

    origin = origin_of(evaluation, source, [*map(str, scores or []), *(compare or ())])
    numbers = replace(build_report(evaluation, columns), origin=origin)
    done = _give(numbers, evaluation, sections(wishes), output)
    page.give(done, evaluation)
    if not done.complete:
        raise Exit(3)


def _columns(by: str) -> list[str]:
    """Read ``--by``; what names a patient or an image divides nothing, and would stand in every output."""
    names = list(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    for name in names:
        if name.lower() in _NO_GROUPS:
            raise UsageError(
                f"the column {name!r} makes no groups", where="--by", remedy="e.g. sex,age,view,source"
            )
    return names


def _check(
    model: Sequence[str] | None,
    scores: Sequence[Path] | None,
    compare: tuple[str, str] | None,
    join: str | None,
    probabilities: bool,
    output: str | None,
) -> None:
    """Refuse what cannot work before anything is loaded."""
    if compare is not None and (model or scores):
        raise UsageError(
            "names both things to measure, and --model or --scores another",
            where="--compare",
            remedy="leave these out",
        )
    for file in scores or []:
        if not is_table(str(file)):
            raise UsageError(
                f"'{file}' is no CSV or Parquet", where="--scores", remedy="end it in .csv or .parquet"
            )
    tables = bool(scores) or any(is_table(text) for text in compare or ())
    if join is not None and not tables:
        raise UsageError("there is nothing to join", where="--join", remedy="add --scores FILE")
    if probabilities and not tables:
        raise UsageError(
            "speaks of a file of scores, and there is none",
            where="--probabilities",
            remedy="add --scores FILE",
        )
    if output is not None:
        from tier_cli.evaluation.report import check_output

        check_output(output)


def _rule(select_on: str | None, operating_point: str | None) -> Rule:
    """Check how thresholds are chosen."""
    if operating_point is not None and select_on is None:
        raise UsageError(
            "thresholds are never chosen on what is evaluated",
            where="--operating-point",
            remedy="name a split to choose them on with --select-on, e.g. valid",
        )
    from tier_cli.evaluation.calls import check_rule

    return check_rule(operating_point or "youden")


def _selecting(source: Data, rows: Selection, select_on: str | None) -> Selection | None:
    """Read the split that thresholds are chosen on; refuse one that has anything in common with `rows`."""
    if select_on is None:
        return None
    from tier_cli.evaluation.calls import check_apart

    selecting = source.rows(select_on)
    check_apart(rows, selecting)
    return selecting


def _give(report: Report, evaluation: Evaluation, asked: Sequence[Section], output: str | None) -> Report:
    """Show and write the tables before the sections, for these may take long and be stopped."""
    from rich.console import Console

    from tier_cli.display.evaluation_table import named, show, show_notes
    from tier_cli.evaluation.report import write_report

    console = Console(stderr=True)
    labels = {finding.id: finding.label for finding in evaluation.findings.findings}
    show(report, labels, console)
    if output is not None:
        write_report(report, output)
    try:
        for section in asked:
            content = section.make(evaluation)
            if content is not None:
                section.show(named(content, labels), console)
                report = replace(report, sections={**report.sections, section.name: content})
    except KeyboardInterrupt:
        if output is not None:
            write_report(report, output)
            tell(f"What was measured until then is in {output}")
        raise
    show_notes(report, console)
    if output is not None:
        write_report(report, output)
        tell(f"All numbers are in {output}")
    elif not is_terminal("stdout"):
        echo(report.to_json(), nl=False)
    return report
