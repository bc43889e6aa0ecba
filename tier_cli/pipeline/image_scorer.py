"""Turn prepared images into results: score with every model, average, calibrate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tier_cli.decoding.decode import Decoded, Settings
from tier_cli.errors import InputError
from tier_cli.pipeline.finish import Finish
from tier_cli.pipeline.input_checks import CheckMode, note_of, open_checker, refused
from tier_cli.pipeline.scorer import Scorer, run_stamp, within_memory
from tier_cli.results.record import Failure, FindingScore, InputCheckResult, Result, Unit
from tier_cli.scoring.calibration import Calibration, CalibrationKey, match_calibration
from tier_cli.scoring.score import check_scoring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.findings.schema import FindingSet
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.imaging.radiograph import ReadOptions

_NOT_FINITE = InputError(
    "the model returned no finite score for this image",
    remedy="check the checkpoint with `tier model verify`, or try --device cpu",
    kind="not_finite",
)


class WithPatches(NamedTuple):
    """The result of one image with what it comes from.

    Parameters
    ----------
    result
        The result.
    pooled, patches
        The global embedding (D,) and the patches (P, D), not L2-normalised.
    grid
        Rows and columns of the patches.
    """

    result: Result
    pooled: NDArray[np.float32]
    patches: NDArray[np.float32]
    grid: tuple[int, int]


class ImageScorer:
    """Score prepared images with one model, or with an ensemble whose scores it averages.

    Parameters
    ----------
    members
        The models, each with the vectors of `findings`.
    findings
        The finding set.
    unit
        ``image`` or ``study``: selects the calibration.
    input_check
        What to do with an image that the checkpoint's input check finds suspicious.

    Attributes
    ----------
    finish
        Turns the results of images into those of the run.

    Raises
    ------
    CheckpointError
        If a checkpoint's scoring rule is unknown, or its calibration or input check is invalid.
    """

    def __init__(
        self,
        members: Sequence[Scorer],
        findings: FindingSet,
        unit: Unit,
        input_check: CheckMode = "off",
    ):
        for member in members:
            check_scoring(member.checkpoint.scoring)
        self._members, self._ids, self._unit = members, findings.ids, unit
        self._scoring = members[0].scoring
        self._stamp = run_stamp(members, findings)
        # Members with the same preprocessing share one prepared image.
        self._preparations = tuple(dict.fromkeys(member.checkpoint.preprocessing for member in members))
        self._checker, unchecked = open_checker(members, input_check)
        finish = finish_of(members, findings, unit)
        self.finish = replace(finish, notes=(*finish.notes, *((unchecked,) if unchecked else ())))

    @property
    def check(self) -> str:
        """The SHA-256 of the input check; empty without one."""
        return "" if self._checker is None else self._checker.check.hash

    def settings(self, read: ReadOptions) -> Settings:
        """Return the decoding settings: `read` with the checkpoints' rendering and preprocessing."""
        return Settings.of(read, *self._preparations)

    def failed(self, path: str, error: InputError) -> Result:
        """Return the result of a file that could not be used."""
        return self._result(path, error=Failure(error.kind, error.reason))

    def score(self, images: Sequence[tuple[str, Decoded]], size: int = 0) -> list[Result]:
        """Score a batch of images; `finish` calibrates the results.

        Parameters
        ----------
        images
            The prepared images.
        size
            The number of images per batch. Accelerators get a smaller batch filled up to it: the digits of a
            score then do not depend on how many images happened to be left.
        """
        pixels = self._pixels(images)
        pooled = []
        for member in self._members:
            own = pixels[member.checkpoint.preprocessing]
            pooled.append(member.encode(_filled(own, member, size))[: len(images)])
        return self._rated(images, pixels, pooled)

    def score_with_embeddings(
        self, images: Sequence[tuple[str, Decoded]]
    ) -> list[tuple[Result, NDArray[np.float32]]]:
        """Score a batch of images with one model as `score` does, and keep their embeddings.

        Returns
        -------
        For each image its result and its embedding (D,), not L2-normalised.

        Raises
        ------
        ValueError
            If there are several models, whose embeddings lie in different spaces.
        """
        (member,) = self._members
        pixels = self._pixels(images)
        pooled = member.encode(pixels[member.checkpoint.preprocessing])
        return list(zip(self._rated(images, pixels, [pooled]), pooled, strict=True))

    def score_with_patches(self, images: Sequence[tuple[str, Decoded]], size: int = 0) -> list[WithPatches]:
        """Score a batch of images as `score` does, in the same pass that computes their patches.

        Raises
        ------
        CheckpointError
            If the image tower has no grid of patches.
        ValueError
            If there are several models, whose patches lie in different spaces.
        """
        (member,) = self._members
        pixels = self._pixels(images)
        own = pixels[member.checkpoint.preprocessing]
        filled = _filled(own, member, size)
        pooled, patches, grid = within_memory(member.engine, member.engine.features, filled)
        pooled, patches = pooled[: len(images)], patches[: len(images)]
        results = self._rated(images, pixels, [pooled])
        return [WithPatches(*each, grid) for each in zip(results, pooled, patches, strict=True)]

    def _pixels(self, images: Sequence[tuple[str, Decoded]]) -> dict[Preprocessing, NDArray[np.float32]]:
        prepared = [image.prepared for _, image in images]
        return {
            preprocessing: np.stack([versions[number] for versions in prepared])
            for number, preprocessing in enumerate(self._preparations)
        }

    def _rated(
        self,
        images: Sequence[tuple[str, Decoded]],
        pixels: Mapping[Preprocessing, NDArray[np.float32]],
        pooled: Sequence[NDArray[np.float32]],
    ) -> list[Result]:
        """Turn the embeddings (N, D) of each member into results."""
        each = [member.rate(own) for member, own in zip(self._members, pooled, strict=True)]
        scores = each[0] if len(each) == 1 else np.mean(each, axis=0)
        checks: list[InputCheckResult | None] = [None] * len(images)
        if self._checker is not None:
            checked = self._checker.scorer
            own = pooled[self._members.index(checked)]
            checks = self._checker.results(own, pixels[checked.checkpoint.preprocessing])
        return [
            self._scored(path, image, row, check)
            for (path, image), row, check in zip(images, scores.tolist(), checks, strict=True)
        ]

    def _scored(self, path: str, image: Decoded, row: list[float], check: InputCheckResult | None) -> Result:
        known: dict[str, Any] = {"view": image.view, "study": image.study, "series": image.series}
        known |= {"instance": image.instance, "notes": image.notes, "phi": image.phi or {}}
        if not all(map(math.isfinite, row)):
            return self._result(path, error=Failure(_NOT_FINITE.kind, _NOT_FINITE.reason), **known)
        if self._checker is not None and check is not None:
            known["input_check"] = check
            if check.looks_like and self._checker.mode == "refuse":
                refusal = refused(check)
                return self._result(path, error=Failure(refusal.kind, refusal.reason), **known)
            if check.looks_like:
                known["notes"] = (*image.notes, note_of(check))
        scores = tuple(FindingScore(name, value) for name, value in zip(self._ids, row, strict=True))
        return self._result(path, findings=scores, **known)

    def _result(self, path: str, **known: Any) -> Result:
        return Result((path,), self._stamp, self._scoring, unit=self._unit, **known)


def _filled(pixels: NDArray[np.float32], member: Scorer, size: int) -> NDArray[np.float32]:
    """Add black images up to a batch of `size` where the engine computes batches as a whole."""
    missing = 0 if member.engine.device == "cpu" else max(0, size - len(pixels))
    return np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.float32)]) if missing else pixels


def calibration_keys(members: Sequence[Scorer], findings: FindingSet, unit: Unit) -> list[CalibrationKey]:
    """Return for each member the key that a calibration in its folder must have to apply to this run."""
    ensemble = run_stamp(members, findings).weights if len(members) > 1 else ""
    return [
        CalibrationKey(
            weights=member.checkpoint.hashes["weights"],
            rendering=member.checkpoint.preprocessing.rendering,
            prompts=findings.hash,
            unit=unit,
            ensemble=ensemble,
            adaptation=member.adaptation.hash if member.adaptation else "",
        )
        for member in members
    ]


def calibration_of(
    members: Sequence[Scorer], findings: FindingSet, unit: Unit
) -> tuple[Calibration, Mapping[str, Any]]:
    """Return the first calibration that applies; if none does, the first that says why.

    Returns
    -------
    The calibration, and the content of the calibration.json that it was read from.
    """
    keys = calibration_keys(members, findings, unit)
    found = [
        (match_calibration(member.checkpoint.calibration, key), member.checkpoint.calibration or {})
        for member, key in zip(members, keys, strict=True)
    ]
    matching = [one for one in found if not one[0].note]
    existing = [one for one in found if one[1]]
    return (matching or existing or found)[0]


def finish_of(members: Sequence[Scorer], findings: FindingSet, unit: Unit) -> Finish:
    """Return what turns the results of images into those of the run."""
    calibration, _ = calibration_of(members, findings, unit)
    return Finish(calibration, _notes(members, findings, calibration), unit)


def run_notes(members: Sequence[Scorer], findings: FindingSet, unit: Unit) -> tuple[str, ...]:
    """Return the notes that every scored result of a run has."""
    return finish_of(members, findings, unit).notes


def _notes(members: Sequence[Scorer], findings: FindingSet, calibration: Calibration) -> tuple[str, ...]:
    notes = (*findings.notes, *(member.note for member in members), calibration.note)
    return tuple(dict.fromkeys(note for note in notes if note))
