"""Translate the image processors of foreign folders into `Preprocessing`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tier_cli.errors import CheckpointError
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.resample import Interpolation
from tier_cli.model.convert.files import read_json

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_UNSUPPORTED = "this preprocessing is not supported; check that the file is the published one"
# Pillow's numbers of its filters.
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}


def transformers_processor(folder: Path, image_size: int) -> Preprocessing:
    """Return the preprocessing of a transformers folder, with its 8-bit steps.

    Raises
    ------
    CheckpointError
        If it does more than resize, crop and normalise, or its output does not fit the model.
    """
    path = folder / "preprocessor_config.json"
    if path.is_file():
        config = read_json(path)
    else:
        path = folder / "processor_config.json"
        config = read_json(path).get("image_processor", {})
    where = str(path)
    if config.get("do_resize", True) is not True or config.get("do_rescale", True) is not True:
        raise CheckpointError("do_resize or do_rescale is not true", where=where, remedy=_UNSUPPORTED)
    if abs(float(config.get("rescale_factor", 1 / 255)) * 255 - 1) > 1e-6:
        raise CheckpointError(
            f"rescale_factor is {config['rescale_factor']}, not 1/255", where=where, remedy=_UNSUPPORTED
        )
    size, cropped = config.get("size"), config.get("do_center_crop", False)
    short = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if isinstance(size, int) and cropped:
        short = size
    final = _side(config.get("crop_size"), where) if cropped else _side(size, where)
    if final != image_size or (short is not None and not cropped):
        raise CheckpointError(
            f"makes images of {final} pixels, but the model takes {image_size}",
            where=where,
            remedy=_UNSUPPORTED,
        )
    normalise = config.get("do_normalize", True)
    return Preprocessing(
        resize_short=short,
        crop=final,
        fit="crop" if short is not None else "stretch",
        interpolation=_filter(config.get("resample"), where),
        mean=three_numbers(config.get("image_mean"), where) if normalise else (0.0, 0.0, 0.0),
        std=three_numbers(config.get("image_std"), where) if normalise else (1.0, 1.0, 1.0),
        eight_bit=True,
        rounding="floor",
    )


def open_clip_processor(config: Mapping[str, Any], image_size: int, where: str) -> Preprocessing:
    """Return the preprocessing of open_clip's evaluation transform for a ``preprocess_cfg``."""
    mode, interpolation = config.get("resize_mode", "shortest"), config.get("interpolation", "bicubic")
    if mode not in ("shortest", "squash"):
        raise CheckpointError(f"unknown resize_mode '{mode}'", where=where, remedy=_UNSUPPORTED)
    if interpolation not in ("bicubic", "bilinear"):
        raise CheckpointError(f"unknown interpolation '{interpolation}'", where=where, remedy=_UNSUPPORTED)
    return Preprocessing(
        resize_short=None,
        crop=image_size,
        fit="crop" if mode == "shortest" else "stretch",
        interpolation=cast(Interpolation, interpolation),
        mean=three_numbers(config.get("mean", CLIP_MEAN), where),
        std=three_numbers(config.get("std", CLIP_STD), where),
        eight_bit=True,
    )


def _side(size: Any, where: str) -> int:
    if isinstance(size, Mapping) and "shortest_edge" not in size:
        height, width = size.get("height"), size.get("width")
    else:
        height = width = size if isinstance(size, int) else None
    if not isinstance(height, int) or height != width:
        raise CheckpointError(f"the size {size} is not a square", where=where, remedy=_UNSUPPORTED)
    return height


def _filter(resample: Any, where: str) -> Interpolation:
    if resample not in _FILTERS:
        raise CheckpointError(
            f"resample is {resample}, not one of {sorted(_FILTERS)}", where=where, remedy=_UNSUPPORTED
        )
    return cast(Interpolation, _FILTERS[resample])


def three_numbers(values: Any, where: str) -> tuple[float, float, float]:
    """Return a mean or standard deviation of three channels."""
    try:
        first, second, third = (float(value) for value in values)
    except (TypeError, ValueError):
        raise CheckpointError(f"{values} are not three numbers", where=where, remedy=_UNSUPPORTED) from None
    return first, second, third
