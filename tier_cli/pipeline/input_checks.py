"""Check whether prepared images look like frontal chest X-rays, and say what a suspicious one looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tier_cli.errors import InputError
from tier_cli.results.record import InputCheckResult
from tier_cli.scoring.input_check import INPUT_CHECK, InputCheck, InputCheckKey, read_input_check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.checkpoint import Checkpoint
    from tier_cli.pipeline.scorer import Scorer

    Array = NDArray[np.float32]

CheckMode = Literal["note", "refuse", "off"]

# What a suspicious image may be instead, and what to do about it.
_REMEDIES = {
    "rotated_90": "it looks like a chest turned right by 90 degrees: turn it back and score it again",
    "rotated_180": "it looks like a chest upside down: turn it by 180 degrees and score it again",
    "rotated_270": "it looks like a chest turned left by 90 degrees: turn it back and score it again",
    "inverted": "it looks like a chest with black and white swapped: invert it and score it again",
}
_LOOK = {
    "note": "look at the image before you use its scores",
    "refuse": "look at the image; if it is one, score it with --input-check note",
}


@dataclass(frozen=True, eq=False)
class Checker:
    """The input check of one model of a run.

    Parameters
    ----------
    scorer
        The model whose embeddings the check was fitted on.
    check
        The check.
    mode
        ``note`` adds a note to a suspicious image, ``refuse`` gives it an error instead of scores.
    """

    scorer: Scorer
    check: InputCheck
    mode: CheckMode

    def results(self, pooled: Array, pixels: Array) -> list[InputCheckResult | None]:
        """Check embeddings (N, D) of prepared images (N, 3, S, S).

        Only suspicious images are embedded again: turned and inverted.
        """
        scores = self.check.score(pooled).tolist()
        return [self._result(image, score) for image, score in zip(pixels, scores, strict=True)]

    def _result(self, image: Array, score: float) -> InputCheckResult | None:
        # Without a finite embedding there is no score of a finding either: the image becomes an error.
        if not np.isfinite(score):
            return None
        looks_like = self._looks_like(image) if score > 1 else ""
        return InputCheckResult(score, looks_like, self.check.hash)

    def _looks_like(self, image: Array) -> str:
        """Return how the image was turned or inverted, if undoing that makes it a chest."""
        undone = undo_each(image, self.scorer.checkpoint.preprocessing)
        scores = self.check.score(self.scorer.encode(np.stack(list(undone.values()))))
        best = int(np.argmin(scores))
        return list(undone)[best] if scores[best] <= 1 else "other"


def undo_each(image: Array, spec: Preprocessing) -> dict[str, Array]:
    """Return a prepared image (3, S, S) with each turn and the inversion undone, by what is undone."""
    # Grey levels g are stored as (g - mean) / std, so 1 - g is (1 - 2 mean) / std minus what is stored.
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    return {
        # rot90 turns anticlockwise, and so undoes a turn clockwise.
        "rotated_90": np.rot90(image, 1, axes=(1, 2)),
        "rotated_180": np.rot90(image, 2, axes=(1, 2)),
        "rotated_270": np.rot90(image, 3, axes=(1, 2)),
        "inverted": (1 - 2 * mean) / std - image,
    }


def open_checker(members: Sequence[Scorer], mode: CheckMode) -> tuple[Checker | None, str]:
    """Open the check of the first model that holds one.

    Returns
    -------
    The check; None if no model holds one, or with the mode ``off``. And a note if there is a check that was
    fitted for something else.

    Raises
    ------
    CheckpointError
        If the file of a check is not valid.
    """
    notes = []
    for member in members if mode != "off" else ():
        width = member.vectors.positive.shape[1]
        check, note = read_input_check(member.checkpoint.path, check_key(member.checkpoint), width)
        if check is not None:
            return Checker(member, check, mode), ""
        notes.append(note)
    return None, "; ".join(dict.fromkeys(filter(None, notes)))


def holds_check(members: Sequence[Scorer]) -> bool:
    """Return whether the folder of a model holds an input check, valid or not."""
    return any((member.checkpoint.path / INPUT_CHECK).is_file() for member in members)


def check_key(checkpoint: Checkpoint) -> InputCheckKey:
    """Return the key that an input check must have to apply to a checkpoint."""
    return InputCheckKey(checkpoint.hashes["weights"], checkpoint.hashes["preprocessing"])


def refused(check: InputCheckResult) -> InputError:
    """Return the error of a suspicious image."""
    return InputError(_finding(check), remedy=_remedy(check, "refuse"), kind="input_check")


def note_of(check: InputCheckResult) -> str:
    """Return the note of a suspicious image."""
    return f"{_finding(check)}: {_remedy(check, 'note')}"


def _finding(check: InputCheckResult) -> str:
    return f"does not look like a frontal chest X-ray ({check.score:.2f} times the limit of the input check)"


def _remedy(check: InputCheckResult, mode: CheckMode) -> str:
    return _REMEDIES.get(check.looks_like) or _LOOK[mode]
