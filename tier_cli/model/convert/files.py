"""Read foreign weight files without running any code in them."""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tier_cli.errors import CheckpointError

# What training programs call the weights among the other things they save, the usual name first.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_GET_AGAIN = "it is damaged or truncated: download it again"
# torch's messages about truncated files, in the current format and in the one before 1.6.
_DAMAGED = ("PytorchStreamReader failed reading", "unexpected EOF", "storage has wrong byte size")


@dataclass(frozen=True)
class WeightFile:
    """The content of a weight file.

    Parameters
    ----------
    tensors
        The state dict.
    wrapper
        The keys of the dict that the state dict was an entry of; empty if the file is the state dict itself.
    config
        The entry ``config`` of that dict; None if there is none.
    """

    tensors: dict[str, Tensor]
    wrapper: frozenset[str] = frozenset()
    config: Any = None


class ForeignTensors:
    """Hold the tensors of foreign files by name, and keep track of those not used yet.

    Parameters
    ----------
    tensors
        Tensors under the file's own names.
    where
        The file or folder, for messages.
    """

    def __init__(self, tensors: Mapping[str, Tensor], where: str):
        self._tensors, self.where = dict(tensors), where

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tensors that were not taken yet."""
        return tuple(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, which must exist."""
        return tuple(self.peek(name).shape)

    def peek(self, name: str) -> Tensor:
        """Return a tensor, which must exist, without taking it."""
        if name not in self._tensors:
            raise CheckpointError(
                f"no tensor '{name}'", where=self.where, remedy="download the file again, or check --family"
            )
        return self._tensors[name]

    def take(self, name: str) -> Tensor:
        """Take a tensor, which must exist, and return it."""
        tensor = self.peek(name)
        del self._tensors[name]
        return tensor

    def section(self, prefix: str) -> dict[str, Tensor]:
        """Take all tensors whose names start with `prefix`; return them without the prefix."""
        names = [name for name in self._tensors if name.startswith(prefix)]
        return {name.removeprefix(prefix): self._tensors.pop(name) for name in names}

    def drop(self, *endings: str) -> tuple[str, ...]:
        """Leave out tensors that are known to be unused, by the endings of their names; return the names."""
        names = tuple(name for name in self._tensors if name.endswith(endings))
        for name in names:
            del self._tensors[name]
        return names

    def leave(self, *prefixes: str) -> tuple[str, ...]:
        """Leave out tensors by the prefixes of their names; return the names."""
        return tuple(prefix + name for prefix in prefixes for name in self.section(prefix))

    def layers(self, pattern: str) -> int:
        """Count layers by the prefix of their names, with ``{}`` in place of the layer's number."""
        # Any tensor counts: a missing one must not make the rest of its layer look unused.
        begin = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d+)"))
        return len({found[1] for name in self._tensors if (found := begin.match(name))})


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weight file, see `read_weight_file`."""
    return read_weight_file(path).tensors


def read_weight_file(path: Path, first: str | None = None) -> WeightFile:
    """Read a safetensors file, or a pickle that contains only tensors and plain values.

    `first` names the entry of a pickle that holds the weights, where it is; then the usual names are tried.

    Raises
    ------
    CheckpointError
        If the file cannot be read, would run code, or holds no state dict.
    """
    if path.suffix == ".safetensors":
        try:
            return WeightFile(dict(load_file(path)))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"cannot be read: {error}", where=str(path), remedy=_GET_AGAIN) from error
    return _state_dict(load_pickle(path), path, _WRAPPERS if first is None else (first, *_WRAPPERS))


def load_pickle(path: Path) -> Any:
    """Read a file of `torch.save`: tensors, plain values, and `argparse.Namespace` of training programs."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # torch warns of a program in the file, which is refused below.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError("no such file", where=str(path), remedy="check the path") from error
    except Exception as error:  # torch raises any kind of error if the bytes are not a pickle
        if _is_damaged(path, error):
            raise CheckpointError("the file is incomplete", where=str(path), remedy=_GET_AGAIN) from error
        raise CheckpointError(
            f"not a plain weight file: {_reason(error)}",
            where=str(path),
            remedy=_remedy(error, path),
        ) from error


def _state_dict(content: Any, path: Path, wrappers: tuple[str, ...]) -> WeightFile:
    """Find the state dict in the content of a file: the content itself or an entry of it."""
    wrapper: frozenset[str] = frozenset()
    config = None
    while isinstance(content, Mapping) and (key := _entry(content, path, wrappers)) is not None:
        wrapper |= frozenset(map(str, content))
        config = content.get("config", config)
        content = content[key]
    # Some programs save the wrapper for several GPUs instead of the model.
    if isinstance(content, Mapping) and content and all(str(name).startswith("module.") for name in content):
        content = {str(name).removeprefix("module."): value for name, value in content.items()}
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError("contains no state dict", where=str(path))
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(
            f"contains more than tensors: {', '.join(others[:20])}",
            where=str(path),
            remedy="if you trust the file, save its state dict alone with torch.save",
        )
    return WeightFile({str(name): value for name, value in content.items()}, wrapper, config)


def _entry(content: Mapping[Any, Any], path: Path, wrappers: tuple[str, ...]) -> Any:
    """Return the key of the entry that is the state dict; None if no entry is."""
    for name in wrappers:
        if isinstance(content.get(name), Mapping):
            return name
    if any(isinstance(value, Tensor) for value in content.values()):
        return None
    found = [key for key, value in content.items() if _only_tensors(value)]
    if len(found) > 1:
        raise CheckpointError(
            f"contains several sets of weights: {', '.join(map(str, found))}",
            where=str(path),
            remedy=f"save the one to convert alone: torch.save(torch.load(FILE)[{str(found[0])!r}], NEW)",
        )
    return found[0] if found else None


def _only_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def load_folder(folder: Path, *stems: str) -> dict[str, Tensor]:
    """Read the weights of a folder by file stem: safetensors first, then ``.bin``, whole or in shards."""
    for ending in (".safetensors", ".bin"):
        for stem in stems:
            path = folder / f"{stem}{ending}"
            if path.is_file():
                return load_weights(path)
            if (index := folder / f"{stem}{ending}.index.json").is_file():
                return _shards(index)
    raise CheckpointError(
        f"no weights: looked for {', '.join(stems)} (.safetensors, .bin)",
        where=str(folder),
        remedy="download the folder again",
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raise `CheckpointError` if that is impossible."""
    from tier_cli.model import checkpoint

    if not path.is_file():
        raise CheckpointError(f"no {path.name}", where=str(path.parent), remedy="download the folder again")
    return checkpoint.read_json(path)


def _shards(index: Path) -> dict[str, Tensor]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict):
        raise CheckpointError("has no weight_map", where=str(index), remedy="download the folder again")
    tensors: dict[str, Tensor] = {}
    for name in sorted({str(place) for place in places.values()}):
        if Path(name).name != name:
            raise CheckpointError(
                f"names a file outside the folder: {name}",
                where=str(index),
                remedy="download the folder again",
            )
        tensors |= load_weights(index.parent / name)
    return tensors


def _is_damaged(path: Path, error: Exception) -> bool:
    """Return whether a file of `torch.save` is truncated, rather than a file of another kind."""
    if isinstance(error, EOFError) or any(phrase in str(error) for phrase in _DAMAGED):
        return True
    # An archive lists its content at its end; without it torch may raise anything, such as "[Errno 22]".
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04" and not zipfile.is_zipfile(path)
    except OSError:
        return False


def _remedy(error: Exception, path: Path) -> str:
    if "TorchScript" not in str(error):
        return "if you trust the file, save its state dict alone with torch.save"
    # As OpenAI publishes its CLIPs.
    new = str(path.with_name(f"{path.stem}-weights.pt"))
    script = f"import torch; torch.save(torch.jit.load({str(path)!r}, 'cpu').state_dict(), {new!r})"
    return f'if you trust the file, run: python -c "{script}" and convert {new}'


def _reason(error: Exception) -> str:
    """Return why torch refused the file, without its advice to run it anyway."""
    text = " ".join(str(error).split())
    if found := re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", text):
        return f"it would run {found[1]}"
    if "Unsupported operand" in text or not isinstance(
        error, RuntimeError | OSError | pickle.UnpicklingError
    ):
        return "not written by torch.save, or damaged"
    if "TorchScript" in text:
        return "it contains a program (TorchScript archive)"
    # Later sentences are about the options of torch.load.
    return text.split("WeightsUnpickler error:")[-1].strip().split(". ")[0].removesuffix(".")[:200]
