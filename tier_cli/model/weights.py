"""Read the layout of a safetensors file without loading its tensors."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path

from tier_cli.errors import CheckpointError

_LENGTH = 8
_LONGEST_HEADER = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in the file: its bytes are ``[offset, offset + length)`` from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def read_layout(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or not a safetensors file.
    """
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(_LENGTH))
            if size > _LONGEST_HEADER:
                raise ValueError(f"a header of {size} bytes")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        tensors = {name: _tensor(name, entry, _LENGTH + size) for name, entry in header.items()}
    except FileNotFoundError:
        raise CheckpointError("no such file", where=str(path), remedy="check the path") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(
            f"not a safetensors file: {error}", where=str(path), remedy="download it again"
        ) from error
    end = max((tensor.offset + tensor.length for tensor in tensors.values()), default=0)
    if end > path.stat().st_size:
        raise CheckpointError("the file is truncated", where=str(path), remedy="copy it again")
    return tensors


def tensor_digests(path: Path, layout: dict[str, StoredTensor]) -> dict[str, str]:
    """Return the SHA-256 of the bytes of every tensor, by name."""
    digests = {}
    with path.open("rb") as file:
        for tensor in layout.values():
            file.seek(tensor.offset)
            digests[tensor.name] = hashlib.sha256(file.read(tensor.length)).hexdigest()
    return digests


def _tensor(name: str, entry: dict[str, object], start: int) -> StoredTensor:
    begin, end = (int(value) for value in entry["data_offsets"])  # type: ignore[attr-defined]
    shape = tuple(int(value) for value in entry["shape"])  # type: ignore[attr-defined]
    return StoredTensor(name, str(entry["dtype"]), shape, start + begin, end - begin)
