"""Score studies that have become quiet, and write their results."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING

from tier_cli.files.atomic import create_private, folder_errors, sync_folder, whole_file
from tier_cli.imaging.discover import PAUSE, Source
from tier_cli.pacs.health import Health
from tier_cli.pacs.ledger import RESTART, Ledger
from tier_cli.pacs.spool import Spool
from tier_cli.pipeline.journaled import FileState, state_of
from tier_cli.results.writers import JsonLinesWriter

if TYPE_CHECKING:
    from tier_cli.pipeline.image_scorer import ImageScorer
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.record import Result

# The folder below --output with one file of JSON lines per study.
STUDIES = "studies"
# How long the thread waits before it looks whether it is to end.
_WAIT = 0.5

# Receives the key of a study and its results.
OnScored = Callable[[str, Sequence["Result"]], object]


_NO_FILE = FileState()


@dataclass(frozen=True)
class _Item:
    """One image under way, or with an empty path the end of a study."""

    study: str
    path: str = ""
    state: FileState = _NO_FILE


class StudyScorer:
    """Take quiet studies from the spool, score their new images, and write the results of the whole study.

    Parameters
    ----------
    job, scorer, options
        What scores, and how files are read.
    spool, ledger
        Where images come from, and where their results go.
    quiet
        Seconds without a new image after which a study is scored.
    health
        Told of each study.
    on_scored
        Called when the results of a study are written, before it counts as finished.
    """

    def __init__(
        self,
        job: ScoringJob,
        scorer: ImageScorer,
        options: StreamOptions,
        spool: Spool,
        ledger: Ledger,
        quiet: float,
        health: Health,
        on_scored: OnScored = lambda study, results: None,
    ):
        self._job, self._scorer, self._options = job, scorer, options
        self._spool, self._ledger, self._quiet, self._health = spool, ledger, quiet, health
        self._on_scored = on_scored
        self._folder = spool.root / STUDIES
        self._under_way: deque[_Item] = deque()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Score studies until `stop` was called; those that were taken by then are finished.

        Raises
        ------
        StorageError
            If results cannot be written.
        """
        with folder_errors(self._folder, RESTART):
            self._folder.mkdir(mode=0o700, exist_ok=True)
        results = self._job.image_results(self._sources(), self._scorer, self._options)
        with closing(results):
            for result in results:
                item = self._under_way.popleft()
                self._ledger.keep(item.path, item.state, result)
                self._health.count("scored" if result.error is None else "failed")
                self._finish_ended()

    def stop(self) -> None:
        """Let `run` end after the studies that it has taken."""
        self._stopping.set()
        self._spool.close()

    def _sources(self) -> Iterator[Source]:
        """Yield the images of quiet studies that have no result yet, and `PAUSE` where none is quiet."""
        paused = True
        while not self._stopping.is_set():
            study = self._spool.next_quiet(self._quiet, _WAIT if paused else 0.0)
            if study is None:
                if not paused:
                    # Results of all that was yielded come before the next request.
                    yield PAUSE
                paused = True
                continue
            for path in self._spool.images(study):
                absolute = self._spool.root / path
                item = _Item(study, path, state_of(str(absolute)))
                if absolute.exists() and not self._is_done(item):
                    paused = False
                    self._under_way.append(item)
                    yield Source(str(absolute), name=path)
            self._under_way.append(_Item(study))
            self._finish_ended()

    def _is_done(self, item: _Item) -> bool:
        """Return whether the file as it is has a result, or will have: one with an error may be replaced."""
        return item in self._under_way or self._ledger.state(item.path) == item.state

    def _finish_ended(self) -> None:
        """Write the results of studies of which no image is under way."""
        while self._under_way and not self._under_way[0].path:
            self._finish(self._under_way.popleft().study)

    def _finish(self, study: str) -> None:
        with folder_errors(self._spool.root, RESTART):
            self._write_results(study)
            self._spool.finish(study)

    def _write_results(self, study: str) -> None:
        paths = self._spool.images(study)
        images = [result for path in paths if (result := self._ledger.result(path)) is not None]
        if images:
            self._ledger.sync()
            results = list(self._scorer.finish.results(images))
            self._write(study, results)
            self._on_scored(study, results)
            failed = sum(image.error is not None for image in images)
            self._health.count("studies")
            self._health.tell("scored", study=study, images=len(images), failed=failed)

    def _write(self, study: str, results: Sequence[Result]) -> None:
        path = self._folder / f"{study}.jsonl"
        with whole_file(path) as partial, TextIOWrapper(create_private(partial), encoding="ascii") as file:
            writer = JsonLinesWriter(file)
            for result in results:
                writer.write(result)
        sync_folder(self._folder)
