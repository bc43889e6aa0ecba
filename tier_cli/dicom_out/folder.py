"""Fill folders with DICOM objects as the results of a run come."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.dicom_out.kinds import ImageKind
from tier_cli.dicom_out.objects import write_object
from tier_cli.dicom_out.report import write_report
from tier_cli.errors import InputError
from tier_cli.files.atomic import folder_errors
from tier_cli.results.record import FindingScore, Result

if TYPE_CHECKING:
    from tier_cli.findings.schema import FindingSet
    from tier_cli.maps.explanation import Explanation

_REMEDY = "make room or restore the disk, then run the same command again"
_CALLS = (False, True, None)


@dataclass(slots=True)
class _Rows:
    """The images of one study, without what all results of the run share.

    Parameters
    ----------
    results
        Without scores.
    numbers
        Of each finding of each image: score, probability (NaN for none), place of the call in `_CALLS`.
    """

    results: list[Result] = field(default_factory=list)
    numbers: array[float] = field(default_factory=lambda: array("d"))


class ReportFolder:
    """Write one report per study.

    By study, a report is written when its result comes. By image, the files of a study may be anywhere among
    the sources, so the scores of all images are held until `finish`: 1.4 kB per image with 14 findings.

    Parameters
    ----------
    folder
        Exists.
    findings
        The finding set of the scores.
    tell
        Receives one line per study that cannot have a report.

    Attributes
    ----------
    written
        The number of reports.
    failed
        The number of studies that cannot have one.
    without_study
        The number of results without a Study Instance UID, such as those of PNG files.
    """

    def __init__(self, folder: Path, findings: FindingSet, tell: Callable[[str], object]):
        self._folder, self._findings, self._tell = folder, findings, tell
        self._ids: tuple[str, ...] = ()
        self._held: dict[str, _Rows] = {}
        self.written = self.failed = self.without_study = 0

    def add(self, result: Result) -> None:
        """Take one result; one with an error has nothing to report.

        Raises
        ------
        StorageError
            A report cannot be written.
        """
        if result.error is not None:
            return
        if not result.study:
            self.without_study += 1
        elif result.unit == "study":
            self._write([result])
        else:
            self._hold(result)

    def finish(self) -> None:
        """Write the reports of the studies whose images were held; raises `StorageError` as `add` does."""
        for study in list(self._held):
            self._write(list(self._released(self._held.pop(study))))

    def _hold(self, result: Result) -> None:
        rows = self._held.setdefault(result.study, _Rows())
        # With --top, each image has findings of its own, and then they stay with it.
        same = self._ids = self._ids or tuple(score.finding for score in result.findings)
        if tuple(score.finding for score in result.findings) != same:
            rows.results.append(result)
            return
        rows.results.append(replace(result, findings=()))
        for score in result.findings:
            probability = math.nan if score.probability is None else score.probability
            rows.numbers.extend((score.score, probability, _CALLS.index(score.call)))

    def _released(self, rows: _Rows) -> Iterator[Result]:
        numbers = iter(rows.numbers)
        for result in rows.results:
            if result.findings:
                yield result
                continue
            scores = []
            for name in self._ids:
                score, probability, call = next(numbers), next(numbers), next(numbers)
                known = None if math.isnan(probability) else probability
                scores.append(FindingScore(name, score, known, _CALLS[int(call)]))
            yield replace(result, findings=tuple(scores))

    def _write(self, results: list[Result]) -> None:
        try:
            with folder_errors(self._folder, _REMEDY):
                write_report(self._folder, results, self._findings)
        except InputError as error:
            self.failed += 1
            self._tell(f"No DICOM SR for a study: {error}")
        else:
            self.written += 1


class ImageFolder:
    """Write one object per image, with its maps.

    Parameters
    ----------
    folder
        Exists.
    kind
        What an object of one image is.
    findings
        The finding set of the maps.
    tell
        Receives one line per image that cannot have one.

    Attributes
    ----------
    failed
        The number of images that cannot have one.
    without_study
        The number of images with maps and without a Study Instance UID, such as PNG files.
    """

    def __init__(self, folder: Path, kind: ImageKind, findings: FindingSet, tell: Callable[[str], object]):
        self._folder, self._kind, self._findings, self._tell = folder, kind, findings, tell
        self.failed = self.without_study = 0
        # Two files with one SOP Instance UID have one object.
        self._files: set[str] = set()

    @property
    def written(self) -> int:
        """The number of objects."""
        return len(self._files)

    def add(self, result: Result, explanation: Explanation) -> None:
        """Show the maps of one image; an image without a study, such as a PNG file, is passed over.

        Raises
        ------
        StorageError
            A file cannot be written.
        """
        if not result.study:
            self.without_study += 1
            return
        try:
            with folder_errors(self._folder, _REMEDY):
                made = self._kind.build(result, explanation, self._findings)
                path = None if made is None else write_object(self._folder, made)
        except InputError as error:
            self.failed += 1
            self._tell(f"No {self._kind.what} for an image: {error}")
        else:
            if path is not None:
                self._files.add(path.name)

    def report(self) -> str:
        """Say how many objects were written, and where."""
        plural = "" if self.written == 1 else "s"
        said = f"Wrote {self.written} {self._kind.what}{plural} to {self._folder}"
        if not (count := self.without_study):
            return said
        images, have = ("1 image", "has") if count == 1 else (f"{count} images", "have")
        return f"{said}; {images} without a Study Instance UID, as in PNG and JPEG files, {have} none"
