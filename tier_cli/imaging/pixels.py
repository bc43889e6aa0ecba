"""Decode a DICOM file's pixel data to stored values, with bounded memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.imaging.codestream import (
    ITEM,
    SCAN,
    Codestream,
    codestream_of,
    encapsulation_fault,
    is_rle,
)
from tier_cli.imaging.damage import damaged
from tier_cli.imaging.decoders import JPEG_2000, LOSSY, RLE, decoder_of, decompressed
from tier_cli.imaging.header import UNDEFINED_LENGTH, Header, tail_fault
from tier_cli.imaging.limits import check_scans, check_size
from tier_cli.imaging.padding import padding_words

if TYPE_CHECKING:
    from tier_cli.imaging.reduction import Extent

_EXPLICIT = "1.2.840.10008.1.2.1"
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_LARGEST_US = 0xFFFF
# Defined terms of PS3.3 C.7.6.3.1.2 that a message may quote.
_DEFINED_COLOURS = (
    *("MONOCHROME1", "MONOCHROME2", *_COLOURS, "YBR_PARTIAL_420", "YBR_PARTIAL_422"),
    *("PALETTE COLOR", "HSV", "ARGB", "CMYK", "XYB"),
)


@dataclass(frozen=True, eq=False)
class Stored:
    """Decoded pixels.

    Parameters
    ----------
    codes
        uint8 or uint16, (H, W) or (H, W, 3) for RGB: the `bits` low bits of each sample, the others 0.
    bits
        Bits stored.
    signed
        Whether the bit patterns are two's complement.
    hidden
        Which pixels (H, W) mark padding by bits beyond the stored ones; None if none do.
    extent
        Where the image lies in `codes` if they show it at a lower resolution; None if they do not.
    """

    codes: NDArray[np.uint8] | NDArray[np.uint16]
    bits: int
    signed: bool
    hidden: NDArray[np.bool_] | None = None
    extent: Extent | None = None


def decode(header: Header, path: str, notes: list[str], most: int = 1) -> Stored:
    """Decode the first frame.

    Parameters
    ----------
    header, path
        The attributes and the file.
    notes
        Receives a note where the pixel data differ from what the attributes say.
    most
        How many pixels, in each direction, may become one where that saves decoding.

    Raises
    ------
    InputError
        Of kind ``too_large``, ``too_small``, ``photometric`` or ``codec``. Other exceptions come from the
        decoders and mean a broken file.
    """
    layout = _layout(header, path)
    bits, signed = int(layout["bits_stored"]), bool(layout["pixel_representation"])
    shift = max(0, header.whole("HighBit", bits - 1) + 1 - bits)
    syntax, lossy, extent = header.syntax, False, None
    if _is_compressed(header, path):
        frame = _first_frame(header, layout, path)
        codestream = _check_codestream(frame, header, layout, path)
        if codestream:
            syntax = header.syntax if header.syntax in codestream.syntaxes else codestream.syntaxes[0]
            _note_differences(codestream, bits, signed, notes)
            if codestream.precision <= 8 < layout["bits_allocated"]:
                # Decoders go by the image: some makers write 16 bits allocated round 8-bit images.
                layout["bits_allocated"] = 8
                bits = layout["bits_stored"] = min(bits, 8)
                shift = 0
        elif header.syntax != RLE:
            syntax = RLE
        most = 1 if shift else most
        samples, extent = decompressed(frame, codestream, syntax, layout, path, most)
        # JPEG and JPEG-LS have no signed values: negative ones are bit patterns there and cannot be clipped.
        lossy = syntax in LOSSY and (not signed or syntax in JPEG_2000)
    else:
        if decoder_of(syntax, path).is_encapsulated:
            syntax = _EXPLICIT
        _check_length(header, layout, path)
        layout["view_only"] = True
        samples = decoder_of(syntax, path).as_array(header.file, index=0, **layout)[0]
    if syntax != header.syntax:
        notes.append("the pixel data are not encoded as the transfer syntax says; their own format was used")
    if lossy:
        return Stored(_masked(_saturated(samples, bits, signed), bits, 0), bits, signed, extent=extent)
    hidden = None if shift else _beyond(samples, bits, header, notes)
    return Stored(_masked(samples, bits, shift), bits, signed, hidden, extent)


def _layout(header: Header, path: str) -> dict[str, Any]:
    """Read and check the image pixel attributes, in the form that pydicom's decoders take."""
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored"):
        # The attributes have 16 bits; another number, which a date could be, is not quoted below.
        if not header.numbers(keyword) or not 0 <= header.whole(keyword, 0) <= _LARGEST_US:
            remedy = "export the image again with all attributes of its pixels"
            what = f"{keyword} is {'not a valid number' if header.numbers(keyword) else 'missing'}"
            raise InputError(what, where=path, remedy=remedy, kind="photometric")
    rows, columns = header.whole("Rows", 0), header.whole("Columns", 0)
    check_size(rows, columns, path)
    samples = header.whole("SamplesPerPixel", 1)
    allocated, stored = header.whole("BitsAllocated", 0), header.whole("BitsStored", 0)
    photometric = header.code("PhotometricInterpretation")
    named = photometric if photometric in _DEFINED_COLOURS else "unknown colours"
    known = photometric in (_COLOURS if samples == 3 else ("MONOCHROME1", "MONOCHROME2"))
    if not known or samples not in (1, 3):
        count = samples if 0 <= samples <= _LARGEST_US else "unknown"
        raise _not_shown(f"{count} samples per pixel of {named} cannot be displayed", path)
    if allocated not in (8, 16, 32) or not 1 < stored <= min(16, allocated):
        raise _not_shown(f"{stored} bits stored in {allocated} are not supported", path)
    return {
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": samples,
        "bits_allocated": allocated,
        "bits_stored": stored,
        "photometric_interpretation": photometric,
        "pixel_representation": header.whole("PixelRepresentation", 0) & 1,
        "planar_configuration": header.whole("PlanarConfiguration", 0) & 1,
        "number_of_frames": max(1, header.whole("NumberOfFrames", 1)),
        "pixel_keyword": "PixelData",
        "pixel_vr": header.pixel_vr if header.pixel_vr in ("OB", "OW") else "OW",
        "correct_unused_bits": False,
    }


def _not_shown(what: str, path: str) -> InputError:
    remedy = "give a greyscale or RGB image of 8 to 16 bits"
    return InputError(what, where=path, remedy=remedy, kind="photometric")


def _check_length(header: Header, layout: dict[str, Any], path: str) -> None:
    """Refuse truncated uncompressed pixels."""
    samples = layout["rows"] * layout["columns"] * layout["samples_per_pixel"]
    if layout["photometric_interpretation"] == "YBR_FULL_422":
        samples = samples * 2 // 3
    start = header.file.tell()
    available = min(header.pixel_length, header.file.seek(0, os.SEEK_END) - start)
    header.file.seek(start)
    size = samples * layout["bits_allocated"] // 8
    if available < size:
        raise damaged("it is truncated", path)
    # A changed number of columns shears the image. Less than a row or a column may be padding.
    spare = min(layout["rows"], layout["columns"]) * layout["bits_allocated"] // 8
    if layout["number_of_frames"] == 1 and header.pixel_length - size >= spare:
        raise damaged("it is longer than Rows and Columns say", path)
    header.file.seek(start + header.pixel_length)
    if fault := tail_fault(header):
        raise damaged(fault, path)
    header.file.seek(start)


def _is_compressed(header: Header, path: str) -> bool:
    """Return whether the pixel data are compressed frames, whatever the transfer syntax says."""
    if header.pixel_length == UNDEFINED_LENGTH:
        return True
    if not decoder_of(header.syntax, path).is_encapsulated:
        return False
    start = header.file.read(len(ITEM))
    header.file.seek(-len(start), os.SEEK_CUR)
    return start == ITEM


def _first_frame(header: Header, layout: dict[str, Any], path: str) -> bytes:
    from pydicom.encaps import get_frame

    start = header.file.tell()
    if fault := encapsulation_fault(header.file, layout["number_of_frames"]) or tail_fault(header):
        raise damaged(fault, path)
    header.file.seek(start)
    return get_frame(header.file, 0, number_of_frames=layout["number_of_frames"])


def _check_codestream(frame: bytes, header: Header, layout: dict[str, Any], path: str) -> Codestream | None:
    """Refuse a frame whose size differs from the attributes, before memory is allocated; None if RLE."""
    codestream = codestream_of(frame)
    if codestream is None:
        if is_rle(frame):
            return None
        # Names the syntax as the cause if it is not supported.
        if not decoder_of(header.syntax, path).is_encapsulated:
            remedy = "export the file again with its file meta information"
            raise InputError(
                "the pixels are compressed, but the transfer syntax is missing",
                where=path,
                remedy=remedy,
                kind="codec",
            )
        raise InputError(
            "the header of the compressed image is broken", where=path, remedy="copy or export the file again"
        )
    declared = (codestream.width, codestream.height, codestream.samples)
    wanted = (layout["columns"], layout["rows"], layout["samples_per_pixel"])
    if declared != wanted or codestream.precision > layout["bits_allocated"]:
        raise InputError(
            "the size or bit depth of the compressed image differs from the DICOM attributes",
            where=path,
            remedy="copy or export the file again",
        )
    if not codestream.is_jpeg_2000:
        check_scans(frame.count(SCAN), codestream.height, codestream.width)
    if not codestream.syntaxes:
        raise InputError(
            "the JPEG process of the compressed image is not supported",
            where=path,
            remedy="save it as Explicit VR Little Endian",
            kind="codec",
        )
    return codestream


def _note_differences(codestream: Codestream, bits: int, signed: bool, notes: list[str]) -> None:
    if codestream.precision <= 8 < bits:
        notes.append(f"BitsStored is {bits}, but the compressed image has {codestream.precision} bits")
    if codestream.is_jpeg_2000 and codestream.signed != signed:
        itself, stated = ("signed", 0) if codestream.signed else ("unsigned", 1)
        notes.append(
            f"the JPEG 2000 image is {itself}, but PixelRepresentation is {stated}: "
            "PixelRepresentation was used"
        )


def _masked(samples: NDArray[Any], bits: int, shift: int) -> NDArray[Any]:
    """Keep only the stored bits; the bits above them may hold overlays or signs."""
    codes: NDArray[Any] = np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))
    codes = codes.view(f"u{codes.itemsize}")
    if shift:
        codes = codes >> shift
    if codes.itemsize > 2:
        codes = (codes & 0xFFFF).astype(np.uint16)
    # Looking for bits above the stored ones costs a tenth of a copy.
    return codes if codes.max() < 1 << bits else codes & ((1 << bits) - 1)


def _beyond(samples: NDArray[Any], bits: int, header: Header, notes: list[str]) -> NDArray[np.bool_] | None:
    """Find samples with bits above the stored ones: return those that are padding, note others.

    The bits above may hold the sign of a signed value, or overlays (PS3.5 8.1.2).
    """
    signed = samples.dtype.kind == "i"
    low, high = -(1 << bits - 1) if signed else 0, (1 << bits) - 1
    if samples.ndim != 2 or (samples.min() >= low and samples.max() <= high):
        return None
    beyond = (samples < low) | (samples > high)
    hidden = np.zeros_like(beyond)
    if words := padding_words(header, signed):
        hidden = beyond & (samples >= words[0]) & (samples <= words[1])
    if not header.has_embedded_overlay and np.count_nonzero(beyond) > np.count_nonzero(hidden):
        notes.append(f"some values need more than the {bits} bits of BitsStored: the bits above were ignored")
    return hidden if hidden.any() else None


def _saturated(samples: NDArray[Any], bits: int, signed: bool) -> NDArray[Any]:
    """Clip to the stored bits: a lossy codec overshoots them, and masking would turn white into black."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    kind = np.iinfo(samples.dtype)
    if kind.min < low or kind.max > high:
        samples = samples.clip(max(low, kind.min), min(high, kind.max))
    return samples
