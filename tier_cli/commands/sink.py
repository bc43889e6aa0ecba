"""Where results go: a file, tables on a terminal, or JSON lines in a pipe; and what is said beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from tier_cli.commands.result_run import Intake
from tier_cli.console import is_terminal
from tier_cli.results.writers import JsonLinesWriter

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.results.output import OutputFile, Takes
    from tier_cli.results.privacy import Hasher
    from tier_cli.results.record import Result
    from tier_cli.results.rows import Layout
    from tier_cli.results.writers import Writer


class Sink(Intake["Result"]):
    """Takes the scores of one run.

    Parameters
    ----------
    layout, findings
        The columns, where `file` is a table; the finding set.
    file
        Where to write; stdout without one.
    top
        Keep so many of the highest scores only.
    hasher
        Hashes paths and UIDs, where asked for.
    """

    def __init__(
        self,
        layout: Layout,
        findings: FindingSet,
        file: OutputFile | None = None,
        top: int | None = None,
        hasher: Hasher | None = None,
    ):
        super().__init__(path=file.path if file else None, leftover=file.leftover if file else None)
        self._layout, self._findings, self._file = layout, findings, file
        self._top, self._hasher = top, hasher

    def _prepared(self, result: Result) -> Result:
        if self._top is not None:
            result = result.top(self._top)
        return self._hasher.apply(result) if self._hasher else result

    def _writer(self) -> AbstractContextManager[Takes[Result]]:
        if self._file is not None:
            return self._file.writer(self._layout)
        return _finishing(self._tables() if is_terminal("stdout") else JsonLinesWriter(sys.stdout))

    def _tables(self) -> Writer:
        from rich.console import Console

        from tier_cli.display.result_table import TableWriter
        from tier_cli.results.privacy import RANDOM_NOTE
        from tier_cli.scoring.adaptation import NOT_ADAPTED
        from tier_cli.scoring.calibration import NOT_CALIBRATED

        labels = {finding.id: finding.label for finding in self._findings.findings}
        once = (NOT_CALIBRATED, NOT_ADAPTED, RANDOM_NOTE)
        return TableWriter(self._console or Console(), labels, once)


@contextmanager
def _finishing(writer: Writer) -> Iterator[Writer]:
    try:
        yield writer
    finally:
        writer.finish()
