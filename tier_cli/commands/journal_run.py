"""Run `tier classify` with a journal: keep each result as it comes, and make the output from the journal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.commands.journal_output import JournalOutput
from tier_cli.commands.stopping import stopping
from tier_cli.console import print_message
from tier_cli.errors import JournalError, StorageError, UsageError
from tier_cli.results.output import STDOUT
from tier_cli.results.privacy import KEY_VARIABLE
from tier_cli.signals import exit_code_of, signal_name

if TYPE_CHECKING:
    from tier_cli.commands.dicom_output import DicomOutput
    from tier_cli.imaging.discover import PassedOver, Source
    from tier_cli.pipeline.journaled import JournaledRun
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.shards import Shard
    from tier_cli.pipeline.stream import MapSink, StreamOptions
    from tier_cli.results.journal import Journal
    from tier_cli.results.output import OutputFile
    from tier_cli.results.privacy import Hasher
    from tier_cli.results.record import Result
    from tier_cli.results.rows import Layout

# A word whose hash tells one key from another.
_PROBE = "tier journal"
_RANDOM = "random"


@dataclass(frozen=True)
class JournalOptions:
    """Where the journal is, and how it is used.

    Parameters
    ----------
    path
        The journal.
    named
        Whether the user named it; then it stays after the run.
    resume
        Go on with the results that it holds.
    content_hashes
        Note a hash of each file.
    shard
        The part of the files that is scored.
    """

    path: Path
    named: bool
    resume: bool
    content_hashes: bool
    shard: Shard | None

    @property
    def stays(self) -> bool:
        """Whether the journal is wanted after the run."""
        return self.named or self.shard is not None


def journal_options(
    file: OutputFile | None,
    journal: str | None,
    resume: bool,
    content_hashes: bool,
    shard: str | None,
    others: str | None,
) -> JournalOptions | None:
    """Return how the run is journaled, or None if it writes to stdout.

    Parameters
    ----------
    file, journal, resume, content_hashes, shard
        The output file and the options.
    others
        An option that writes to stdout.

    Raises
    ------
    UsageError
        If the options contradict each other.
    """
    if journal is None and file is None:
        for name, given in (("--resume", resume), ("--content-hashes", content_hashes), ("--shard", shard)):
            if given:
                raise UsageError(f"{name} needs a journal", remedy="add --output FILE or --journal FILE")
        return None
    if others is not None:
        raise UsageError(
            f"--journal and {others} contradict each other",
            remedy="give only one; with --journal alone, the results are in the journal",
        )
    path = Path(os.path.realpath(journal)) if journal is not None else None
    if file is not None and path == Path(os.path.realpath(file.path)):
        raise UsageError("is the output too", where=f"--journal {journal}", remedy="choose another name")
    from tier_cli.pipeline.shards import Shard

    part = None if shard is None else Shard.parse(shard)
    if path is None:
        path = (file.journal if file is not None else path) or Path()
    return JournalOptions(path, journal is not None, resume, content_hashes, part)


def check_hashed(options: JournalOptions, hasher: Hasher | None) -> None:
    """Refuse what a random key makes impossible.

    Raises
    ------
    UsageError
        If ids are hashed with a random key, and the results are to be joined with those of another run.
    """
    if hasher is None or not hasher.note:
        return
    for name, given in (("--resume", options.resume), ("--shard", options.shard)):
        if given:
            raise UsageError(
                f"--hash-ids draws a random key for each run, so {name} cannot join their results",
                remedy=f"set {KEY_VARIABLE}",
            )


class JournalRun(JournalOutput):
    """Score into a journal and make the output from it.

    Parameters
    ----------
    job, layout
        What the run scores with, and the columns of the output.
    options
        Where the journal is, and how it is used.
    file, top
        As for `JournalOutput`.
    hasher
        Hashes paths and UIDs, if asked for.
    passed_over
        As for `JournalOutput`.
    maps
        Writes maps of the images that are scored; None for no maps.
    dicom
        As for `JournalOutput`.
    """

    def __init__(
        self,
        job: ScoringJob,
        layout: Layout,
        options: JournalOptions,
        file: OutputFile | None = None,
        top: int | None = None,
        hasher: Hasher | None = None,
        passed_over: PassedOver | None = None,
        maps: MapSink | None = None,
        dicom: DicomOutput | None = None,
    ):
        note = "" if hasher is None else hasher.note
        super().__init__(layout, file, str(options.path), top, note, passed_over, dicom)
        self._job, self._options, self._hasher, self._maps = job, options, hasher, maps
        self._again = "with --resume"

    def score_all(
        self,
        sources: Iterable[Source],
        stream: StreamOptions,
        pass_over: PassedOverNotes,
        count: Callable[[], int] | None = None,
    ) -> int:
        """Score what is left and make the output.

        Parameters
        ----------
        sources, stream
            The files, and the settings.
        pass_over
            Brings the files that are no images to the journal.
        count
            Counts the files, where that is possible.

        Returns
        -------
        The exit code.

        Raises
        ------
        TierError
            If the journal cannot be used or written, or if the output cannot be written.
        """
        from tier_cli.pipeline.journal_header import header_of
        from tier_cli.pipeline.journaled import JournaledRun, JournalResults
        from tier_cli.results.journal import Journal

        options, job = self._options, self._job
        scorer = job.scorer(stream)
        header = header_of(
            job,
            scorer,
            stream,
            hash_ids="" if self._hasher is None else _key_name(self._hasher),
            note=self._note,
            columns=self._layout.checked,
            content_hashes=options.content_hashes,
            shard=options.shard,
        )
        journal = Journal(options.path, header, resume=options.resume, private=stream.read.include_phi)
        with journal, stopping() as told:
            self._check_header(journal, header)
            self._tell_resumed(journal)
            if self._file is not None and not options.named:
                self._file.remove_unfinished()
            results = JournalResults(job.stamp, job.scoring, stream.by, job.findings.ids, scorer.check)
            stop: KeyboardInterrupt | None = None
            gone = 0
            run: JournaledRun | None = None
            try:
                with self._progress(count) as tick:
                    run = JournaledRun(
                        journal,
                        results,
                        shard=options.shard,
                        with_hashes=options.content_hashes,
                        hide=str if self._hasher is None else self._hasher.hash,
                        fail_fast=stream.fail_fast,
                        tick=tick,
                    )
                    pass_over.forward(run.pass_over)
                    images = job.image_results(run.left(sources), scorer, stream, tick, self._maps)
                    with closing(images):
                        self._keep_each(images, run, told)
                if run.complete:
                    gone = run.finish(self._passed_over.counts if self._passed_over else {})
            except KeyboardInterrupt as signal:
                stop = signal
            except (StorageError, JournalError):
                raise
            except Exception:
                stop = told()
                if stop is None:
                    print_message(
                        f"The results up to this error are in {options.path}; --resume goes on from there"
                    )
                    raise
            if run is None:
                raise stop or KeyboardInterrupt
            try:
                # Nothing was done: an older output stays.
                if stop is None or run.has_results:
                    self.make(
                        run.results(), scorer.finish, fail_fast=stream.fail_fast, cut_short=stop is not None
                    )
            except KeyboardInterrupt as signal:
                print_message(f"Interrupted{signal_name(signal)} while the results were written.")
                self._tell_how_to_go_on()
                return exit_code_of(signal)
            code = self._report(run, stop, gone)
            removed = not options.stays and self._is_dispensable(run, stop, gone)
            if removed:
                options.path.unlink(missing_ok=True)
        return code

    def _keep_each(
        self, images: Iterable[Result], run: JournaledRun, told: Callable[[], KeyboardInterrupt | None]
    ) -> None:
        for image in images:
            # Raised in a destructor, for example, it was lost.
            if (stop := told()) is not None:
                raise stop
            run.keep(image if self._hasher is None else self._hasher.hashed(image))

    def _check_header(self, journal: Journal, header: dict[str, object]) -> None:
        if journal.fresh:
            return
        from tier_cli.results.journal import differences

        before = {name: value for name, value in journal.contents.header.items() if name != "journal"}
        if found := differences(before, header):
            more = f" and {len(found) - 4} more" if len(found) > 4 else ""
            raise JournalError(
                f"was written with other settings: {', '.join(found[:4])}{more}",
                where=str(journal.path),
                remedy="give the same, or start again with another journal",
            )

    def _tell_resumed(self, journal: Journal) -> None:
        if not self._options.resume:
            return
        if journal.fresh:
            print_message(f"No journal {journal.path} to go on with: starting with the first file")
            return
        print_message(f"Resuming: {_files(journal.contents.results)} in {journal.path}")
        if journal.contents.damaged:
            lines = "1 line is" if journal.contents.damaged == 1 else f"{journal.contents.damaged} lines are"
            print_message(f"{lines} damaged; the files are scored again", colour="yellow")

    def _report(self, run: JournaledRun, stop: KeyboardInterrupt | None, gone: int) -> int:
        if stop is not None:
            self._tell_interrupted(signal_name(stop))
            return exit_code_of(stop)
        self._summarise()
        if run.kept:
            print_message(f"{_files(run.kept)} had been scored before")
        if gone:
            which = "that is" if gone == 1 else "that are"
            print_message(
                f"Left out: {_files(gone)} of the journal {which} no longer found;"
                f" {self._options.path} stays",
                colour="yellow",
            )
        if run.lost:
            print_message(
                f"{_files(run.lost)} could not be reached: is a disk or network drive lost?",
                colour="yellow",
            )
        if run.lost or not run.complete:
            self._tell_how_to_go_on()
        return 3 if self.failed else 0

    def _tell_how_to_go_on(self) -> None:
        if self._note:
            print_message(f"The key of this run is lost with it; with {KEY_VARIABLE}, a run can be resumed.")
            return
        print_message(
            f"To go on, run the same command with --resume; {self._options.path} holds what was done."
        )

    def _is_dispensable(self, run: JournaledRun, stop: KeyboardInterrupt | None, gone: int) -> bool:
        """Return whether the output holds all that the journal does, or the journal holds nothing."""
        if stop is not None:
            return not self.done or bool(self._note)
        return run.complete and not gone and not run.lost


class PassedOverNotes:
    """Files that were passed over before the journal was open, and the way to it afterwards."""

    def __init__(self, observe: Callable[[str, str], object]):
        self._observe = observe
        self._early: list[tuple[str, str]] = []
        self._to: Callable[[str, str], object] = lambda path, reason: self._early.append((path, reason))

    def __call__(self, path: str, reason: str) -> None:
        """Note one file."""
        self._observe(path, reason)
        self._to(path, reason)

    def forward(self, to: Callable[[str, str], object]) -> None:
        """Send the files so far, and all others, to the journal."""
        for path, reason in self._early:
            to(path, reason)
        self._early.clear()
        self._to = to


def _key_name(hasher: Hasher) -> str:
    return _RANDOM if hasher.note else hasher.hash(_PROBE)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def stdout_option(output: str | None, table: bool) -> str | None:
    """Return the option that writes to stdout, if there is one."""
    return "--table" if table else f"--output {STDOUT}" if output == STDOUT else None
