"""Read the `Display` that a DICOM header describes, with a note for every part that is invalid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tier_cli.imaging.display import Display, Function, Lut, Rescale, Window, domain
from tier_cli.imaging.header import Header, numbers_of, values_of
from tier_cli.imaging.padding import padding_range
from tier_cli.imaging.radiograph import ReadOptions

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_FUNCTIONS: tuple[Function, ...] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_Choice = TypeVar("_Choice")


def display_of(header: Header, bits: int, signed: bool, options: ReadOptions, notes: list[str]) -> Display:
    """Read how a greyscale image is to be displayed.

    Parameters
    ----------
    header, bits, signed
        The attributes, bits stored and whether pixels are signed.
    options
        Which of several VOI tables or windows to use; renderings other than ``voi`` use none.
    notes
        Receives a note for each invalid value and its replacement.
    """
    modality = _modality(header, signed, notes)
    voi: Lut | Window | None = None
    if options.rendering == "voi":
        voi = _voi(header, bool(modality(domain(bits, signed)).min() < 0), options.window, notes)
        if isinstance(voi, Lut):
            voi = _reaching(voi, notes)
    return Display(modality, voi, _inverted(header, notes), padding_range(header, bits, signed))


def _reaching(lut: Lut, notes: list[str]) -> Lut:
    """Scale a VOI LUT by its highest entry if that stays far below the range that its descriptor states.

    Agfa and others state the 16 bits in which the entries are stored, not the 8 or 12 that they use.
    """
    highest = float(lut.entries.max())
    if not 0 < highest <= lut.top / 2:
        return lut
    notes.append(f"VOI LUT scaled by its highest entry: {highest:.0f} of {lut.top:.0f}")
    return replace(lut, highest=highest)


def _modality(header: Header, signed: bool, notes: list[str]) -> Lut | Rescale:
    if items := header.items("ModalityLUTSequence"):
        if lut := _lut(items[0], header.little_endian, signed):
            return lut
        notes.append("empty modality LUT ignored")
    slope = header.numbers("RescaleSlope")
    intercept = header.numbers("RescaleIntercept")
    chosen = Rescale(slope[0] if slope else 1.0, intercept[0] if intercept else 0.0)
    if not (math.isfinite(chosen.slope) and math.isfinite(chosen.intercept)) or chosen.slope == 0:
        notes.append("invalid rescale slope or intercept ignored")
        return Rescale()
    return chosen


def _voi(header: Header, signed: bool, number: int, notes: list[str]) -> Lut | Window | None:
    luts = [_lut(item, header.little_endian, signed) for item in header.items("VOILUTSequence")]
    if usable := [lut for lut in luts if lut]:
        return _pick(usable, number, "VOI LUT", notes)
    if luts:
        notes.append("empty VOI LUT ignored")
    windows = _windows(header, notes)
    return _pick(windows, number, "window", notes) if windows else None


def _pick(choices: list[_Choice], number: int, name: str, notes: list[str]) -> _Choice:
    if not 0 <= number < len(choices):
        notes.append(f"{name} {number + 1} does not exist: the first of {len(choices)} used")
        return choices[0]
    if len(choices) > 1:
        notes.append(f"{name} {number + 1} of {len(choices)} used")
    return choices[number]


def _windows(header: Header, notes: list[str]) -> list[Window]:
    """Return the valid windows."""
    name = header.code("VOILUTFunction") or "LINEAR"
    function: Function | None = next((known for known in _FUNCTIONS if known == name), None)
    if function is None:
        notes.append("unknown VOI LUT function: LINEAR used")
        function = "LINEAR"
    found = []
    for center, width in zip(header.numbers("WindowCenter"), header.numbers("WindowWidth"), strict=False):
        # The standard has no LINEAR window narrower than 1, but files with fractional values use them.
        exact = function == "LINEAR" and 0 < width < 1
        if math.isfinite(center) and math.isfinite(width) and width > 0:
            found.append(Window(center, width, "LINEAR_EXACT" if exact else function))
        else:
            notes.append(f"window of width {width:g} ignored")
    return found


def _inverted(header: Header, notes: list[str]) -> bool:
    """Decide polarity by the presentation LUT shape if present, else by the photometric interpretation."""
    low_is_white = header.code("PhotometricInterpretation") == "MONOCHROME1"
    shape = header.code("PresentationLUTShape")
    if shape not in ("IDENTITY", "INVERSE"):
        if shape:
            notes.append("unknown presentation LUT shape ignored")
        return low_is_white
    if (shape == "INVERSE") != low_is_white:
        photometric = "MONOCHROME1" if low_is_white else "MONOCHROME2"
        lowest = "white" if shape == "INVERSE" else "black"
        notes.append(
            f"presentation LUT shape {shape} contradicts {photometric}: "
            f"the shape was used, the lowest values are {lowest}"
        )
    return shape == "INVERSE"


def _lut(item: Dataset, little_endian: bool, signed: bool) -> Lut | None:
    """Read a modality or VOI table; return None if it is empty.

    Writers confuse signed and unsigned descriptors, so the descriptor is read by its meaning: the count is
    never negative and 0 stands for 65536; the first value is negative only if inputs can be (`signed`).
    """
    descriptor = numbers_of(item, "LUTDescriptor")
    if len(descriptor) != 3 or not all(map(math.isfinite, descriptor)):
        return None
    count = int(descriptor[0]) & 0xFFFF or 65536
    first = int(descriptor[1]) & 0xFFFF
    if signed and first >= 0x8000:
        first -= 0x10000
    entries = _entries(values_of(item, "LUTData"), count, little_endian)
    if entries.size == 0:
        return None
    # Entries may need more bits than the descriptor states; the range then covers the entries.
    named = int(descriptor[2]) if 8 <= descriptor[2] <= 16 else 16
    bits = max(named, int(entries.max()).bit_length())
    return Lut(first, entries.astype(np.float64), bits)


def _entries(data: Sequence[Any], count: int, little_endian: bool) -> NDArray[np.unsignedinteger[Any]]:
    """Return at most `count` entries of LUTData, which holds words, bytes or numbers."""
    if not data or not isinstance(data[0], bytes):
        return np.array([int(number) & 0xFFFF for number in data[:count]], np.uint16)
    content = data[0][: len(data[0]) // 2 * 2]
    words = np.frombuffer(content, "<u2" if little_endian else ">u2")
    if len(content) < 2 * count and len(content) in (count, count + 1):
        # 8-bit entries, two per word, the first in the low byte.
        return words.astype("<u2").view(np.uint8)[:count]
    return words[:count]
