"""Write the page that `tier eval --report` asks for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from tier_cli.console import print_message
from tier_cli.errors import UsageError
from tier_cli.results.overwrite import replaced_text

if TYPE_CHECKING:
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.report import Report


@dataclass(frozen=True)
class Page:
    """The options of the page, as given on the command line.

    Parameters
    ----------
    path
        The file; None = no page.
    images, paths
        Include pictures of the worst errors; include paths of images.
    note
        A paragraph for the top.
    """

    path: str | None
    images: bool
    paths: bool
    note: str | None

    def check(self) -> None:
        """Refuse options that cannot work, before anything is loaded.

        Raises
        ------
        UsageError
            Options of a page without a page, or a file that cannot be written.
        """
        if self.path is not None:
            from tier_cli.evaluation.page.write import check_page

            check_page(self.path)
            # Asked for now: after the measurements, a missing package would come too late.
            import_module("jinja2")
            return
        given = (
            ("--no-report-images", not self.images),
            ("--report-paths", self.paths),
            ("--report-note", self.note is not None),
        )
        for option, used in given:
            if used:
                raise UsageError("requires --report", where=option, remedy="add --report FILE.html")

    def write(self, report: Report, evaluation: Evaluation) -> None:
        """Write the page, if one was asked for."""
        if self.path is None:
            return
        from tier_cli.evaluation.page.write import PageOptions, write_page

        replaced = replaced_text(self.path)
        write_page(report, evaluation, self.path, PageOptions(self.images, self.paths, self.note or ""))
        pictures = ", with pictures of the images" if self.images else ""
        print_message(f"Page written to {self.path}{pictures}{replaced}")
