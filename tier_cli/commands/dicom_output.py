"""Write the results of `tier classify` as DICOM objects too, and report on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tier_cli.commands import options
from tier_cli.console import print_message
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.dicom_out.folder import ReportFolder
    from tier_cli.findings.schema import FindingSet

Reports = Annotated[
    str | None,
    options.option(
        "Results",
        "DIR",
        "Also write one DICOM structured report per study to this folder. It names the patient, as the "
        "images do; only you can read it.",
        "--sr",
    ),
]
# More such lines would hide what they say.
_MOST_LINES = 10


def check_reports(folder: str | None, paths: list[str], *, hash_ids: bool, shard: str | None) -> None:
    """Refuse ``--sr`` where it cannot keep its promise, before any work is done.

    Raises
    ------
    UsageError
        If it contradicts another option, or if the folder cannot be written.
    """
    if folder is None:
        return
    if hash_ids:
        raise UsageError(
            "--hash-ids and --sr contradict each other: a structured report names the patient and the study",
            remedy="give only one",
        )
    if shard is not None:
        raise UsageError(
            "--shard and --sr contradict each other: a study's images may be in other parts",
            remedy="write the reports in a run over all files",
        )
    _check_folder(folder, paths)
    from tier_cli.dicom_out.report import import_highdicom

    import_highdicom()


def open_reports(folder: str | None, findings: FindingSet) -> DicomOutput | None:
    """Create the folder, readable only by its owner; an existing one stays as it is."""
    if folder is None:
        return None
    Path(folder).mkdir(mode=0o700, exist_ok=True)
    return DicomOutput(Path(folder), findings)


class DicomOutput:
    """The structured reports of one run.

    Parameters
    ----------
    folder, findings
        As for `ReportFolder`.
    """

    def __init__(self, folder: Path, findings: FindingSet):
        from tier_cli.dicom_out.folder import ReportFolder

        self._folder = folder
        self._lines, self._finished = 0, False
        self._reports: ReportFolder = ReportFolder(folder, findings, self._tell)
        self.add = self._reports.add

    @property
    def failed(self) -> int:
        """The number of studies that cannot have a report."""
        return self._reports.failed

    def finish(self) -> None:
        """Write what was held; call it once the run has ended."""
        self._reports.finish()
        self._finished = True

    def report(self) -> None:
        """Say on stderr what was written and what was not."""
        reports = self._reports
        if not self._finished:
            print_message("Interrupted: no structured report was written of studies that may be incomplete.")
            return
        written = "1 structured report" if reports.written == 1 else f"{reports.written} structured reports"
        print_message(f"Wrote {written} (DICOM SR) to {self._folder}")
        if self._lines > _MOST_LINES:
            print_message(f"... and {self._lines - _MOST_LINES} more studies without one", colour="yellow")
        if count := reports.without_study:
            images = "1 image has" if count == 1 else f"{count} images have"
            print_message(
                f"{images} no Study Instance UID, as in PNG and JPEG files, and no structured report"
            )

    def _tell(self, line: str) -> None:
        self._lines += 1
        if self._lines <= _MOST_LINES:
            print_message(line, colour="yellow")


def _check_folder(folder: str, paths: list[str]) -> None:
    target = Path(os.path.realpath(folder))
    if target.exists() and not target.is_dir():
        raise UsageError("is not a folder", where=f"--sr {folder}", remedy="name a folder")
    holder = target if target.is_dir() else target.parent
    if not holder.is_dir() or not os.access(holder, os.W_OK):
        raise UsageError(
            "cannot be written: its parent is missing or read-only",
            where=f"--sr {folder}",
            remedy="create the parent first, or choose another",
        )
    for path in paths:
        if os.path.isdir(path) and target.is_relative_to(os.path.realpath(path)):
            raise UsageError(
                f"lies in {path}, whose files are the input: the next run would read the reports",
                where=f"--sr {folder}",
                remedy="name a folder elsewhere",
            )
