"""Opening foreign weight files without running anything that lies in them."""

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
_GET_AGAIN = "it is damaged or cut short: get it again"
# What torch says of files whose end or middle is missing, in its present form and in that before 1.6.
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
    """

    tensors: dict[str, Tensor]
    wrapper: frozenset[str] = frozenset()


class ForeignTensors:
    """The tensors of foreign files by name; taking one out accounts for it.

    Parameters
    ----------
    tensors
        By the names of the file.
    where
        The file or folder, for messages.
    """

    def __init__(self, tensors: Mapping[str, Tensor], where: str):
        self._tensors, self.where = dict(tensors), where

    @property
    def names(self) -> tuple[str, ...]:
        """What was not taken yet."""
        return tuple(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that must be there."""
        return tuple(self.peek(name).shape)

    def peek(self, name: str) -> Tensor:
        """A tensor that must be there, and stays to be accounted for."""
        if name not in self._tensors:
            raise CheckpointError(
                f"no tensor '{name}'", where=self.where, remedy="the file is incomplete or of another family"
            )
        return self._tensors[name]

    def take(self, name: str) -> Tensor:
        """A tensor that must be there."""
        tensor = self.peek(name)
        del self._tensors[name]
        return tensor

    def section(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names begin with `prefix`, without it."""
        names = [name for name in self._tensors if name.startswith(prefix)]
        return {name.removeprefix(prefix): self._tensors.pop(name) for name in names}

    def drop(self, *endings: str) -> tuple[str, ...]:
        """Leave out tensors that are known to be of no use, by the ends of their names; gives the names."""
        names = tuple(name for name in self._tensors if name.endswith(endings))
        for name in names:
            del self._tensors[name]
        return names

    def leave(self, *prefixes: str) -> tuple[str, ...]:
        """The same by how their names begin."""
        return tuple(prefix + name for prefix in prefixes for name in self.section(prefix))

    def layers(self, pattern: str) -> int:
        """How many layers there are, by how their names begin, with ``{}`` for the layer's number."""
        # By all tensors of a layer: one that is missing must not make the rest look superfluous.
        begin = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d+)"))
        return len({found[1] for name in self._tensors if (found := begin.match(name))})


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weight file, see `read_weight_file`."""
    return read_weight_file(path).tensors


def read_weight_file(path: Path) -> WeightFile:
    """Read a safetensors file, or a pickle that contains only tensors and plain values.

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
    return _state_dict(load_pickle(path), path)


def load_pickle(path: Path) -> Any:
    """A file of `torch.save`: tensors, plain values and `argparse.Namespace`, which training programs add."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # What torch would warn of, a program in the file, is refused below.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError("no such file", where=str(path)) from error
    except Exception as error:  # torch's reader of pickles lets any kind out where bytes are no pickle
        if _is_damaged(path, error):
            raise CheckpointError("cannot be read whole", where=str(path), remedy=_GET_AGAIN) from error
        raise CheckpointError(
            f"not a plain file of weights: {_reason(error)}",
            where=str(path),
            remedy=_remedy(error, path),
        ) from error


def _state_dict(content: Any, path: Path) -> WeightFile:
    """Find the state dict in the content of a file: the content itself or an entry of it."""
    wrapper: frozenset[str] = frozenset()
    while isinstance(content, Mapping) and (key := _entry(content, path)) is not None:
        wrapper |= frozenset(map(str, content))
        content = content[key]
    # Some programs save the model as it was wrapped for several GPUs.
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
    return WeightFile({str(name): value for name, value in content.items()}, wrapper)


def _entry(content: Mapping[Any, Any], path: Path) -> Any:
    """Return the key of the entry that is the state dict; None if no entry is."""
    for name in _WRAPPERS:
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
    """The weights of a folder by the stems of their file: safetensors first, then ``.bin``; shards too."""
    for ending in (".safetensors", ".bin"):
        for stem in stems:
            path = folder / f"{stem}{ending}"
            if path.is_file():
                return load_weights(path)
            if (index := folder / f"{stem}{ending}.index.json").is_file():
                return _shards(index)
    raise CheckpointError(
        f"no weights: looked for {', '.join(stems)} (.safetensors, .bin)", where=str(folder)
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or `CheckpointError`."""
    from tier_cli.model import checkpoint

    if not path.is_file():
        raise CheckpointError(f"no {path.name}", where=str(path.parent), remedy="get the folder again")
    return checkpoint.read_json(path)


def _shards(index: Path) -> dict[str, Tensor]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict):
        raise CheckpointError("has no weight_map", where=str(index))
    tensors: dict[str, Tensor] = {}
    for name in sorted({str(place) for place in places.values()}):
        if Path(name).name != name:
            raise CheckpointError(f"names a file outside of the folder: {name}", where=str(index))
        tensors |= load_weights(index.parent / name)
    return tensors


def _is_damaged(path: Path, error: Exception) -> bool:
    """Tell a file of `torch.save` of which a part is missing from one that is something else."""
    if isinstance(error, EOFError) or any(said in str(error) for said in _DAMAGED):
        return True
    # An archive lists its content at its end. Without that, torch may say anything (or "[Errno 22]").
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
    """Why torch refused, without its advice on how to run the file all the same."""
    text = " ".join(str(error).split())
    if found := re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", text):
        return f"it would run {found[1]}"
    if "Unsupported operand" in text or not isinstance(
        error, RuntimeError | OSError | pickle.UnpicklingError
    ):
        return "not written by torch.save, or damaged"
    if "TorchScript" in text:
        return "it is a program (TorchScript archive)"
    # Sentences after the first are about options of torch.load.
    return text.split("WeightsUnpickler error:")[-1].strip().split(". ")[0].removesuffix(".")[:200]
