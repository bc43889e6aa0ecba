"""What `tier eval --report` was asked for, and what the page says about how it came about."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.commands.eval_scores import is_table
from tier_cli.console import tell
from tier_cli.errors import UsageError

if TYPE_CHECKING:
    from tier_cli.commands.eval_data import Data
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.evaluation.report import Report

_PACKAGES = ("numpy", "torch", "onnxruntime", "transformers", "pillow", "pydicom", "matplotlib")


@dataclass(frozen=True)
class Page:
    """The options of the page, as they were given."""

    path: str | None
    images: bool
    paths: bool
    note: str | None

    def check(self) -> None:
        """Refuse what cannot work before anything is loaded.

        Raises
        ------
        UsageError
            Options of a page without one, or a file that cannot be written.
        """
        if self.path is not None:
            from tier_cli.evaluation.page.write import check_page

            check_page(self.path)
            return
        given = (
            ("--no-report-images", not self.images),
            ("--report-paths", self.paths),
            ("--report-note", self.note is not None),
        )
        for name, there in given:
            if there:
                raise UsageError("there is no page", where=name, remedy="add --report FILE.html")

    def give(self, report: Report, evaluation: Evaluation, source: Data, scores: Sequence[str]) -> None:
        """Write the page, if one was asked for.

        Parameters
        ----------
        report, evaluation
            The numbers, and what they were measured on.
        source
            The data.
        scores
            What was measured, as it was given; files of scores are hashed.
        """
        if self.path is None:
            return
        from tier_cli.evaluation.fitted_on import rows_hash
        from tier_cli.evaluation.page.origin import Origin
        from tier_cli.evaluation.page.write import PageOptions, write_page

        tables = [Path(text) for text in scores if is_table(text)]
        files = [*([source.data] if source.data is not None else []), *tables]
        origin = Origin(
            command=_command(source),
            versions=dict(_versions()),
            files={str(file): _sha256(file) for file in files},
            rows_sha256=rows_hash(evaluation.selection.manifest, evaluation.truth),
        )
        write_page(
            report, evaluation, self.path, origin, PageOptions(self.images, self.paths, self.note or "")
        )
        pictures = ", with pictures of the images" if self.images else ""
        tell(f"The page is {self.path}{pictures}")


def _command(source: Data) -> str:
    root = os.environ.get("TIER_DATA_ROOT")
    uses_root = source.info is not None and source.root is None and root
    return (f"TIER_DATA_ROOT={shlex.quote(root or '')} " if uses_root else "") + shlex.join(
        ["tier", *sys.argv[1:]]
    )


def _versions() -> Iterator[tuple[str, str]]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from tier_cli import __version__

    yield "tier-cli", __version__
    yield "Python", platform.python_version()
    for name in _PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
