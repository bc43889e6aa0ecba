"""Average the scores of a study's images."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tier_cli.results.record import FindingScore

if TYPE_CHECKING:
    from tier_cli.results.record import InputCheckResult, Result


@dataclass(slots=True)
class _OpenStudy:
    """A study that may still gain images.

    Parameters
    ----------
    first
        The result of its first image, without scores, paths and notes.
    sums
        Running sum of the scores of each finding.
    paths, views, notes
        Of its images; notes without repetition.
    one_series
        Whether all images so far are of one series.
    check
        The input check of its most suspicious image.
    """

    first: Result
    sums: array[float]
    paths: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    one_series: bool = True
    check: InputCheckResult | None = None


class StudyMeans:
    """Collect image results by Study Instance UID; an image without one is its own study.

    The files of a study may be anywhere among the sources, so no study is complete before the last file has
    been seen. Until then this keeps one running sum per finding, the keys, and the path, view and notes of
    each image: one to two kilobytes for a study of one image, and no pixels.

    Examples
    --------
    >>> from tier_cli.results.record import ModelStamp, Result
    >>> stamp = ModelStamp("tiny", "1f0c", "77aa", "c3d9")
    >>> means = StudyMeans()
    >>> for path, value in (("frontal.dcm", 0.25), ("lateral.dcm", 0.75)):
    ...     scores = (FindingScore("effusion", value),)
    ...     means.add(Result((path,), stamp, "cosine_difference", study="1.2.3", findings=scores))
    >>> (study,) = means.results()
    >>> study.findings[0].score, study.paths
    (0.5, ('frontal.dcm', 'lateral.dcm'))
    """

    def __init__(self) -> None:
        self._studies: dict[tuple[str, str], _OpenStudy] = {}
        self._ids: tuple[str, ...] = ()

    def add(self, result: Result) -> None:
        """Add the result of one scored image."""
        key = (result.study, "" if result.study else result.paths[0])
        study = self._studies.get(key)
        if study is None:
            # Keep neither the scores themselves nor, for each study, the names of the findings.
            self._ids = self._ids or tuple(score.finding for score in result.findings)
            sums = array("d", bytes(8 * len(self._ids)))
            study = self._studies[key] = _OpenStudy(replace(result, findings=(), paths=(), notes=()), sums)
        for number, score in enumerate(result.findings):
            study.sums[number] += score.score
        study.paths += result.paths
        study.views.append(result.view)
        study.notes |= dict.fromkeys(result.notes)
        study.one_series &= result.series == study.first.series
        study.check = _worse(study.check, result.input_check)

    def results(self, note: str = "") -> Iterator[Result]:
        """Yield one result per study, in the order in which the studies were first seen.

        Parameters
        ----------
        note
            Added to the notes of every study.
        """
        for study in self._studies.values():
            yield _mean(study, self._ids, (note,) if note else ())


def _mean(study: _OpenStudy, ids: tuple[str, ...], more: tuple[str, ...]) -> Result:
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
        input_check=study.check,
        view=first.view if len(views) == 1 else "",
        notes=(*counted, *study.notes, *more),
    )


def _worse(one: InputCheckResult | None, other: InputCheckResult | None) -> InputCheckResult | None:
    checked = [check for check in (one, other) if check is not None]
    return max(checked, key=lambda check: check.score, default=None)
