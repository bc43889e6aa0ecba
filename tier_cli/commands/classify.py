"""`tier classify`: score chest X-rays for findings written as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Exit

from tier_cli.api.model import open_models
from tier_cli.commands import options
from tier_cli.commands.dicom_output import (
    Captures,
    DicomOutput,
    Reports,
    Segmentations,
    States,
    check_dicom,
    open_dicom,
)
from tier_cli.commands.inputs import counter, on_server, passing_over, sources_of
from tier_cli.console import print_detail, print_message
from tier_cli.errors import UsageError
from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.results.output import STDOUT, OutputFile
from tier_cli.results.overwrite import check_new_output_folder, check_not_an_input
from tier_cli.results.rows import Layout

if TYPE_CHECKING:
    from tier_cli.pipeline.map_files import MapFiles
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.privacy import Hasher


Maps = Annotated[
    str | None,
    options.option(
        "Results",
        "DIR",
        "Also write to this folder, for each image, maps of the findings that reach their operating points.",
    ),
]


def classify(
    paths: options.Paths,
    model: options.Models = None,
    findings: options.Findings = None,
    engine: options.Engine = options.EngineName.AUTO,
    device: options.Device = options.DeviceName.AUTO,
    views: options.ReadViews = options.ReadViewsName.FRONTAL,
    window: options.Window = 1,
    accept_any: options.AcceptAny = False,
    decode: options.Decode = options.DecodeName.FAST,
    input_check: options.InputCheck = options.InputCheckName.NOTE,
    by: options.By = "image",
    top: options.Top = None,
    output: options.Output = None,
    maps: Maps = None,
    sr: Reports = None,
    gsps: States = None,
    sc: Captures = None,
    seg: Segmentations = None,
    table: options.Table = False,
    wide: options.Wide = False,
    fail_fast: options.FailFast = False,
    hash_ids: options.HashIds = False,
    include_phi: options.IncludePhi = False,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    runner: options.Runner = options.RunnerName.LOCAL,
    ray_address: options.RayAddress = None,
    journal: options.Journal = None,
    resume: options.Resume = False,
    content_hashes: options.ContentHashes = False,
    shard: options.ShardOption = None,
    timeout_per_file: options.TimeoutPerFile = DEFAULT_TIMEOUT,
    memory_per_file: options.MemoryPerFile = DEFAULT_MEMORY,
    dry_run: options.DryRun = False,
) -> None:
    """Score chest X-rays for findings written as text.

    Print one table per study on a terminal. In a pipe (| jq) or a redirected
    file (> FILE), write JSON lines (see result.schema.json), or with --table
    the tables.
    Counts by reason, and where the results are, go to stderr.
    With --output, an interrupted run goes on with --resume.
    --sr, --gsps, --sc and --seg write the patient's name and id into their
    files, as DICOM demands.

    Exit codes: 0 success, or the reader closed the pipe; 2 wrong usage;
    3 some files could not be scored, or a DICOM object that was asked
    for is missing; 74 a full or lost disk; 130 Ctrl-C,
    143 SIGTERM, 129 SIGHUP. Finished results are kept.

    For research use; not a medical device.
    """
    file = _check(output, table, wide, hash_ids and include_phi)
    if file is not None:
        check_not_an_input(file.path, "--output", [*paths, *(model or [])])
    from tier_cli.commands.journal_run import (
        JournalRun,
        PassedOverNotes,
        check_hashed,
        journal_options,
        stdout_option,
    )

    written = stdout_option(output, table)
    kept = journal_options(file, journal, resume, content_hashes, shard, written)
    if kept is not None:
        check_not_an_input(kept.path, "--journal", [*paths, *(model or [])])
    if maps is not None:
        check_new_output_folder(maps, "--maps", [*paths, *(model or [])], resume or shard is not None)
    dicom_folders = {"--sr": sr, "--gsps": gsps, "--sc": sc, "--seg": seg}
    check_dicom(dicom_folders, paths, hash_ids=hash_ids, shard=shard)
    if shard is not None and fail_fast:
        raise UsageError("--shard and --fail-fast contradict each other", remedy="give only one")
    _check_places(paths, maps, dicom_folders, dry_run, runner)
    passed_over = passing_over(hash_ids)
    notes = PassedOverNotes(passed_over.observe)
    if kept is not None:
        passed_over.observe = notes
    sources = sources_of(paths, passed_over)
    from tier_cli.commands.runners import opened

    with opened(runner, ray_address, workers) as distributor:
        job = open_models(model or DEFAULT_MODEL, findings, engine.value, device.value, distributor)
        from tier_cli.commands.result_run import ScoreRun, hasher, print_notes
        from tier_cli.pipeline.stream import stream_options

        stream = stream_options(
            views=views.value,
            window=window,
            accept_any=accept_any,
            decode=decode.value,
            include_phi=include_phi,
            by=by,
            batch_size=batch_size,
            workers=workers,
            timeout_per_file=timeout_per_file,
            memory_per_file=memory_per_file,
            fail_fast=fail_fast,
            input_check=input_check.value,
            runner=distributor,
        )
        for member in job.members:
            print_detail(f"Model {member.checkpoint.name}: {member.engine.name} on {member.engine.device}")
        if dry_run:
            from tier_cli.commands.dry_run import preview

            preview(sources, passed_over, job, stream, output)
            return
        keyed = hasher(hash_ids)
        dicom = open_dicom(dicom_folders, job.findings)
        sink = _open_maps(job, maps, keyed, dicom)
        if kept is not None:
            check_hashed(kept, keyed)
            layout = _layout(job, stream, wide)
            journaled = JournalRun(job, layout, kept, file, top, keyed, passed_over, sink, dicom)
            print_notes(job)
            code = journaled.score_all(sources, stream, notes, counter(paths))
            raise Exit(max(code, _reported(maps, dicom)))
        tables = True if table else False if output == STDOUT else None
        run = ScoreRun(job, by, top, keyed, passed_over, tables, dicom)
        run.print_notes()
        run.write_all(lambda tick: job.classify(sources, stream, tick, sink), counter(paths))
        if _reported(maps, dicom) or run.failed:
            raise Exit(3)


def _check(output: str | None, table: bool, wide: bool, contradictory: bool) -> OutputFile | None:
    """Refuse options that contradict each other before anything heavy is loaded."""
    if contradictory:
        raise UsageError("--hash-ids and --include-phi contradict each other", remedy="give only one")
    if table and output is not None:
        raise UsageError("--table and --output contradict each other", remedy="give only one")
    if output is not None and output != STDOUT:
        return OutputFile(output, wide)
    if wide:
        raise UsageError("a wide table needs an output file", where="--wide", remedy="add --output FILE.csv")
    return None


def _check_places(
    paths: list[str],
    maps: str | None,
    dicom_folders: dict[str, str | None],
    dry_run: bool,
    runner: options.RunnerName,
) -> None:
    """Refuse what does not work with images on a server, or with work on other machines."""
    server = on_server(paths)
    if dry_run and server:
        raise UsageError("retrieves nothing from a server", where="--dry-run", remedy="omit it")
    objects = [name for name, folder in dicom_folders.items() if folder]
    if server and objects:
        raise UsageError("needs the images as files", where=objects[0], remedy="retrieve the study first")
    if runner is not options.RunnerName.RAY:
        return
    if server:
        raise UsageError("needs the images as files", where="--runner ray", remedy="retrieve the study first")
    here = [*(["--maps"] if maps else []), *objects, *(["--dry-run"] if dry_run else [])]
    if here:
        raise UsageError("does not work with --runner ray", where=here[0], remedy="give only one of the two")


def _open_maps(
    job: ScoringJob, folder: str | None, keyed: Hasher | None, dicom: DicomOutput | None
) -> MapFiles | None:
    draw = None if dicom is None else dicom.draw
    if folder is None and draw is None:
        return None
    from tier_cli.pipeline.map_files import open_map_files

    path = None if folder is None else Path(folder)
    hide = (lambda result: result) if keyed is None else keyed.hashed
    files = open_map_files(job, path, hide, draw, 0 if dicom is None else dicom.picture)
    if dicom is not None:
        from tier_cli.dicom_out.kinds import check_thresholds

        check_thresholds(dicom.kinds, files.scale, job.checkpoint.name, job.findings.name)
    if path is not None:
        path.mkdir(exist_ok=True)
    return files


def _reported(maps: str | None, dicom: DicomOutput | None) -> int:
    """Say where the maps are and what became of the DICOM objects; return the exit code that follows."""
    if maps is not None:
        print_message(f"The maps are in {maps}")
    if dicom is None:
        return 0
    dicom.report()
    return 3 if dicom.failed else 0


def _layout(job: ScoringJob, stream: StreamOptions, wide: bool) -> Layout:
    from tier_cli.pipeline.input_checks import holds_check

    # The columns are there if a folder holds a check, also one that was fitted for something else.
    checked = stream.input_check != "off" and holds_check(job.members)
    return Layout(
        job.findings.ids, stream.by, wide, stream.read.include_phi, bool(job.stamp.adaptation), checked
    )
