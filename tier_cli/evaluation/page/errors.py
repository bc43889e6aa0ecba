"""Show the worst errors as the model sees them: positives with low scores, negatives with high ones."""

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

_SIDE, _QUALITY = 320, 70
# Pictures per finding and kind of error; in all, so that the page stays below a few megabytes.
_PER_GALLERY, _MAX_PICTURES = 3, 400

Places = NDArray[np.intp]


def worst_units(labels: Floats, scores: Floats, count: int) -> tuple[Places, Places]:
    """Choose the worst errors of one finding.

    Parameters
    ----------
    labels, scores
        (N,) labels are 1 or 0; NaN in either leaves the unit out.
    count
        Maximum number of errors of each kind.

    Returns
    -------
    The positives with the lowest scores, lowest first, and the negatives with the highest scores, highest
    first; both empty if there is only one class.
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
    """Return the part with the worst errors of the first score set; None if `places` is empty.

    Parameters
    ----------
    evaluation
        The scored evaluation.
    places, names
        Columns of the findings to show, and their labels.
    paths
        Whether to write the image paths below the pictures.
    """
    if not places:
        return None
    count = max(1, min(_PER_GALLERY, _MAX_PICTURES // (2 * len(places))))
    settings = _settings(evaluation)
    made: dict[int, str] = {}
    galleries = [
        Gallery(title, pictures)
        for place, name in zip(places[: _MAX_PICTURES // 2], names, strict=False)
        for title, pictures in _of_finding(evaluation, place, name, count, paths, settings, made)
    ]
    view = "as the model sees them" if evaluation.job is not None else "as whole images"
    names_shown = "Paths are shown" if paths else "No paths are shown"
    text = (
        f"For each finding, these are the positives with the lowest and the negatives with the highest "
        f"scores of {evaluation.unit_scores[0].name}, shown {view}. Click a picture "
        "to enlarge it. A wrong label also looks like an error. "
        "Row numbers count the rows of the manifest from 1, without the header.",
        f"{names_shown}, and no names or keys of patients. Text burned into the pixels may be legible in the "
        "pictures; the terms of the data decide who may see them.",
    )
    return Part("Worst errors", text, galleries=[one for one in galleries if one.pictures])


def _of_finding(
    evaluation: Evaluation,
    place: int,
    name: str,
    count: int,
    paths: bool,
    settings: Settings,
    made: dict[int, str],
) -> Iterator[tuple[str, list[Picture]]]:
    labels, scores = evaluation.by_unit.labels[:, place], evaluation.unit_scores[0].scores[:, place]
    known = np.isfinite(labels) & np.isfinite(scores)
    positive, negative = np.sort(scores[known & (labels == 1)]), np.sort(scores[known & (labels == 0)])
    missed, alarms = worst_units(labels, scores, count)
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
            pictures.append(Picture(_picture(evaluation, int(rows[0]), settings, made), alt, lines))
        yield title, pictures


def _images(evaluation: Evaluation, unit: int) -> Places:
    """Return the manifest rows of a unit, those with scores first."""
    rows = np.flatnonzero(evaluation.units.index == unit)
    unscored = ~np.isfinite(evaluation.scores[0].values[rows]).any(axis=1)
    return rows[np.argsort(unscored, kind="stable")]


def _where(evaluation: Evaluation, rows: Places, paths: bool) -> str:
    path = evaluation.selection.manifest.paths[int(rows[0])]
    more = f", one of {len(rows)} images" if len(rows) > 1 else ""
    return f"row {evaluation.selection.numbers.get(path, 0)}{more}" + (f", {path}" if paths else "")


def _settings(evaluation: Evaluation) -> Settings:
    """Return decoding settings as the model's, without mean and std; without a model, for whole images."""
    from tier_cli.decoding.decode import Settings
    from tier_cli.imaging.preprocess import Preprocessing

    whole = Preprocessing(fit="pad", resize_short=None)
    spec = whole if evaluation.job is None else evaluation.job.checkpoint.preprocessing
    read = replace(evaluation.options.read, include_phi=False)
    return Settings.of(read, replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))


def _picture(evaluation: Evaluation, row: int, settings: Settings, made: dict[int, str]) -> str:
    """Return a small grey JPEG as a data URI, empty if the image cannot be read; `made` is a cache."""
    if row not in made:
        from tier_cli.decoding.decode import decode

        decoded = decode(evaluation.selection.manifest.paths[row], settings)
        made[row] = "" if isinstance(decoded, InputError) else _data_uri(decoded.pixels[0])
    return made[row]


def _data_uri(levels: NDArray[np.float32]) -> str:
    """Encode grey levels (H, W) in [0, 1] as a JPEG without any metadata."""
    from PIL import Image

    content = io.BytesIO()
    image = Image.fromarray((np.clip(levels, 0, 1) * 255).round().astype(np.uint8))
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    image.save(content, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
