"""Make the DICOM objects of a study that are sent on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tier_cli.errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from tier_cli.maps.explanation import Explanation
    from tier_cli.pipeline.scoring_job import ScoringJob
    from tier_cli.pipeline.stream import StreamOptions
    from tier_cli.results.record import Result

# Makes the DICOM files of a study from its results, whose paths are absolute; an error stands for one that
# cannot be made.
Maker = Callable[[Sequence["Result"]], Iterable[bytes | InputError]]

# What can be sent: the names of the options of `tier classify` that write them.
KINDS = ("sr", "gsps", "sc", "seg")


def object_maker(job: ScoringJob, stream: StreamOptions, kinds: Sequence[str] = ("sr",)) -> Maker:
    """Return what makes the objects of a study.

    Parameters
    ----------
    job, stream
        What scores, and how files are read.
    kinds
        Some of `KINDS`. All but ``sr`` show maps, for which the images are read once more.

    Raises
    ------
    CheckpointError
        If maps are asked for, and the image tower has no grid of patches.
    ModuleNotFoundError
        Without highdicom.
    UsageError
        If maps are asked for, and there are several models; or outlines, and no thresholds.
    """
    from tier_cli.dicom_out.kinds import IMAGE_KINDS
    from tier_cli.dicom_out.objects import content_of, import_highdicom
    from tier_cli.dicom_out.report import study_report

    import_highdicom()
    mapped = [kind for kind in kinds if kind != "sr"]
    if mapped:
        _check_maps(job, mapped)

    def make(results: Sequence[Result]) -> Iterator[bytes | InputError]:
        builders: list[Callable[[], Dataset | None]] = (
            [partial(study_report, results, job.findings)] if "sr" in kinds else []
        )
        for result, explanation in _shown(job, stream, results) if mapped else ():
            builders += [
                partial(IMAGE_KINDS[kind].build, result, explanation, job.findings) for kind in mapped
            ]
        for build in builders:
            try:
                made = build()
            except InputError as error:
                yield error
            else:
                # Nothing is drawn of an image in which nothing stands out.
                if made is not None:
                    yield content_of(made)

    return make


def _check_maps(job: ScoringJob, kinds: Sequence[str]) -> None:
    from tier_cli.dicom_out.kinds import check_thresholds
    from tier_cli.pipeline.map_files import open_map_files

    # Raises for a model without maps before anything is received.
    files = open_map_files(job, None)
    check_thresholds(kinds, files.scale, job.checkpoint.name, job.findings.name)


def _shown(
    job: ScoringJob, stream: StreamOptions, results: Sequence[Result]
) -> list[tuple[Result, Explanation]]:
    """Score the images of a study once more, and keep their maps."""
    from tier_cli.dicom_out.capture import SIDE
    from tier_cli.imaging.discover import Source
    from tier_cli.pipeline.map_files import open_map_files

    shown: list[tuple[Result, Explanation]] = []
    files = open_map_files(job, None, also=lambda *one: shown.append(one), picture=SIDE)
    sources = [Source(path) for result in results for path in result.paths]
    options = replace(stream, by="image", workers=1)
    for _ in job.image_results(sources, job.scorer(options), options, maps=files):
        pass
    return shown
