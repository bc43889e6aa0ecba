"""Turn an explanation into what the page's template and script read."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tier_cli.files.page import visible
from tier_cli.maps.colours import colours_of
from tier_cli.maps.page.words import words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.maps.explanation import Explanation, TextMap, TokenMaps
    from tier_cli.results.record import Reference

# Similarities are stored as whole numbers of this size, in 16 bits; the least number stands for NaN.
_UNIT, _NAN = 1e-4, -32768
_BAR = 90


@dataclass(frozen=True)
class Bar:
    """Where a score stands beside the ordinary range of its finding.

    Parameters
    ----------
    score, threshold
        Places on a bar of 90 units, of which the ordinary range is the middle third.
    above
        Whether the score reaches the threshold.
    """

    score: float
    threshold: float
    above: bool


@dataclass(frozen=True)
class Row:
    """One map in the list.

    Parameters
    ----------
    number
        Place among the maps of the image.
    label, score, facts, probability
        Name, score, what the score is compared with, and probability; empty if unknown.
    bar
        None without an ordinary range.
    is_text
        Whether it is a text or a sentence rather than a finding.
    """

    number: int
    label: str
    score: str
    facts: str
    probability: str
    bar: Bar | None
    is_text: bool


def image_rows(explanation: Explanation) -> list[Row]:
    """Return the list of an image's maps."""
    return [_row(number, one) for number, one in enumerate(explanation.maps)]


def image_data(explanation: Explanation) -> dict[str, Any]:
    """Return what the script reads of an image; lengths are in pixels of the source image."""
    down, across = explanation.grid.edges
    return {
        "title": visible(explanation.title),
        "size": explanation.grid.size,
        "rows": explanation.grid.rows,
        "columns": explanation.grid.columns,
        "down": down.round(3).tolist(),
        "across": across.round(3).tolist(),
        "scales": {kind: asdict(colours_of(explanation.scale, kind)) for kind in explanation.scale.ranges},
        "maps": [_map_data(one) for one in explanation.maps],
    }


def packed(values: NDArray[np.floating]) -> str:
    """Return similarities as base64 of little-endian 16-bit numbers of ten-thousandths."""
    numbers = np.nan_to_num(np.round(np.asarray(values, np.float64) / _UNIT), nan=_NAN)
    return base64.b64encode(numbers.clip(_NAN, -_NAN - 1).astype("<i2").tobytes()).decode("ascii")


def _map_data(shown: TextMap) -> dict[str, Any]:
    return {
        "label": visible(shown.label),
        "kind": shown.kind,
        "score": f"{shown.score.score:+.3f}",
        "values": packed(shown.values),
        "threshold": shown.threshold,
        "words": None if shown.tokens is None else _words_data(shown.tokens),
    }


def _words_data(tokens: TokenMaps) -> dict[str, Any]:
    words = words_of(tokens)
    return {
        "pieces": [(visible(text), number) for text, number in words.pieces],
        "values": packed(words.values),
    }


def _row(number: int, shown: TextMap) -> Row:
    score = shown.score
    return Row(
        number,
        shown.label,
        f"{score.score:+.3f}",
        "" if score.reference is None else _facts(score.reference),
        "" if score.probability is None else f"{score.probability:.0%}",
        None if score.reference is None else _bar(score.score, score.reference),
        shown.kind == "phrase",
    )


def _facts(reference: Reference) -> str:
    return f"ordinary {reference.low:+.2f} to {reference.high:+.2f}, threshold {reference.threshold:+.2f}"


def _bar(score: float, reference: Reference) -> Bar:
    """Return places on the scale of a finding, see `Reference.place`."""

    def place(value: float) -> float:
        return round(reference.place(value) * _BAR, 1)

    return Bar(place(score), place(reference.threshold), score >= reference.threshold)
