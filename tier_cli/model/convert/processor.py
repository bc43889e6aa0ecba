"""From the image processors of foreign folders to `Preprocessing`."""

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
# Pillow's numbers for its filters.
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}


def transformers_processor(folder: Path, image_size: int) -> Preprocessing:
    """What the image processor of a transformers folder does, with its 8-bit steps.

    Raises
    ------
    CheckpointError
        If it does something else than resize, crop and normalise, or ends at another size than the model's.
    """
    path = folder / "preprocessor_config.json"
    if path.is_file():
        said = read_json(path)
    else:
        path = folder / "processor_config.json"
        said = read_json(path).get("image_processor", {})
    where = str(path)
    if said.get("do_resize", True) is not True or said.get("do_rescale", True) is not True:
        raise CheckpointError("does not resize or rescale, which is not known here", where=where)
    if abs(float(said.get("rescale_factor", 1 / 255)) * 255 - 1) > 1e-6:
        raise CheckpointError(f"rescale_factor is {said['rescale_factor']}, not 1/255", where=where)
    size, cropped = said.get("size"), said.get("do_center_crop", False)
    short = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if isinstance(size, int) and cropped:
        short = size
    final = _side(said.get("crop_size"), where) if cropped else _side(size, where)
    if final != image_size or (short is not None and not cropped):
        raise CheckpointError(f"makes images of {final}, the model takes {image_size}", where=where)
    normalise = said.get("do_normalize", True)
    return Preprocessing(
        resize_short=short,
        crop=final,
        fit="crop" if short is not None else "stretch",
        interpolation=_filter(said.get("resample"), where),
        mean=_three(said.get("image_mean"), where) if normalise else (0.0, 0.0, 0.0),
        std=_three(said.get("image_std"), where) if normalise else (1.0, 1.0, 1.0),
        eight_bit=True,
        rounding="floor",
    )


def open_clip_processor(said: Mapping[str, Any], image_size: int, where: str) -> Preprocessing:
    """What open_clip's evaluation transform does by the ``preprocess_cfg`` of a folder."""
    mode, interpolation = said.get("resize_mode", "shortest"), said.get("interpolation", "bicubic")
    if mode not in ("shortest", "squash"):
        raise CheckpointError(f"resize_mode '{mode}' is not known here", where=where)
    if interpolation not in ("bicubic", "bilinear"):
        raise CheckpointError(f"interpolation '{interpolation}' is not known here", where=where)
    return Preprocessing(
        resize_short=None,
        crop=image_size,
        fit="crop" if mode == "shortest" else "stretch",
        interpolation=cast(Interpolation, interpolation),
        mean=_three(said.get("mean", CLIP_MEAN), where),
        std=_three(said.get("std", CLIP_STD), where),
        eight_bit=True,
    )


def _side(size: Any, where: str) -> int:
    if isinstance(size, Mapping) and "shortest_edge" not in size:
        height, width = size.get("height"), size.get("width")
    else:
        height = width = size if isinstance(size, int) else None
    if not isinstance(height, int) or height != width:
        raise CheckpointError(f"the size {size} is no square", where=where)
    return height


def _filter(resample: Any, where: str) -> Interpolation:
    if resample not in _FILTERS:
        raise CheckpointError(f"resample is {resample}, not one of {sorted(_FILTERS)}", where=where)
    return cast(Interpolation, _FILTERS[resample])


def _three(values: Any, where: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(value) for value in values)
    except (TypeError, ValueError):
        raise CheckpointError(f"{values} are not three numbers", where=where) from None
    return first, second, third
