"""The worst errors, as the model sees them: positives with the lowest scores, negatives with the highest."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.evaluation.page.parts import Gallery, Part, Picture

if TYPE_CHECKING:
    from tier_cli.decoding.decode import Settings
    from tier_cli.evaluation.context import Evaluation
    from tier_cli.metrics.ranking import Floats

_SIDE, _QUALITY = 160, 72
# Of each kind and finding, as far as all pictures together stay below a few megabytes.
_EACH, _MOST = 3, 400

Places = NDArray[np.intp]


def worst(labels: Floats, scores: Floats, count: int) -> tuple[Places, Places]:
    """Choose the worst errors of one finding.

    Parameters
    ----------
    labels, scores
        (N,) 1, 0, NaN = left out.
    count
        How many of each.

    Returns
    -------
    The positives with the lowest scores, lowest first, and the negatives with the highest, highest first;
    nothing where there is one class only.
    """
    known = np.isfinite(labels) & np.isfinite(scores)
    positive, negative = np.flatnonzero(known & (labels == 1)), np.flatnonzero(known & (labels == 0))
    if not (positive.size and negative.size):
        return positive[:0], negative[:0]
    missed = positive[np.argsort(scores[positive], kind="stable")]
    alarms = negative[np.argsort(-scores[negative], kind="stable")]
    return missed[:count], alarms[:count]


def worst_errors(
    evaluation: Evaluation, places: Sequence[int], names: Sequence[str], paths: bool
) -> Part | None:
    """Show the worst errors of the first score set.

    Parameters
    ----------
    evaluation
        What was scored.
    places
        Which findings.
    names
        Their names for people.
    paths
        Whether to write paths below the pictures.
    """
    if not places:
        return None
    count = max(1, min(_EACH, _MOST // (2 * len(places))))
    settings = _settings(evaluation)
    seen: dict[int, str] = {}
    galleries = [
        Gallery(title, pictures)
        for place, name in zip(places[: _MOST // 2], names, strict=False)
        for title, pictures in _of_finding(evaluation, place, name, count, paths, settings, seen)
    ]
    view = "as the model sees them" if evaluation.job is not None else "the whole image"
    known = "No name or key of a patient is written here" + (
        ", but paths are." if paths else ", and no path."
    )
    row = "row of the table of images, counted from 1 below its header"
    text = (
        f"Scores of {evaluation.unit_scores[0].name}. For each finding, positives with the lowest and "
        f"negatives with the highest scores, {view}; a wrong label looks like an error too. The number is "
        f"the {row}.",
        f"{known} Text that is burned into the pixels can be read in the pictures, and the terms of the data "
        "decide who may see them.",
    )
    return Part("Worst errors", text, galleries=[one for one in galleries if one.pictures])


def _of_finding(
    evaluation: Evaluation,
    place: int,
    name: str,
    count: int,
    paths: bool,
    settings: Settings,
    seen: dict[int, str],
) -> Iterator[tuple[str, list[Picture]]]:
    labels, scores = evaluation.by_unit.labels[:, place], evaluation.unit_scores[0].scores[:, place]
    known = np.isfinite(labels) & np.isfinite(scores)
    positive, negative = np.sort(scores[known & (labels == 1)]), np.sort(scores[known & (labels == 0)])
    missed, alarms = worst(labels, scores, count)
    kinds = (
        (f"{name}: present, lowest scores", missed, "present"),
        (f"{name}: absent, highest scores", alarms, "absent"),
    )
    for title, units, label in kinds:
        pictures = []
        for unit in units:
            rows = _images(evaluation, unit)
            score = float(scores[unit])
            if label == "present":
                above = 1 - np.searchsorted(negative, score, side="right") / len(negative)
                rank = f"{above:.0%} of the negatives score higher"
            else:
                below = np.searchsorted(positive, score, side="left") / len(positive)
                rank = f"{below:.0%} of the positives score lower"
            alt = f"Image labelled {label} for {name}, score {score:.4g}"
            lines = [_where(evaluation, rows, paths), f"score {score:.4g}", rank]
            pictures.append(Picture(_picture(evaluation, int(rows[0]), settings, seen), alt, lines))
        yield title, pictures


def _images(evaluation: Evaluation, unit: int) -> Places:
    """The rows of a unit, those with scores first."""
    rows = np.flatnonzero(evaluation.units.index == unit)
    bare = ~np.isfinite(evaluation.scores[0].values[rows]).any(axis=1)
    return rows[np.argsort(bare, kind="stable")]


def _where(evaluation: Evaluation, rows: Places, paths: bool) -> str:
    path = evaluation.selection.manifest.paths[int(rows[0])]
    more = f", one of {len(rows)} images" if len(rows) > 1 else ""
    return f"row {evaluation.selection.numbers.get(path, 0)}{more}" + (f", {path}" if paths else "")


def _settings(evaluation: Evaluation) -> Settings:
    """Read as the model does and stop before mean and std; without a model, the whole image."""
    from tier_cli.decoding.decode import Settings
    from tier_cli.imaging.preprocess import Preprocessing

    whole = Preprocessing(fit="pad", resize_short=None)
    spec = whole if evaluation.job is None else evaluation.job.checkpoint.preprocessing
    read = replace(evaluation.options.read, include_phi=False)
    return Settings.of(read, replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))


def _picture(evaluation: Evaluation, row: int, settings: Settings, seen: dict[int, str]) -> str:
    """A small grey JPEG as a data URI, blank where the image cannot be read."""
    if row not in seen:
        from tier_cli.decoding.decode import decode

        decoded = decode(evaluation.selection.manifest.paths[row], settings)
        seen[row] = "" if isinstance(decoded, InputError) else _data_uri(decoded.pixels[0])
    return seen[row]


def _data_uri(levels: NDArray[np.float32]) -> str:
    """Pack grey levels (H, W) in [0, 1]; nothing but pixels goes in."""
    from PIL import Image

    content = io.BytesIO()
    image = Image.fromarray((np.clip(levels, 0, 1) * 255).round().astype(np.uint8))
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    image.save(content, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
