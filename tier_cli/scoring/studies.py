"""From images to studies: the mean score of a study's scored images."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tier_cli.results.record import FindingScore

if TYPE_CHECKING:
    from tier_cli.results.record import Result


@dataclass(slots=True)
class _Open:
    """A study that may still get images: its first result, running sums, and what its images do not share."""

    first: Result
    sums: array[float]
    paths: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    one_series: bool = True


class StudyMeans:
    """Collects image results by Study Instance UID; an image without one is its own study.

    The files of a study may lie anywhere among the sources, so no study is complete before the last file was
    seen. What is kept until then is a running sum a finding, the keys, and the path, view and notes of each
    image: between one and two kilobytes a study of one image, and no pixels.
    """

    def __init__(self) -> None:
        self._studies: dict[tuple[str, str], _Open] = {}
        self._ids: tuple[str, ...] = ()

    def add(self, result: Result) -> None:
        """Take the result of one scored image."""
        key = (result.study, "" if result.study else result.paths[0])
        study = self._studies.get(key)
        if study is None:
            # The scores themselves are not kept, and the names of the findings once for all studies.
            self._ids = self._ids or tuple(score.finding for score in result.findings)
            sums = array("d", bytes(8 * len(self._ids)))
            study = self._studies[key] = _Open(replace(result, findings=(), paths=(), notes=()), sums)
        for number, score in enumerate(result.findings):
            study.sums[number] += score.score
        study.paths += result.paths
        study.views.append(result.view)
        study.notes |= dict.fromkeys(result.notes)
        study.one_series &= result.series == study.first.series

    def results(self, note: str = "") -> Iterator[Result]:
        """Give one result a study, in the order in which the studies were first seen.

        Parameters
        ----------
        note
            Added to every study.
        """
        for study in self._studies.values():
            yield _mean(study, self._ids, (note,) if note else ())


def _mean(study: _Open, ids: tuple[str, ...], more: tuple[str, ...]) -> Result:
    first, count = study.first, len(study.paths)
    scores = tuple(FindingScore(name, total / count) for name, total in zip(ids, study.sums, strict=True))
    views = dict.fromkeys(study.views)
    counted: tuple[str, ...] = ()
    if count > 1:
        counted = (f"mean of {count} images, views: {', '.join(view or 'unknown' for view in study.views)}",)
    return replace(
        first,
        unit="study",
        paths=tuple(study.paths),
        findings=scores,
        series=first.series if study.one_series else "",
        instance=first.instance if count == 1 else "",
        view=first.view if len(views) == 1 else "",
        notes=(*counted, *study.notes, *more),
    )
