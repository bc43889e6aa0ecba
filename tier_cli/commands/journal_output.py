"""Make the output of a run from the results in its journal, and count what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tier_cli.commands.run_report import RunReport, studies_text
from tier_cli.errors import StorageError

if TYPE_CHECKING:
    from tier_cli.commands.dicom_output import DicomOutput
    from tier_cli.imaging.discover import PassedOver
    from tier_cli.pipeline.finish import Finish
    from tier_cli.results.output import OutputFile
    from tier_cli.results.record import Result
    from tier_cli.results.rows import Layout


class JournalOutput(RunReport):
    """Write the results that are in journals to a file that is whole or absent.

    Parameters
    ----------
    layout, file
        The columns, and the output file; None counts the results and writes nothing.
    journals
        The names of the journals, for messages.
    top
        Keep only this many findings per result, those that stand out most.
    note
        Added to every result; empty for none.
    passed_over
        The files of folders that are no images.
    dicom
        Writes DICOM objects too, from the results of a run that has ended.
    """

    def __init__(
        self,
        layout: Layout,
        file: OutputFile | None,
        journals: str,
        top: int | None = None,
        note: str = "",
        passed_over: PassedOver | None = None,
        dicom: DicomOutput | None = None,
    ):
        super().__init__("Scoring", "scored", journals if file is None else file.path, passed_over)
        self._layout, self._file, self._journals = layout, file, journals
        self._top, self._note = top, note
        self._dicom = dicom
        # How the command goes on after a full disk.
        self._again = "again"
        if file is None:
            self._replaced = ""

    def make(
        self, images: Iterable[Result], finish: Finish, *, fail_fast: bool = False, cut_short: bool = False
    ) -> None:
        """Write the results of all images; parameters as in `Finish.results`.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        results = finish.results(self._counted(images), fail_fast=fail_fast, cut_short=cut_short)
        prepared = self._prepared(results)
        dicom = None if cut_short else self._dicom
        if dicom is not None:
            prepared = _added(prepared, dicom)
        if self._file is None:
            for _ in prepared:
                pass
        else:
            self._write_file(prepared, self._file)
        if dicom is not None:
            dicom.finish()

    def _write_file(self, prepared: Iterable[Result], file: OutputFile) -> None:
        try:
            file.write_whole(self._layout, prepared)
        except OSError as error:
            raise StorageError(
                f"cannot be written: {error.strerror or 'unknown reason'};"
                f" all results are in {self._journals}",
                where=file.path,
                remedy=f"make room or restore the disk, then run the same command {self._again}",
            ) from error

    def report(self) -> None:
        """Report on stderr what the output holds."""
        self._summarise()

    def _counted(self, images: Iterable[Result]) -> Iterator[Result]:
        for image in images:
            self.done += 1
            self._count_failure(image)
            yield image

    def _prepared(self, results: Iterable[Result]) -> Iterator[Result]:
        for result in results:
            self._written += 1
            kept = result if self._top is None else result.top(self._top)
            # Paths and UIDs were hashed before they came into the journal.
            yield replace(kept, notes=(*kept.notes, self._note)) if self._note else kept

    def _units(self) -> str:
        return studies_text(self._layout.unit, self._written - self.failed)


def _added(results: Iterable[Result], dicom: DicomOutput) -> Iterator[Result]:
    for result in results:
        dicom.add(result)
        yield result
