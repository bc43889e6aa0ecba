"""`tier check`: compare the sentences of a report with the images that it describes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Exit

from tier_cli.commands import options
from tier_cli.commands.inputs import passing_over, sources_of
from tier_cli.commands.report_file import read_report
from tier_cli.commands.result_run import ResultRun
from tier_cli.console import is_terminal, print_detail, print_message
from tier_cli.errors import UsageError, kind_label
from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.results.output import STDOUT, check_writable, file_writer, leftover_of
from tier_cli.results.overwrite import check_not_an_input
from tier_cli.results.writers import JsonLinesWriter

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.pipeline.check import Study
    from tier_cli.results.checked import ReportCheck
    from tier_cli.results.record import FileResult
    from tier_cli.results.writers import ResultWriter

_FILE_WIDTH = 100
_REPORT = "Report"

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH... REPORT",
        help="The images of one study (files, folders or globs) and, last, its report: a text file, or "
        "- for stdin.",
        show_default=False,
    ),
]
Prior = Annotated[
    list[str] | None,
    options.option(
        _REPORT, "FILE", "An image of an earlier study; repeat the option for several.", "--prior"
    ),
]
Data = Annotated[
    Path | None,
    options.option(
        _REPORT, "FILE", "Check the reports of a manifest: its columns path, text, study.", "--data"
    ),
]
Root = Annotated[
    Path | None,
    options.option(
        _REPORT, "FOLDER", "Folder of the images of --data. Default: that of the manifest.", "--root"
    ),
]
Split = Annotated[str | None, options.option(_REPORT, "NAME", "Check only this split of --data.", "--split")]
Output = Annotated[
    str | None,
    options.option(
        "Results",
        "FILE",
        "Write a .jsonl file; - for JSON lines on stdout.",
        "--output",
        "-o",
    ),
]


def check(
    paths: Paths = None,
    prior: Prior = None,
    data: Data = None,
    root: Root = None,
    split: Split = None,
    model: options.Model = DEFAULT_MODEL,
    findings: options.Findings = None,
    engine: options.Engine = options.EngineName.AUTO,
    device: options.Device = options.DeviceName.AUTO,
    views: options.ReadViews = options.ReadViewsName.FRONTAL,
    window: options.Window = 1,
    accept_any: options.AcceptAny = False,
    decode: options.Decode = options.DecodeName.FAST,
    input_check: options.InputCheck = options.InputCheckName.NOTE,
    output: Output = None,
    table: options.Table = False,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    timeout_per_file: options.TimeoutPerFile = DEFAULT_TIMEOUT,
    memory_per_file: options.MemoryPerFile = DEFAULT_MEMORY,
) -> None:
    """Compare each sentence of a report with the images that it describes.

    A sentence that names findings of the set is supported, doubtful or not
    supported by the scores of the images. The verdict of any other sentence
    is "cannot tell". Sides, sizes, places and changes are not judged.

    Prints the report on a terminal, and JSON lines in a pipe, one object
    per report. The output quotes the report.

    Exit codes: 0 success; 2 wrong usage; 3 some images could not be scored;
    74 a full or lost disk; 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.

    For research use; not a medical device.
    """
    _check_options(paths, prior, data, root, split, output, table)
    if output is not None and output != STDOUT:
        check_writable(output)
        check_not_an_input(output, "--output", [*(paths or []), *(prior or []), data, model])
    studies = _one_study(paths or [], prior or []) if data is None else _studies_of(data, root, split)
    from tier_cli.pipeline.scoring_job import open_job

    job = open_job(model, findings, engine.value, device.value)
    from tier_cli.pipeline.check import ReportChecker
    from tier_cli.pipeline.stream import stream_options

    stream = stream_options(
        views=views.value,
        window=window,
        accept_any=accept_any,
        decode=decode.value,
        input_check=input_check.value,
        batch_size=batch_size,
        workers=workers,
        timeout_per_file=timeout_per_file,
        memory_per_file=memory_per_file,
    )
    print_detail(f"Model {job.checkpoint.name}: {job.engine.name} on {job.engine.device}")
    run = _CheckRun(
        job.findings,
        None if output == STDOUT else output,
        table or (output is None and is_terminal("stdout")),
    )
    images = sum(len(study.paths) + len(study.priors) for study in studies)
    run.write_all(lambda tick: ReportChecker(job).check(studies, stream, tick), lambda: images)
    if run.failed:
        raise Exit(3)


def _check_options(
    paths: list[str] | None,
    prior: list[str] | None,
    data: Path | None,
    root: Path | None,
    split: str | None,
    output: str | None,
    table: bool,
) -> None:
    """Refuse options that contradict each other before anything heavy is loaded."""
    if table and output is not None:
        raise UsageError("--table and --output contradict each other", remedy="give only one")
    if output is not None and output != STDOUT and Path(output).suffix.lower() != ".jsonl":
        raise UsageError(
            "does not end in .jsonl", where=f"--output {output}", remedy="use a name that ends so"
        )
    if data is not None and (paths or prior):
        raise UsageError("a manifest names the images", where="--data", remedy="omit paths and --prior")
    if data is None and (root is not None or split is not None):
        raise UsageError("--root and --split belong to a manifest", remedy="add --data FILE")
    if data is None and len(paths or []) < 2:
        raise UsageError("needs images and a report", remedy="e.g. tier check study.dcm report.txt")


def _one_study(paths: list[str], prior: list[str]) -> list[Study]:
    from tier_cli.pipeline.check import Study

    *images, report = paths
    text = _read_report(report)
    sources = [_found(given) for given in (images, prior)]
    return [Study(text, *sources)]


def _found(paths: list[str]) -> tuple[str, ...]:
    return tuple(source.path for source in sources_of(paths, passing_over(False))) if paths else ()


def _read_report(path: str) -> str:
    """Read a report from a file or from stdin."""
    if path == "-" and sys.stdin is None:
        raise UsageError("stdin is closed", remedy="name the file of the report")
    source = sys.stdin.buffer if path == "-" else path
    text = read_report(source, path, "give the report, a text file, as the last argument")
    if not text.strip():
        raise UsageError("the report is empty", where=path, remedy="give its text")
    return text


def _studies_of(data: Path, root: Path | None, split: str | None) -> list[Study]:
    """Return the reports of a manifest: rows of one study with one text belong together."""
    from tier_cli.datasets.manifest import read_manifest
    from tier_cli.pipeline.check import Study

    manifest = read_manifest(data, root)
    if split is not None:
        manifest = manifest.split(split)
    groups: dict[tuple[str, str], list[str]] = {}
    columns = zip(manifest.paths, manifest.column("study"), manifest.column("text"), strict=True)
    for path, study, text in columns:
        if text:
            groups.setdefault((str(study) or f"image:{path}", str(text)), []).append(path)
    if not groups:
        raise UsageError("no row has a report", where=f"--data {data}", remedy="fill the column text")
    without = len(manifest) - sum(map(len, groups.values()))
    if without:
        print_message(f"{without} of {len(manifest)} rows have no report and are left out")
    return [Study(text, tuple(paths)) for (_, text), paths in groups.items()]


class _CheckRun(ResultRun["ReportCheck"]):
    """Write checked reports as they come."""

    def __init__(self, findings: FindingSet, path: str | None, tables: bool):
        super().__init__("Checking", "checked", path, None if path is None else leftover_of(path))
        self._findings, self._as_tables = findings, tables

    def _count_failure(self, result: FileResult) -> None:
        """Count nothing here: a report names the files that failed, and has an error without any."""

    def _prepared(self, result: ReportCheck) -> ReportCheck:
        self.failed += len(result.failed)
        self._reasons.update(kind_label(reason.kind) for _, reason in result.failed)
        return result

    def _units(self) -> str:
        return f" against {self._written} {'report' if self._written == 1 else 'reports'}"

    def _writer(self) -> AbstractContextManager[ResultWriter[ReportCheck]]:
        if self._path is not None:
            # A report may name its patient.
            return file_writer(self._path, _json_lines, binary=False, private=True)
        return self._shown() if self._as_tables else _lines()

    @contextmanager
    def _shown(self) -> Iterator[ResultWriter[ReportCheck]]:
        from rich.console import Console

        from tier_cli.display.check_table import CheckWriter

        console = Console() if is_terminal("stdout") else Console(width=_FILE_WIDTH)
        labels = {finding.id: finding.label for finding in self._findings.findings}
        writer = CheckWriter(console, labels, self._findings.name)
        yield writer
        writer.finish()


def _json_lines(file: Any) -> ResultWriter[ReportCheck]:
    return JsonLinesWriter(file)


@contextmanager
def _lines() -> Iterator[ResultWriter[ReportCheck]]:
    yield _json_lines(sys.stdout)
