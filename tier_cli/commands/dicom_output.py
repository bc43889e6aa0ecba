"""Write the results of `tier classify` as DICOM objects too, and report on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tier_cli.commands import options
from tier_cli.console import print_message
from tier_cli.errors import UsageError
from tier_cli.packages import require_extras
from tier_cli.results.overwrite import check_outside_inputs

if TYPE_CHECKING:
    from tier_cli.dicom_out.folder import ReportFolder
    from tier_cli.findings.schema import FindingSet
    from tier_cli.maps.explanation import Explanation
    from tier_cli.results.record import Result

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
States = Annotated[
    str | None,
    options.option(
        "Results",
        "DIR",
        "Also write to this folder, for each image, a DICOM presentation state with outlines of what stands "
        "out for the findings that reach their operating points. It names the patient, as --sr does.",
        "--gsps",
    ),
]
Captures = Annotated[
    str | None,
    options.option(
        "Results",
        "DIR",
        "Also write to this folder, for each image, maps of the findings that reach their operating points, "
        "as a DICOM secondary capture. It names the patient, as --sr does.",
        "--sc",
    ),
]
Segmentations = Annotated[
    str | None,
    options.option(
        "Results",
        "DIR",
        "Also write to this folder, for each image, the patches that stand out as a DICOM segmentation. It "
        "names the patient, as --sr does.",
        "--seg",
    ),
]
# More such lines would hide what they say.
_MOST_LINES = 10


def check_dicom(
    folders: Mapping[str, str | None], paths: list[str], *, hash_ids: bool, shard: str | None
) -> None:
    """Refuse the options of DICOM objects where they cannot keep their promise, before any work is done.

    Parameters
    ----------
    folders
        The folder of each option; None if it is not given.
    paths, hash_ids, shard
        Of the command line.

    Raises
    ------
    UsageError
        If an option contradicts another one, or if its folder cannot be written.
    """
    given = {option: folder for option, folder in folders.items() if folder is not None}
    for option, folder in given.items():
        if hash_ids:
            raise UsageError(
                f"--hash-ids and {option} contradict each other: DICOM objects name patient and study",
                remedy="give only one",
            )
        if option == "--sr" and shard is not None:
            raise UsageError(
                "--shard and --sr contradict each other: a study's images may be in other parts",
                remedy="write the reports in a run over all files",
            )
        _check_folder(folder, option, paths)
    if given:
        require_extras(next(iter(given)), "dicom")


def open_dicom(folders: Mapping[str, str | None], findings: FindingSet) -> DicomOutput | None:
    """Create the folders, readable only by their owner; an existing one stays as it is."""
    given = {option: Path(folder) for option, folder in folders.items() if folder is not None}
    for folder in given.values():
        folder.mkdir(mode=0o700, exist_ok=True)
    return DicomOutput(given, findings) if given else None


class DicomOutput:
    """The DICOM objects of one run.

    Parameters
    ----------
    folders
        The folder of each option that was given: ``--sr``, ``--gsps``, ``--sc``, ``--seg``.
    findings
        The finding set of the scores.
    """

    def __init__(self, folders: Mapping[str, Path], findings: FindingSet):
        from tier_cli.dicom_out.folder import ImageFolder, ReportFolder
        from tier_cli.dicom_out.kinds import IMAGE_KINDS

        self._folders = folders
        self._lines, self._finished = 0, False
        self._reports = ReportFolder(folders["--sr"], findings, self._tell) if "--sr" in folders else None
        self._images = [
            ImageFolder(folders[f"--{name}"], kind, findings, self._tell)
            for name, kind in IMAGE_KINDS.items()
            if f"--{name}" in folders
        ]

    @property
    def kinds(self) -> list[str]:
        """The kinds of objects, as in `tier_cli.dicom_out.kinds`."""
        return [option.removeprefix("--") for option in self._folders]

    @property
    def picture(self) -> int:
        """The longer side of the picture of an image that is needed, in pixels; 0 for none."""
        from tier_cli.dicom_out.capture import SIDE

        return SIDE if "--sc" in self._folders else 0

    @property
    def draw(self) -> Callable[[Result, Explanation], object] | None:
        """What takes the maps of each image; None if none are asked for."""
        return self._draw if self._images else None

    @property
    def failed(self) -> int:
        """The number of objects that were asked for and cannot be written."""
        return sum(one.failed for one in (self._reports, *self._images) if one is not None)

    def _draw(self, result: Result, explanation: Explanation) -> None:
        for folder in self._images:
            folder.add(result, explanation)

    def add(self, result: Result) -> None:
        """Take one result."""
        if self._reports is not None:
            self._reports.add(result)

    def finish(self) -> None:
        """Write what was held; call it once the run has ended."""
        if self._reports is not None:
            self._reports.finish()
        self._finished = True

    def report(self) -> None:
        """Say on stderr what was written and what was not."""
        for folder in self._images:
            print_message(folder.report())
        if self._reports is not None:
            self._report_reports(self._reports)
        if self._lines > _MOST_LINES:
            print_message(
                f"... and {self._lines - _MOST_LINES} more DICOM objects are missing", colour="yellow"
            )

    def _report_reports(self, reports: ReportFolder) -> None:
        if not self._finished:
            print_message("Interrupted: no structured report was written of studies that may be incomplete.")
            return
        written = "1 structured report" if reports.written == 1 else f"{reports.written} structured reports"
        print_message(f"Wrote {written} (DICOM SR) to {self._folders['--sr']}")
        if count := reports.without_study:
            images = "1 image has" if count == 1 else f"{count} images have"
            print_message(
                f"{images} no Study Instance UID, as in PNG and JPEG files, and no structured report"
            )

    def _tell(self, line: str) -> None:
        self._lines += 1
        if self._lines <= _MOST_LINES:
            print_message(line, colour="yellow")


def _check_folder(folder: str, option: str, paths: list[str]) -> None:
    target = Path(os.path.realpath(folder))
    if target.exists() and not target.is_dir():
        raise UsageError("is not a folder", where=f"{option} {folder}", remedy="name a folder")
    holder = target if target.is_dir() else target.parent
    if not holder.is_dir() or not os.access(holder, os.W_OK):
        raise UsageError(
            "cannot be written: its parent is missing or read-only",
            where=f"{option} {folder}",
            remedy="create the parent first, or choose another",
        )
    check_outside_inputs(folder, option, paths)
