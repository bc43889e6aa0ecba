"""Prepared images in, results out: the model, the scoring and the calibration of one run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.errors import InputError, UsageError
from tier_cli.pipeline.decode import Decoded, Settings
from tier_cli.results.record import Failure, FindingScore, ModelStamp, Result, Unit
from tier_cli.scoring.calibration import CalibrationKey, match_calibration
from tier_cli.scoring.score import check_scoring, score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.findings.schema import FindingSet
    from tier_cli.findings.vectors import FindingVectors
    from tier_cli.imaging.radiograph import ReadOptions
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.model.engine import Engine

_NOT_FINITE = InputError(
    "the model gave no finite score for it",
    remedy="check the checkpoint with `tier model verify`, or try --device cpu",
    kind="not_finite",
)


class ImageScorer:
    """Scores prepared images with one checkpoint and one finding set.

    Raises
    ------
    CheckpointError
        Where the checkpoint's scoring is unknown or its calibration makes no sense.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        engine: Engine,
        vectors: FindingVectors,
        findings: FindingSet,
        unit: Unit,
    ):
        check_scoring(checkpoint.scoring)
        self._checkpoint, self._engine, self._vectors = checkpoint, engine, vectors
        self._ids, self._unit = findings.ids, unit
        weights = checkpoint.hashes["weights"]
        self._stamp = ModelStamp(checkpoint.name, weights, checkpoint.hashes["preprocessing"], findings.hash)
        key = CalibrationKey(weights, checkpoint.preprocessing.rendering, findings.hash, unit)
        self._calibration = match_calibration(checkpoint.calibration, key)

    def settings(self, read: ReadOptions) -> Settings:
        """Give the settings of decoding: as asked for, with the checkpoint's rendering and preprocessing."""
        preprocessing = self._checkpoint.preprocessing
        return Settings(replace(read, rendering=preprocessing.rendering), preprocessing)

    def failed(self, path: str, error: InputError) -> Result:
        """Give the result of a file that could not be used."""
        return self._result(path, error=Failure(error.kind, error.reason))

    def score(self, images: Sequence[tuple[str, Decoded]]) -> list[Result]:
        """Score a batch of images, not yet calibrated: see `finished`."""
        pixels = np.stack([image.pixels for _, image in images])
        scores = score(self._encode(pixels), self._vectors, self._checkpoint.scoring)
        return [
            self._scored(path, image, row) for (path, image), row in zip(images, scores.tolist(), strict=True)
        ]

    def finished(self, result: Result) -> Result:
        """Add probabilities and calls where a calibration matches, else a note that says why not."""
        if result.error is not None:
            return result
        note = self._calibration.note
        return replace(
            result,
            findings=self._calibration.apply(result.findings),
            notes=(*result.notes, note) if note else result.notes,
        )

    def _encode(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return self._engine.encode_images(pixels)
        except RuntimeError as error:
            if "out of memory" not in str(error).lower():
                raise
            raise UsageError(
                f"a batch of {len(pixels)} images does not fit into the memory of '{self._engine.device}'",
                remedy="choose a smaller --batch-size",
            ) from error

    def _scored(self, path: str, image: Decoded, row: list[float]) -> Result:
        known: dict[str, Any] = {"view": image.view, "study": image.study, "series": image.series}
        known |= {"instance": image.instance, "notes": image.notes, "phi": image.phi or {}}
        if not all(map(math.isfinite, row)):
            return self._result(path, error=Failure(_NOT_FINITE.kind, _NOT_FINITE.reason), **known)
        scores = tuple(FindingScore(name, value) for name, value in zip(self._ids, row, strict=True))
        return self._result(path, findings=scores, **known)

    def _result(self, path: str, **known: Any) -> Result:
        return Result((path,), self._stamp, self._checkpoint.scoring, unit=self._unit, **known)
