"""Write the maps of a run to a folder, and say on stdout what was found and written."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.commands.result_run import ResultRun
from tier_cli.console import is_terminal
from tier_cli.maps.files import stem_of, storage_errors, write_maps, write_picture, write_regions
from tier_cli.maps.page.write import write_page
from tier_cli.maps.regions import peak_of, stored
from tier_cli.maps.sheet import Drawn, sheet

if TYPE_CHECKING:
    from tier_cli.display.explain_table import ExplanationTable
    from tier_cli.imaging.discover import PassedOver
    from tier_cli.maps.explanation import Explanation, TextMap
    from tier_cli.pipeline.explanations import ExplainedImage
    from tier_cli.results.writers import ResultWriter

_SINGLE = 1024
# Of more images, a page would take minutes to write and gigabytes to hold; no usual study has more.
_MOST_ON_PAGE = 8


class ExplainRun(ResultRun["ExplainedImage"]):
    """Write the maps of one run, and print tables on a terminal or JSON lines in a pipe.

    Parameters
    ----------
    folder
        Where files are written; None writes none.
    outputs
        What is written, see `tier_cli.commands.explain.OUTPUTS`.
    stretch
        Whether the maps of each image make full use of the colours.
    preview
        Show small pictures on a terminal.
    passed_over
        The files of folders that are no images.
    """

    def __init__(
        self,
        folder: Path | None,
        outputs: Collection[str],
        stretch: bool,
        preview: bool,
        passed_over: PassedOver,
    ):
        super().__init__(
            "Explaining", "explained", None if folder is None else str(folder), None, passed_over
        )
        self._folder, self._outputs, self._stretch, self._preview = folder, outputs, stretch, preview

    def _writer(self) -> AbstractContextManager[ResultWriter[ExplainedImage]]:
        files = None if self._folder is None else MapWriter(self._folder, self._outputs, self._stretch)
        return nullcontext(_Shower(files, self._table(), self._stretch))

    def _table(self) -> ExplanationTable | None:
        if not is_terminal("stdout"):
            return None
        from rich.console import Console

        from tier_cli.display.explain_table import ExplanationTable

        return ExplanationTable(self._console or Console(), self._preview)


class _Shower:
    """Write the files of one image after the other, and print what was found."""

    def __init__(self, files: MapWriter | None, table: ExplanationTable | None, stretch: bool):
        self._files, self._table, self._stretch = files, table, stretch

    def write(self, image: ExplainedImage) -> None:
        """Write one image."""
        files = {} if self._files is None else self._files.write(image)
        if self._table is None:
            sys.stdout.write(json.dumps(document(image, files)) + "\n")
            sys.stdout.flush()
            return
        drawn = None
        if image.explanation is not None:
            drawn = Drawn(image.explanation, image.explanation.maps, self._stretch)
        self._table.show(image.result, drawn, _names(files))

    def finish(self) -> None:
        """Add nothing: everything was written with its image."""


class MapWriter:
    """Write the files of one image after the other.

    Parameters
    ----------
    folder, outputs, stretch
        As for `ExplainRun`.
    """

    def __init__(self, folder: Path, outputs: Collection[str], stretch: bool):
        self._folder, self._outputs, self._stretch = folder, outputs, stretch
        self._study: list[ExplainedImage] = []

    def write(self, image: ExplainedImage) -> dict[str, Any]:
        """Write the files of one image and return their names by output; none for an error."""
        if image.explanation is None:
            return {}
        return self._files(
            self._folder, image, Drawn(image.explanation, image.explanation.maps, self._stretch)
        )

    def _files(self, folder: Path, image: ExplainedImage, drawn: Drawn) -> dict[str, Any]:
        explanation, stamp = drawn.explanation, image.result.model
        stem = folder / stem_of(image.result)
        files: dict[str, Any] = {}
        if "sheet" in self._outputs:
            files["sheet"] = f"{stem}.png"
            write_picture(Path(files["sheet"]), sheet(drawn))
        if "singles" in self._outputs:
            files["singles"] = {one.name: f"{stem}.{one.name}.png" for one in drawn.maps}
            for one in drawn.maps:
                alone = Drawn(explanation, [one], self._stretch)
                write_picture(Path(files["singles"][one.name]), sheet(alone, _SINGLE, with_picture=False))
        if "maps" in self._outputs:
            files["maps"] = f"{stem}.npz"
            write_maps(Path(files["maps"]), explanation, stamp)
        if "regions" in self._outputs:
            files["regions"] = f"{stem}.regions.json"
            write_regions(Path(files["regions"]), explanation, stamp)
        if "page" in self._outputs:
            files["page"] = str(self._write_page(folder, image))
        return files

    def _write_page(self, folder: Path, image: ExplainedImage) -> Path:
        """Write the page of the study so far: a few images that follow each other share a page."""
        study = image.result.study
        full = len(self._study) == _MOST_ON_PAGE
        if not study or full or (self._study and self._study[0].result.study != study):
            self._study = []
        self._study.append(image)
        path = folder / f"{stem_of(self._study[0].result)}.html"
        with storage_errors(path):
            write_page(path, [one.explanation for one in self._study if one.explanation is not None])
        return path


def document(image: ExplainedImage, files: dict[str, Any]) -> dict[str, Any]:
    """Return the line of one image."""
    whole = image.result.to_dict()
    names = ("schema_version", "path", "study", "series", "instance", "view")
    explanation = image.explanation
    return {
        **{name: whole[name] for name in names},
        "findings": [] if explanation is None else [_found(one, explanation) for one in explanation.maps],
        "files": files,
        "model": whole["model"],
        "notes": _notes(image),
        "error": whole["error"],
    }


def _found(one: TextMap, explanation: Explanation) -> dict[str, Any]:
    peak = peak_of(one.values, explanation.grid)
    place = None
    if peak is not None:
        x, y = stored(explanation.grid, *peak[:2])
        place = {"x": round(x, 1), "y": round(y, 1), "similarity": round(peak[2], 6)}
    return {
        **one.score.to_dict(),
        "label": one.label,
        "similarity": one.kind,
        "map_threshold": one.threshold,
        "peak": place,
    }


def _notes(image: ExplainedImage) -> list[str]:
    scale = "" if image.explanation is None else image.explanation.scale.note
    return [*image.result.notes, *([scale] if scale else [])]


def _names(files: dict[str, Any]) -> list[str]:
    return [
        name for given in files.values() for name in (given.values() if isinstance(given, dict) else [given])
    ]
