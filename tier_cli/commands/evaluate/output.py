"""Show and write the report of `tier eval` as it grows, so that an interrupted run loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer import echo

from tier_cli.console import is_terminal, print_message
from tier_cli.results.overwrite import replaced_text

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.report import Report


class ReportOutput:
    """Observe an evaluation: print each part on stderr, and write the report to a file or stdout.

    Parameters
    ----------
    path
        A .json or .csv file; None = JSON on stdout unless that is a terminal.
    """

    def __init__(self, path: str | None):
        self._path = path
        self._replaced = replaced_text(path)
        self._last: tuple[Report, Evaluation] | None = None
        self._console: Console | None = None

    def __call__(self, report: Report, evaluation: Evaluation, section: str) -> None:
        """Print the new part of a report: the table (section "") or a section by its name, if it applies."""
        from tier_cli.display.evaluation_table import show
        from tier_cli.display.section_tables import show_section

        labels = {finding.id: finding.label for finding in evaluation.findings.findings}
        self._last = report, evaluation
        if not section:
            show(report, labels, self._stderr())
        elif section in report.sections:
            show_section(section, report.sections[section], labels, self._stderr())
        # Sections may take long and be interrupted: the file says which of them it lacks.
        self._write(report)

    def interrupted(self) -> None:
        """Write what was measured before an interruption, and say how to go on."""
        if self._last is None:
            print_message("Interrupted before the first number; nothing was written.")
        elif self._path is None:
            print_message("Interrupted; nothing was written. With --output FILE, finished parts are kept.")
        else:
            self._write(self._last[0])
            missing = ", ".join(self._last[0].pending)
            without = f"; not measured: {missing}" if missing else ""
            print_message(f"Interrupted: the numbers measured so far are in {self._path}{without}.")
        print_message(
            "The same command starts from the beginning. To score only once, write scores with `tier classify"
            " --output FILE.csv` and evaluate them with --scores FILE.csv."
        )

    def finish(self, report: Report) -> tuple[Report, Evaluation]:
        """Print the notes and write the whole report; return it with its evaluation."""
        from tier_cli.display.evaluation_table import show_notes

        if self._last is None:
            raise RuntimeError("finish() was called before any part of the report was ready")
        evaluation = self._last[1]
        show_notes(report, self._stderr())
        if self._path is not None:
            self._write(report)
            print_message(f"All numbers are in {self._path}{self._replaced}")
        elif not is_terminal("stdout"):
            echo(report.to_json(), nl=False)
        return report, evaluation

    def _write(self, report: Report) -> None:
        if self._path is not None:
            from tier_cli.evaluation.report import write_report

            write_report(report, self._path)

    def _stderr(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True)
        return self._console
