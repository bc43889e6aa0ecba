"""Load weights strictly: missing or unused tensors, for which transformers only warns, are errors."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from tier_cli.errors import CheckpointError, TierError
from tier_cli.model.checkpoint import read_json
from tier_cli.model.weights import read_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WEIGHTS_FILE = "model.safetensors"
# Parts of public tower files that TIER does not use.
_HARMLESS = ("pooler.", "classifier.", "cls.", "lm_head.", "embeddings.position_ids")
_SHOWN = 20
# The embeddings of the largest vocabularies have a quarter of a billion numbers.
_MOST_SHARED = 1 << 29


class Tower(NamedTuple):
    """A pretrained encoder in fp32, with its configuration as a dict with ``model_type``."""

    config: dict[str, Any]
    model: Any


def load_strictly(
    loader: Callable[..., Any],
    path: str | Path,
    dtype: torch.dtype,
    build: Callable[[Path], Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Call a ``from_pretrained`` offline on safetensors, without remote code; raise unless all fits.

    `build` makes the model from the configuration of a folder. If it is given, the shapes are compared with
    the file on the meta device first: sizes that only the configuration claims then need no memory.
    """
    if build is not None and (Path(path) / WEIGHTS_FILE).is_file():
        _check_sizes(build, Path(path))
    model, info = _load(loader, Path(path), dtype, **kwargs)
    _refuse(info, path, harmless=())
    return model


def load_tower(folder: str | Path, tower: dict[str, Any]) -> Any:
    """Load a tower from a Hugging Face folder in fp32, ignoring a pooler or task head."""
    from tier_cli.model.towers import tower_class

    model_class, config, arguments = tower_class(tower)
    model, info = _load(model_class.from_pretrained, Path(folder), torch.float32, config=config, **arguments)
    _refuse(info, folder, harmless=_HARMLESS)
    return model


def read_tower_config(folder: str | Path) -> dict[str, Any]:
    """Read the config.json of a Hugging Face folder."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise CheckpointError("no config.json", where=str(folder), remedy="name a model folder")
    return read_json(path)


def _load(
    loader: Callable[..., Any], path: Path, dtype: torch.dtype, **kwargs: Any
) -> tuple[Any, dict[str, Any]]:
    if not (path / WEIGHTS_FILE).is_file():
        raise CheckpointError(
            f"no {WEIGHTS_FILE}",
            where=str(path),
            remedy="name a checkpoint folder; other weight formats are not supported",
        )
    options = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    try:
        with quiet_transformers():
            # Mismatched shapes pass here so that the error below can name all of them.
            model, info = loader(
                path, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, **options, **kwargs
            )
    except TierError:
        raise
    except Exception as error:
        # transformers raises anything for a configuration that makes no sense.
        raise CheckpointError(
            f"the weights cannot be loaded: {error or type(error).__name__}",
            where=str(path),
            remedy="download the folder again, or check its config.json",
        ) from error
    return model.eval(), info


def _check_sizes(build: Callable[[Path], Any], path: Path) -> None:
    layout = read_layout(path / WEIGHTS_FILE)
    try:
        with torch.device("meta"), torch.no_grad(), quiet_transformers():
            wanted = build(path).state_dict()
    except TierError:
        raise
    except Exception:  # noqa: BLE001 - whatever is wrong with the configuration, the loader names it
        return
    other = [(name,) for name in set(wanted) & set(layout) if tuple(wanted[name].shape) != layout[name].shape]
    # Tensors that share their weights with others are stored once.
    missing = set(wanted) - set(layout)
    if sum(wanted[name].numel() for name in missing) < _MOST_SHARED:
        missing = set()
    _refuse({"missing_keys": missing, "unexpected_keys": (), "mismatched_keys": other}, path, ())


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress the progress bars and load report of transformers; problems are raised as errors instead."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _refuse(info: dict[str, Any], path: str | Path, harmless: tuple[str, ...]) -> None:
    problems = {
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(key for key in info["unexpected_keys"] if not key.startswith(harmless)),
        "of a different shape": sorted(str(entry[0]) for entry in info["mismatched_keys"]),
        "unreadable": sorted(info.get("error_msgs", ())),
    }
    found = [f"{len(names)} {kind} ({_first_names(names)})" for kind, names in problems.items() if names]
    if found:
        raise CheckpointError(
            "the tensors do not match the configuration: " + "; ".join(found),
            where=str(path),
            remedy="the folder is incomplete or belongs to another model",
        )


def _first_names(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
