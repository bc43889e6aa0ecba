"""Turn the results of images into those of a run: calibrated, and averaged by study if asked for."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tier_cli.scoring.studies import StudyMeans

if TYPE_CHECKING:
    from tier_cli.results.record import Result, Unit
    from tier_cli.scoring.calibration import Calibration

CUT_SHORT = "the run ended early: images of this study may be missing"


@dataclass(frozen=True)
class Finish:
    """The last step of scoring; it needs neither the model nor the images.

    Parameters
    ----------
    calibration
        The calibration that applies to the run.
    notes
        Added to every scored result.
    unit
        One result per ``image`` or per ``study``.
    """

    calibration: Calibration
    notes: tuple[str, ...]
    unit: Unit

    def results(
        self, images: Iterable[Result], *, fail_fast: bool = False, cut_short: bool = False
    ) -> Generator[Result, None, None]:
        """Yield the results of a run.

        Parameters
        ----------
        images
            The results of its images, in order, without probabilities and calls.
        fail_fast
            The run ended with the first error, if there is one.
        cut_short
            The run ended before its last file.

        Yields
        ------
        By image, one result per image. By study, first the results with an error, as they occur, then one
        result per study in the order in which studies were first seen. A KeyboardInterrupt, also one thrown
        in, is raised again only after the studies known so far.
        """
        if self.unit == "image":
            yield from map(self.finished, images)
        else:
            yield from self._by_study(images, fail_fast, CUT_SHORT if cut_short else "")

    def _by_study(
        self, images: Iterable[Result], fail_fast: bool, note: str
    ) -> Generator[Result, None, None]:
        means = StudyMeans()
        try:
            for image in images:
                if image.error is None:
                    means.add(image)
                else:
                    note = CUT_SHORT if fail_fast else note
                    yield image
        except KeyboardInterrupt:
            yield from map(self.finished, means.results(CUT_SHORT))
            raise
        yield from map(self.finished, means.results(note))

    def finished(self, result: Result) -> Result:
        """Add probabilities and calls if a calibration matches, else a note that says why there are none."""
        if result.error is not None:
            return result
        return replace(
            result,
            findings=self.calibration.apply(result.findings),
            notes=(*result.notes, *self.notes),
        )
