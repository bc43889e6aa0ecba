"""Write maps of findings that reach their operating points while images are scored, in the same pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli.maps.build import chosen_subjects, explanation_of, finding_subjects
from tier_cli.maps.files import stem_of, write_maps, write_picture
from tier_cli.maps.scale import read_map_scale
from tier_cli.maps.thumbnail import thumbnail
from tier_cli.pipeline.encode import patch_map_of
from tier_cli.pipeline.explanations import check_patches
from tier_cli.pipeline.image_scorer import finish_of

if TYPE_CHECKING:
    from tier_cli.decoding.decode import Decoded
    from tier_cli.maps.build import Subject
    from tier_cli.maps.explanation import Explanation
    from tier_cli.maps.scale import MapScale
    from tier_cli.pipeline.finish import Finish
    from tier_cli.pipeline.image_scorer import ImageScorer, WithPatches
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.results.record import Result

# The longer side of a picture in pixels.
SIDE = 192
# Writing waits for the disk.
_WRITERS = 4


@dataclass(frozen=True, eq=False)
class MapFiles:
    """A folder with the maps of each image in which a finding reaches its operating point.

    Parameters
    ----------
    folder
        Exists. Files of the same image are replaced. None writes no files.
    subjects, scale
        The findings, and the checkpoint's scale.
    finish
        Knows the operating points of single images, also where studies are scored.
    hide
        Hashes paths and UIDs in a result, if asked for.
    side
        The longer side of the picture of an image that is needed, in pixels.
    also
        Takes each result with its explanation, one at a time; None for nothing more.
    """

    folder: Path | None
    subjects: tuple[Subject, ...]
    scale: MapScale
    finish: Finish
    hide: Callable[[Result], Result]
    side: int = SIDE
    also: Callable[[Result, Explanation], object] | None = None

    def score(self, scorer: ImageScorer, images: Sequence[tuple[str, Decoded]], size: int) -> list[Result]:
        """Score a batch of images as `ImageScorer.score` does, and write their maps.

        Raises
        ------
        StorageError
            If the disk is full or lost.
        """
        scored = scorer.score_with_patches(images, size)
        with ThreadPoolExecutor(_WRITERS) as pool:
            shown = list(pool.map(self._write, scored, (image for _, image in images)))
        if self.also is not None:
            for one in shown:
                if one is not None:
                    self.also(*one)
        return [one.result for one in scored]

    def _write(self, one: WithPatches, image: Decoded) -> tuple[Result, Explanation] | None:
        """Write the files of one image; return what was shown of it, None for nothing."""
        result = self.hide(self.finish.finished(one.result))
        subjects = self._reached(result)
        if image.picture is None or not subjects:
            return None
        patches = patch_map_of(image, one.patches, one.grid)
        explanation = explanation_of(result, image.picture, patches, one.pooled, subjects, self.scale)
        if self.folder is None:
            return result, explanation
        stem = stem_of(result)
        write_maps(self.folder / f"{stem}.npz", explanation, result.model)
        # A second picture would take the cost beyond what a run over many images should pay.
        picture = thumbnail(explanation, explanation.maps[0], SIDE)
        write_picture(self.folder / f"{stem}.png", picture)
        return result, explanation

    def _reached(self, result: Result) -> tuple[Subject, ...]:
        """Return the findings at or above their operating points, the most prominent first.

        Without operating points, these are all findings.
        """
        known = any(one.call is not None for one in result.findings)
        return chosen_subjects(
            self.subjects, [one.finding for one in result.ranked() if one.call or not known]
        )


def open_map_files(
    job: ScoringJob,
    folder: Path | None,
    hide: Callable[[Result], Result] = lambda result: result,
    also: Callable[[Result, Explanation], object] | None = None,
    picture: int = 0,
) -> MapFiles:
    """Return what writes the maps of a run into a folder that exists.

    Parameters
    ----------
    job
        One model with its finding set.
    folder, hide, also
        As for `MapFiles`.
    picture
        The longer side of the picture that `also` needs, in pixels.

    Raises
    ------
    CheckpointError
        If the image tower has no grid of patches.
    UsageError
        If the job has several models.
    """
    check_patches(job)
    scale = read_map_scale(job.checkpoint, job.findings)
    subjects = finding_subjects(job.findings, job.vectors, job.checkpoint.scoring, scale)
    return MapFiles(
        folder, subjects, scale, finish_of(job.members, job.findings, "image"), hide, max(SIDE, picture), also
    )
