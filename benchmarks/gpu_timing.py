"""Time work on a device within a share of time. `gpu.py` says what is measured."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Row = dict[str, Any]


class TooLittleTimeError(Exception):
    """The time of a part is used up."""


class Clock:
    """Counts down the time of a part."""

    def __init__(self, seconds: float):
        self._end = time.perf_counter() + seconds

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self._end - time.perf_counter()

    def check(self) -> None:
        """Raise `TooLittleTimeError` if none are left."""
        if self.left <= 0:
            raise TooLittleTimeError


def tried(row: Row, work: Callable[[], Row]) -> Row:
    """Return a row with the outcome of `work`, or with the error that a device or a compiler raised."""
    try:
        return row | work()
    except RuntimeError as error:
        # Of torch's errors, out of memory included; the next row may still work.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return row | {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


def seconds_of(given: Namespace, clock: Clock, work: Callable[[], object], least: float = 1.0) -> float:
    """Return the seconds of one call: the fastest of three blocks that last a second each."""
    for _ in range(1 if given.quick else 3):
        work()
    _finish(given)
    began = time.perf_counter()
    work()
    _finish(given)
    once = time.perf_counter() - began
    calls = 1 if given.quick else max(1, int(least / once))
    best = once
    for _ in range(1 if given.quick else 3):
        clock.check()
        began = time.perf_counter()
        for _ in range(calls):
            work()
        _finish(given)
        best = min(best, (time.perf_counter() - began) / calls)
    return best


def _finish(given: Namespace) -> None:
    if given.device == "cuda":
        torch.cuda.synchronize()


def flops_of(work: Callable[[], object]) -> int:
    """Return the floating-point operations of one call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def share_of_peak(given: Namespace, flops: float, seconds: float) -> Row:
    """Return the TFLOP/s of work, and their share of the device's peak where that is known."""
    tflops = flops / seconds / 1e12
    said: Row = {"tflops": round(tflops, 3)}
    if given.peak_tflops:
        said["share_of_peak"] = round(tflops / given.peak_tflops, 4)
    return said
