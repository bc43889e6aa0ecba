"""`tier explain`: show where chest X-rays resemble findings, texts or the sentences of a report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from typer import Exit

from tier_cli.api.model import open_models
from tier_cli.commands import options
from tier_cli.commands.inputs import counter, passing_over, sources_of
from tier_cli.commands.report_file import read_report
from tier_cli.console import print_message
from tier_cli.errors import UsageError
from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.results.overwrite import check_new_output_folder

if TYPE_CHECKING:
    from tier_cli.pipeline.explanations import MapJob
    from tier_cli.pipeline.scoring_job import ScoringJob

OUTPUTS = ("sheet", "page", "maps", "regions", "singles")
DEFAULT_OUTPUTS = ("sheet", "page", "maps", "regions")
_DEFAULT = ",".join(DEFAULT_OUTPUTS)
# The longer side of the pictures that an output needs.
_SIDES = {"sheet": 512, "page": 2048, "singles": 1024}
_PREVIEW_SIDE = 256
_SHOWN = "What is shown"

Texts = Annotated[
    list[str] | None,
    options.option(
        _SHOWN, "TEXT", "Show texts instead of findings; repeat the option for several.", "--text"
    ),
]
ReportFile = Annotated[
    str | None,
    options.option(
        _SHOWN,
        "FILE",
        "Show the sentences of a report that describe the image, instead of findings.",
        "--report",
    ),
]
Top = Annotated[
    int | None,
    options.option(
        _SHOWN,
        "K",
        "Show the K findings that stand highest above their operating points. Default: those called present, "
        "at least 3 and at most 6; 6 without operating points.",
        min=1,
    ),
]
AllFindings = Annotated[bool, options.switch(_SHOWN, "--all-findings", "Show all findings of the set.")]
Threshold = Annotated[
    float | None,
    options.option(
        _SHOWN,
        "SIMILARITY",
        "Outline the patches whose similarity is at least this. Default: the checkpoint's threshold for the "
        "finding.",
    ),
]
Stretch = Annotated[
    bool,
    options.switch(
        _SHOWN,
        "--stretch",
        "Stretch the colours to each image; maps of different images can then not be compared.",
    ),
]
Overlap = Annotated[
    int,
    options.option(
        _SHOWN,
        "N",
        "Average the maps of N x N crops, shifted by parts of a patch: smoother, and N x N times as slow. "
        "From 1 to 4; default: 1.",
    ),
]
Size = Annotated[
    int | None,
    options.option(
        _SHOWN,
        "PIXELS",
        "Compute the maps, not the scores, from a larger input of the model; needs the torch engine.",
    ),
]
Output = Annotated[
    str | None,
    options.option("Results", "DIR", "Write pictures and maps to this new folder.", "--output", "-o"),
]
Write = Annotated[
    str | None,
    options.option(
        "Results",
        "LIST",
        f"What to write, separated by commas: {', '.join(OUTPUTS)}. Default: {_DEFAULT}.",
    ),
]
NoPreview = Annotated[
    bool, options.switch("Results", "--no-preview", "Show no small picture on the terminal.")
]


def explain(
    paths: options.Paths,
    output: Output = None,
    model: options.Model = DEFAULT_MODEL,
    findings: options.Findings = None,
    text: Texts = None,
    report: ReportFile = None,
    top: Top = None,
    all_findings: AllFindings = False,
    threshold: Threshold = None,
    stretch: Stretch = False,
    overlap: Overlap = 1,
    size: Size = None,
    write: Write = None,
    no_preview: NoPreview = False,
    engine: options.Engine = options.EngineName.AUTO,
    device: options.Device = options.DeviceName.AUTO,
    views: options.ReadViews = options.ReadViewsName.FRONTAL,
    window: options.Window = 1,
    accept_any: options.AcceptAny = False,
    decode: options.Decode = options.DecodeName.FAST,
    input_check: options.InputCheck = options.InputCheckName.NOTE,
    fail_fast: options.FailFast = False,
    hash_ids: options.HashIds = False,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    timeout_per_file: options.TimeoutPerFile = DEFAULT_TIMEOUT,
    memory_per_file: options.MemoryPerFile = DEFAULT_MEMORY,
) -> None:
    """Show where chest X-rays resemble findings, texts or the sentences of a report.

    A map shows for each patch the similarity that the score is made of. With
    --output, write a contact sheet, a page, the maps as numbers, and the regions
    of patches that stand out. On a terminal, print a table and a small picture;
    in a pipe, JSON lines.

    Exit codes: 0 success; 2 wrong usage; 3 some files could not be explained;
    74 a full or lost disk; 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.

    For research use; not a medical device. A map is no proof of cause.
    """
    outputs = options.names_in(write or _DEFAULT, OUTPUTS, "--write", "output")
    _check(text, report, findings=findings, top=top, all_findings=all_findings or None)
    if top is not None and all_findings:
        raise UsageError("--top and --all-findings contradict each other", remedy="give only one")
    if write is not None and output is None:
        raise UsageError("needs a folder to write to", where="--write", remedy="add --output DIR")
    folder = None
    if output is not None:
        folder = check_new_output_folder(output, "--output", [*paths, model])
    report_text = None
    if report is not None:
        report_text = read_report(report, f"--report {report}", "give the text file of the report")
    passed_over = passing_over(hash_ids)
    sources = sources_of(paths, passed_over)
    job = open_models(model, findings, _engine(engine, size), device.value)
    from tier_cli.commands.explain_output import ExplainRun
    from tier_cli.commands.result_run import hasher, print_notes
    from tier_cli.maps.build import with_threshold
    from tier_cli.pipeline.explain import Finer, crops_of
    from tier_cli.pipeline.explanations import finding_maps, report_maps, text_maps
    from tier_cli.pipeline.stream import stream_options

    if text:
        maps = text_maps(job, text)
    elif report_text is not None:
        maps = report_maps(job, report_text)
    else:
        maps = finding_maps(job, top=top, every=all_findings, tokens="page" in outputs and output is not None)
        print_notes(job)
    _warn(job, maps)
    finer = Finer(overlap, size)
    # Refuse what the model cannot do before any file is read.
    crops_of(job, finer)
    if threshold is not None:
        maps = replace(maps, subjects=with_threshold(maps.subjects, threshold))
    stream = stream_options(
        views=views.value,
        window=window,
        accept_any=accept_any,
        decode=decode.value,
        batch_size=batch_size,
        workers=workers,
        timeout_per_file=timeout_per_file,
        memory_per_file=memory_per_file,
        fail_fast=fail_fast,
        input_check=input_check.value,
    )
    keyed = hasher(hash_ids)
    if folder is not None:
        folder.mkdir(exist_ok=True)
    run = ExplainRun(folder, outputs, stretch, not no_preview, passed_over)
    side = picture_side(outputs if folder is not None else ())
    hide = {} if keyed is None else {"hide": keyed.apply}
    run.write_all(lambda tick: maps.explain(sources, stream, tick, side, finer=finer, **hide), counter(paths))
    if run.failed:
        raise Exit(3)


def _engine(engine: options.EngineName, size: int | None) -> str:
    """Return the engine: the graph of onnxruntime takes images of one size."""
    return "torch" if size is not None and engine is options.EngineName.AUTO else engine.value


def picture_side(outputs: Collection[str]) -> int:
    """Return the longer side of the pictures that outputs, and the preview, need."""
    return max((_SIDES.get(name, 0) for name in outputs), default=0) or _PREVIEW_SIDE


def _check(text: list[str] | None, report: str | None, **of_findings: object) -> None:
    """Refuse options that ask for two kinds of maps."""
    given: dict[str, object] = {"--text": text, "--report": report}
    given |= {"--" + name.replace("_", "-"): value for name, value in of_findings.items()}
    asked = [name for name, value in given.items() if value is not None]
    for name in ("--text", "--report"):
        if name in asked and len(asked) > 1:
            other = next(one for one in asked if one != name)
            raise UsageError(f"{name} and {other} contradict each other", remedy="give only one")
    if text and not all(one.strip() for one in text):
        raise UsageError("is empty", where="--text", remedy="write a phrase")


def _warn(job: ScoringJob, maps: MapJob) -> None:
    """Say which texts the model cannot read whole."""
    from tier_cli.model.prompts import text_warnings

    texts = [subject.label for subject in maps.subjects if subject.kind == "phrase"]
    for warning in text_warnings(job.checkpoint, texts):
        print_message(f"Note: {warning}")
