"""Encode messages between the command and a decoding process: one JSON line, then raw pixels if any."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.decoding.decode import Affine, Crops, Decoded, Settings
from tier_cli.errors import InputError
from tier_cli.imaging.corrupt import Corruption
from tier_cli.imaging.orientation import Orientation
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions


def settings_to_text(settings: Settings) -> str:
    """Write settings as JSON, the argument of a decoding process."""
    return json.dumps(
        {
            "read": asdict(settings.read),
            "preprocessing": settings.preprocessing.to_dict(),
            "corruptions": [[one.kind, one.level] for one in settings.corruptions],
            "seed": settings.seed,
            "others": [other.to_dict() for other in settings.others],
            "picture": settings.picture,
            "crops": None
            if settings.crops is None
            else [settings.crops.preprocessing.to_dict(), settings.crops.shifts],
        }
    )


def settings_from_text(text: str) -> Settings:
    """Read the JSON of `settings_to_text`."""
    content = json.loads(text)
    return Settings(
        ReadOptions(**content["read"]),
        Preprocessing.from_dict(content["preprocessing"]),
        tuple(Corruption(kind, level) for kind, level in content["corruptions"]),
        content["seed"],
        tuple(Preprocessing.from_dict(other) for other in content["others"]),
        content["picture"],
        _crops_from(content["crops"]),
    )


def _crops_from(content: Any) -> Crops | None:
    if content is None:
        return None
    preprocessing, shifts = content
    return Crops(
        Preprocessing.from_dict(preprocessing), tuple((int(down), int(right)) for down, right in shifts)
    )


def send(stream: IO[bytes], header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Write one message."""
    stream.write(json.dumps({**header, "bytes": len(payload)}).encode("ascii") + b"\n")
    if payload:
        stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one message; return None if the other side is gone, even in mid-message."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header: dict[str, Any] = json.loads(line)
    payload = stream.read(header["bytes"])
    return (header, payload) if len(payload) == header["bytes"] else None


def send_outcome(stream: IO[bytes], outcome: Decoded | InputError) -> None:
    """Write the prepared image or the error of one file."""
    if isinstance(outcome, InputError):
        error = {"what": outcome.what, "where": outcome.where, "remedy": outcome.remedy, "kind": outcome.kind}
        send(stream, {"error": error})
        return
    arrays = ("pixels", "others", "picture", "crops")
    known = {name: value for name, value in vars(outcome).items() if name not in arrays}
    prepared, picture = outcome.prepared, outcome.picture
    if outcome.crops is not None:
        prepared, known["crops"] = (*prepared, outcome.crops), True
    shapes, payload = [pixels.shape for pixels in prepared], _joined(prepared)
    if picture is None:
        send(stream, {**known, "shapes": shapes}, payload)
    else:
        send(
            stream, {**known, "shapes": shapes, "picture": picture.shape}, bytes(payload) + picture.tobytes()
        )


def _joined(images: tuple[NDArray[np.float32], ...]) -> memoryview:
    # Several images are copied into one buffer; a single one, the usual case, is sent without a copy.
    flat = images[0] if len(images) == 1 else np.concatenate([image.ravel() for image in images])
    return np.ascontiguousarray(flat, np.float32).data.cast("B")


def outcome_from(header: dict[str, Any], payload: bytes) -> Decoded | InputError:
    """Read the message of `send_outcome`."""
    if "error" in header:
        return InputError(**header["error"])
    known = {name: header[name] for name in ("view", "study", "series", "instance", "phi")}
    shapes, picture = header["shapes"], None
    numbers = sum(math.prod(shape) for shape in shapes)
    pixels, *others = _split(np.frombuffer(payload, np.float32, numbers), shapes)
    crops = others.pop() if "crops" in header else None
    if "picture" in header:
        picture = np.frombuffer(payload, np.uint8, offset=4 * numbers).reshape(header["picture"])
    height, width = header["size"]
    return Decoded(
        pixels=pixels,
        notes=tuple(header["notes"]),
        size=(height, width),
        affine=_affine_from(header["affine"]),
        orientation=Orientation(*header["orientation"]),
        others=tuple(others),
        picture=picture,
        crops=crops,
        crops_affine=_affine_from(header["crops_affine"]),
        **known,
    )


def _affine_from(rows: list[list[float]]) -> Affine:
    (a, b, c), (d, e, f) = rows
    return (a, b, c), (d, e, f)


def _split(flat: NDArray[np.float32], shapes: list[list[int]]) -> Iterator[NDArray[np.float32]]:
    start = 0
    for shape in shapes:
        end = start + math.prod(shape)
        yield flat[start:end].reshape(shape)
        start = end
