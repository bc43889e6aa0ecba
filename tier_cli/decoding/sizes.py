"""Measure the sizes of images in processes that a broken file may crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tier_cli.decoding.decode import Settings
from tier_cli.decoding.pool import DecodePool
from tier_cli.errors import InputError
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions


def image_sizes(paths: Sequence[str], workers: int) -> Mapping[str, tuple[int, int] | InputError]:
    """Decode images and return the height and width of each, or the error."""
    if not paths:
        return {}
    with DecodePool(Settings(ReadOptions(views="all"), Preprocessing()), min(workers, len(paths))) as pool:
        waiting = {path: pool.submit(path) for path in paths}
        outcomes = {path: future.result() for path, future in waiting.items()}
    return {
        path: outcome if isinstance(outcome, InputError) else outcome.size
        for path, outcome in outcomes.items()
    }
