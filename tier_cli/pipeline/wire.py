"""What passes between the command and a decoding process: one JSON line, then raw pixels if there are any."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from tier_cli.errors import InputError
from tier_cli.imaging.corrupt import Corruption
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.pipeline.decode import Decoded, Settings


def settings_to_text(settings: Settings) -> str:
    """Write settings as one JSON text, which a process takes as its argument."""
    return json.dumps(
        {
            "read": asdict(settings.read),
            "preprocessing": settings.preprocessing.to_dict(),
            "corruptions": [[one.kind, one.level] for one in settings.corruptions],
            "seed": settings.seed,
        }
    )


def settings_from_text(text: str) -> Settings:
    """Read what `settings_to_text` wrote."""
    content = json.loads(text)
    return Settings(
        ReadOptions(**content["read"]),
        Preprocessing.from_dict(content["preprocessing"]),
        tuple(Corruption(kind, level) for kind, level in content["corruptions"]),
        content["seed"],
    )


def send(stream: IO[bytes], header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Write one message."""
    stream.write(json.dumps({**header, "bytes": len(payload)}).encode("ascii") + b"\n")
    if payload:
        stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one message; None where the other side is gone, even in the middle of it."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header: dict[str, Any] = json.loads(line)
    payload = stream.read(header["bytes"])
    return (header, payload) if len(payload) == header["bytes"] else None


def send_outcome(stream: IO[bytes], outcome: Decoded | InputError) -> None:
    """Write what became of one file."""
    if isinstance(outcome, InputError):
        error = {"what": outcome.what, "where": outcome.where, "remedy": outcome.remedy, "kind": outcome.kind}
        send(stream, {"error": error})
        return
    pixels = np.ascontiguousarray(outcome.pixels, np.float32)
    known = {name: value for name, value in vars(outcome).items() if name != "pixels"}
    send(stream, {**known, "shape": pixels.shape}, pixels.data.cast("B"))


def outcome_from(header: dict[str, Any], payload: bytes) -> Decoded | InputError:
    """Read what `send_outcome` wrote."""
    if "error" in header:
        return InputError(**header["error"])
    known = {name: header[name] for name in ("view", "study", "series", "instance", "phi")}
    pixels = np.frombuffer(payload, np.float32).reshape(header["shape"])
    (height, width), (first, second) = header["size"], header["affine"]
    return Decoded(
        pixels=pixels,
        notes=tuple(header["notes"]),
        size=(height, width),
        affine=(tuple(first), tuple(second)),
        **known,
    )
