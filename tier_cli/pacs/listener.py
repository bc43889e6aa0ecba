"""The service: receive images, score quiet studies, send results on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tier_cli.errors import InputError, TierError, UsageError
from tier_cli.pacs.health import Health
from tier_cli.pacs.ledger import Ledger
from tier_cli.pacs.outbox import Destination, Outbox
from tier_cli.pacs.receiver import Receiver, ReceiverSettings
from tier_cli.pacs.spool import Spool
from tier_cli.pacs.study_scorer import StudyScorer

if TYPE_CHECKING:
    from tier_cli.pacs.objects import Maker
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.record import Result

# Seconds that the end waits for images under way, and for a file that is being sent.
_PATIENCE = 10.0


class Listener:
    """Receive, score and send until `stop` is called.

    Parameters
    ----------
    root
        The folder of --output; created if it is missing.
    job, stream
        What scores, and how files are read.
    receiver
        How images are received.
    most_disk
        The bytes that images may take.
    quiet
        Seconds without a new image after which a study is scored.
    destinations
        Where results go.
    make
        Makes what is sent; None sends nothing.
    messages
        Receives one line of JSON per event.
    status_file
        Replaced as a whole when something has happened.
    pause
        Seconds until something that could not be sent is tried again; doubled with each failure.

    Raises
    ------
    TierError
        If the folder cannot be used.
    """

    def __init__(
        self,
        root: Path,
        job: ScoringJob,
        stream: StreamOptions,
        receiver: ReceiverSettings,
        *,
        most_disk: int,
        quiet: float,
        destinations: Sequence[Destination] = (),
        make: Maker | None = None,
        messages: TextIO | None = None,
        status_file: Path | None = None,
        pause: float = 5.0,
    ):
        _make_private(root)
        self._make = make
        self.health = Health(messages, status_file, self._now)
        scorer = job.scorer(stream)
        # First: it is locked, so no other process uses the folder.
        self._ledger = Ledger.open(root, job, scorer, stream)
        self._spool = Spool(root, most_disk, self._tell_freed)
        self._outboxes = [Outbox(root, to, self.health, pause) for to in destinations]
        self._scorer = StudyScorer(
            job, scorer, stream, self._spool, self._ledger, quiet, self.health, self._send
        )
        self._receiver = Receiver(receiver, self._spool, self._ledger, self.health)
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._hook = threading.excepthook
        self._closed = False
        self._thread = threading.Thread(target=self._score, name="score", daemon=True)

    def start(self) -> int:
        """Begin to score what an earlier run left, and to listen; return the port.

        Raises
        ------
        UsageError
            If the address cannot be used.
        """
        # A thread of pynetdicom that a peer has confused ends with a traceback, which may quote that peer.
        self._hook, threading.excepthook = threading.excepthook, self._tell_error
        waiting = self._spool.restore()
        try:
            port = self._receiver.start()
        except TierError:
            self._close()
            raise
        self.health.start()
        for outbox in self._outboxes:
            outbox.start()
        self._thread.start()
        self.health.tell("listening", port=port, open_studies=waiting, scored_before=len(self._ledger))
        return port

    def wait(self) -> None:
        """Wait until the service fails; raises what made it fail."""
        while not self._ended.wait(1.0):
            pass
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Finish what is in hand: images under way, studies that are being scored, a file that is being sent.

        The rest stays on the disk for the next run.
        """
        if self._closed:
            return
        self.health.tell("stopping")
        self._receiver.stop(_PATIENCE)
        self._scorer.stop()
        if self._thread.is_alive():
            self._thread.join()
        for outbox in self._outboxes:
            outbox.stop(_PATIENCE)
        self.health.tell("stopped", open_studies=self._spool.open_studies)
        self.health.stop()
        self._close()

    def _close(self) -> None:
        self._closed = True
        with suppress(TierError):
            self._ledger.close()
        threading.excepthook = self._hook

    def _tell_error(self, error: threading.ExceptHookArgs) -> None:
        self.health.count("thread_errors")
        self.health.tell("thread error", type=error.exc_type.__name__)

    def _score(self) -> None:
        try:
            self._scorer.run()
        except BaseException as error:  # noqa: BLE001 - `wait` raises it in the main thread
            self._failure = error
        self._ended.set()

    def _send(self, study: str, results: Sequence[Result]) -> None:
        """Put the objects of a study into the outboxes, made from the images that are still there."""
        if self._make is None or not self._outboxes:
            return
        root = self._spool.root.absolute()
        there = [
            replace(result, paths=tuple(str(root / path) for path in result.paths))
            for result in results
            if result.error is None and all((root / path).exists() for path in result.paths)
        ]
        if not there:
            return
        version = len(self._ledger)
        for number, made in enumerate(self._make(there)):
            if isinstance(made, InputError):
                # Its message may name a file, never what is in it.
                self.health.count("not_made")
                self.health.tell("object not made", study=study, reason=made.kind)
                continue
            for outbox in self._outboxes:
                outbox.put(f"{study}-{version}-{number}.dcm", made)

    def _tell_freed(self, study: str) -> None:
        self.health.count("studies_without_pixels")
        self.health.tell("pixels deleted", study=study)

    def _now(self) -> dict[str, Any]:
        return {
            "associations": self._receiver.associations,
            "open_studies": self._spool.open_studies,
            "disk_bytes": self._spool.used,
            "results": len(self._ledger),
            "to_send": {str(outbox): outbox.waiting for outbox in self._outboxes},
            "not_accepted": {str(outbox): outbox.refused for outbox in self._outboxes},
        }


def _make_private(root: Path) -> None:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot be created ({error.strerror})", where=f"--output {root}", remedy="name another folder"
        ) from None
