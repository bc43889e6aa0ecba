"""Read and write the fixed scale of a checkpoint's maps: map_scale.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from tier_cli.findings.schema import FindingSet
    from tier_cli.model.checkpoint import Checkpoint

MAP_SCALE = "map_scale.json"
# All possible values, as cosines lie in [-1, 1]: the scale of a checkpoint without a fitted one.
_POSSIBLE: Mapping[str, tuple[float, float]] = {
    "difference": (-2.0, 2.0),
    "positive": (-1.0, 1.0),
    "phrase": (-1.0, 1.0),
}
_LARGEST = 2.0
_UNFITTED = (
    "no fitted scale of maps: the colours cover all possible values; fit one with `tier model map-scale`"
)


@dataclass(frozen=True)
class MapScale:
    """The scale that all maps of a checkpoint share, and thresholds above which a patch stands out.

    Parameters
    ----------
    ranges
        The least and the greatest similarity of the colours, by the kind of similarity, see
        `tier_cli.maps.similarity.SIMILARITIES`.
    thresholds
        Similarities from which a patch stands out, by the id of the finding; empty if none were fitted for
        the finding set.
    note
        Why the scale is not one fitted for this checkpoint; empty if it is.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: _POSSIBLE)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    note: str = _UNFITTED


def read_map_scale(checkpoint: Checkpoint, findings: FindingSet) -> MapScale:
    """Read a checkpoint's scale; one that covers what is possible, with a note, if it has none of its own.

    Raises
    ------
    CheckpointError
        If the file is not valid.
    """
    from tier_cli.model.checkpoint import read_json

    path = checkpoint.path / MAP_SCALE
    if not path.is_file():
        return MapScale()
    content = read_json(path)
    if content.get("key") != scale_key(checkpoint):
        return MapScale(note="the scale of maps was fitted for other weights or images: " + _UNFITTED)
    try:
        ranges = {kind: _range(content["ranges"][kind]) for kind in _POSSIBLE}
        of_set = content["thresholds"].get(findings.hash, {})
        thresholds = {str(name): _number(entry["threshold"]) for name, entry in of_set.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            "is not a valid scale of maps",
            where=str(path),
            remedy="fit it again with `tier model map-scale`",
        ) from error
    return MapScale(ranges, thresholds, "")


def write_map_scale(folder: Path, checkpoint: Checkpoint, content: Mapping[str, Any]) -> None:
    """Write the scale of a checkpoint's maps into a folder.

    Parameters
    ----------
    folder
        The folder, a copy of the checkpoint's.
    checkpoint
        The checkpoint that the scale was fitted for.
    content
        ``ranges`` by kind; ``thresholds`` by the hash of a finding set and the id of a finding, each an
        object with ``threshold``; and facts of the fit.
    """
    from tier_cli.model.checkpoint import write_json

    write_json(folder / MAP_SCALE, {"version": 1, "key": scale_key(checkpoint), **content})


def map_scale_facts(folder: Path) -> dict[str, Any] | None:
    """Return what a checkpoint folder records about its scale of maps; None without one.

    Raises
    ------
    CheckpointError
        If the file cannot be read as JSON.
    """
    from tier_cli.model.checkpoint import read_json

    path = folder / MAP_SCALE
    return read_json(path) if path.is_file() else None


def scale_key(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the facts that a scale and the checkpoint it is used with must share."""
    return {name: checkpoint.hashes[name] for name in ("weights", "preprocessing")}


def _range(value: Any) -> tuple[float, float]:
    low, high = map(_number, value)
    if not low < high:
        raise ValueError("empty range")
    return low, high


def _number(value: Any) -> float:
    # JSON has whole numbers that no float can hold, and strings and booleans that Python takes for numbers.
    if type(value) not in (int, float) or not -_LARGEST <= value <= _LARGEST:
        raise ValueError("not a similarity")
    return float(value)
