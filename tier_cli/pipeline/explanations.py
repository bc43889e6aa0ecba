"""Stream files as explanations: the maps of findings, of texts, or of the sentences of a report."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.errors import UsageError
from tier_cli.maps.build import chosen_subjects, explanation_of, finding_subjects, text_subjects
from tier_cli.maps.scale import read_map_scale
from tier_cli.pipeline.explain import AS_IT_IS, PICTURE, Finer, explain
from tier_cli.results.record import Result

if TYPE_CHECKING:
    from tier_cli.imaging.discover import Source
    from tier_cli.maps.build import Subject
    from tier_cli.maps.explanation import Explanation
    from tier_cli.maps.scale import MapScale
    from tier_cli.pipeline.explain import ImagePatches
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.record import Failure

# How many findings are shown where none, or many, reach their operating points.
FEWEST, MOST = 3, 6
# No report has more; each has a map in the sheet and on the page.
MOST_SENTENCES = 200
_FINER = "the maps are finer than the grid that their colours and thresholds were fitted for"
# Measured on 203 boxes, see docs/explain.md.
_LARGER = (
    "the maps come from a larger input than the checkpoint was trained with; those of tier-small hit boxes "
    "worse then (AUC 0.70 in place of 0.77)"
)
_ADAPTED = "the score has an adaptation, the maps show the checkpoint's own similarity"


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """One image with its result and its maps.

    Parameters
    ----------
    result
        The scores, as `tier classify` gives them, or the error.
    explanation
        The maps; None if `result` has an error.
    """

    result: Result
    explanation: Explanation | None = None

    @property
    def error(self) -> Failure | None:
        """The reason why the file could not be used; None if it could."""
        return self.result.error


@dataclass(frozen=True, eq=False)
class MapJob:
    """What images are compared with, and which maps are shown.

    Parameters
    ----------
    job
        One model with its finding set.
    subjects, scale
        What images are compared with, and the checkpoint's scale.
    chosen
        Chooses the names of the subjects to show, in order; None shows all.
    """

    job: ScoringJob
    subjects: tuple[Subject, ...]
    scale: MapScale
    chosen: Callable[[Result], Sequence[str]] | None = None

    def explain(
        self,
        sources: Iterable[Source],
        options: StreamOptions,
        tick: Callable[[], object] = lambda: None,
        picture: int = PICTURE,
        hide: Callable[[Result], Result] = lambda result: result,
        finer: Finer = AS_IT_IS,
    ) -> Generator[ExplainedImage, None, None]:
        """Explain files; parameters as in `tier_cli.pipeline.explain.explain`.

        Parameters
        ----------
        sources, options, tick, picture
            The files, and the settings.
        hide
            Hashes paths and UIDs in a result, if asked for.
        finer
            How to make the maps finer than the grid.
        """
        with closing(explain(sources, self.job, options, picture, tick, finer)) as explained:
            for one in explained:
                yield self._explained(one, hide(one.result), finer)

    def _explained(self, one: ImagePatches, result: Result, finer: Finer) -> ExplainedImage:
        if one.picture is None or one.patches is None or one.pooled is None:
            return ExplainedImage(result)
        more = (
            _ADAPTED if self.job.stamp.adaptation else "",
            self.job.checkpoint.patch_note,
            _FINER if finer != AS_IT_IS else "",
            _LARGER if finer.size not in (None, self.job.checkpoint.preprocessing.crop) else "",
        )
        result = replace(result, notes=(*result.notes, *filter(None, more)))
        subjects = self.subjects
        if self.chosen is not None:
            subjects = chosen_subjects(subjects, self.chosen(result))
        return ExplainedImage(
            result, explanation_of(result, one.picture, one.patches, one.pooled, subjects, self.scale)
        )


def finding_maps(
    job: ScoringJob, *, top: int | None = None, every: bool = False, tokens: bool = False
) -> MapJob:
    """Return maps of the job's findings.

    Parameters
    ----------
    job
        One model with its finding set.
    top
        The number of findings to show, those highest above their operating points; None for those called
        present, at least `FEWEST` and at most `MOST`, and for `MOST` without operating points.
    every
        Show all findings.
    tokens
        Also compare with the tokens of each finding's first positive prompt.
    """
    check_patches(job)
    scale = read_map_scale(job.checkpoint, job.findings)
    subjects = finding_subjects(
        job.findings, job.vectors, job.checkpoint.scoring, scale, job.engine if tokens else None
    )

    def chosen(result: Result) -> list[str]:
        ranked = result.ranked()
        known = any(one.call is not None for one in ranked)
        called = sum(one.call is True for one in ranked) if known else MOST
        count = len(ranked) if every else top or min(max(called, FEWEST), MOST)
        return [one.finding for one in ranked[:count]]

    return MapJob(job, subjects, scale, chosen)


def text_maps(job: ScoringJob, texts: Sequence[str]) -> MapJob:
    """Return maps of texts."""
    check_patches(job)
    return MapJob(job, text_subjects(texts, job.engine), read_map_scale(job.checkpoint, job.findings))


def report_maps(job: ScoringJob, report: str) -> MapJob:
    """Return maps of the sentences of a report that describe the image, as `tier check` chooses them.

    Raises
    ------
    UsageError
        If the report has no such sentence, or too many.
    """
    from tier_cli.reports.sentences import sentences

    check_patches(job)
    texts = [sentence.text for sentence in sentences(report) if sentence.describes_image]
    if not texts:
        raise UsageError(
            "the report has no sentence that describes the image",
            where="--report",
            remedy="give a report with findings or an impression",
        )
    if len(texts) > MOST_SENTENCES:
        raise UsageError(
            f"the report has {len(texts)} sentences, more than {MOST_SENTENCES}",
            where="--report",
            remedy="give one report",
        )
    subjects = text_subjects(texts, job.engine, "sentence")
    return MapJob(job, subjects, read_map_scale(job.checkpoint, job.findings))


def check_patches(job: ScoringJob) -> None:
    """Refuse a model that has no maps, before any image is read.

    Raises
    ------
    CheckpointError
        If the image tower has no grid of patches.
    UsageError
        If there are several models, whose patches lie in different spaces.
    """
    if len(job.members) > 1:
        names = ", ".join(one.checkpoint.name for one in job.members)
        raise UsageError("an ensemble has no maps", where="--model", remedy=f"give one of {names}")
    side = job.checkpoint.preprocessing.crop
    job.engine.features(np.zeros((1, 3, side, side), np.float32))
