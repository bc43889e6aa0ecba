"""Decode a DICOM file's pixel data to stored values, with bounded memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.imaging.codestream import Codestream, codestream_of, fragments_are_whole
from tier_cli.imaging.guard import silence_gdcm
from tier_cli.imaging.header import UNDEFINED_LENGTH, Header
from tier_cli.imaging.limits import check_size

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

_JPEG_8_OR_12 = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_LOSSY = (*_JPEG_8_OR_12, _JPEG_LS[1], _JPEG_2000[1], "1.2.840.10008.1.2.4.203")
_RLE = "1.2.840.10008.1.2.5"
# One decoder per syntax, chosen for speed and robustness: on some broken streams GDCM crashes the process and
# pylibjpeg-rle raises something that is not an Exception. If a decoder is missing, any other is used.
_PREFERRED = {
    **dict.fromkeys(_JPEG_8_OR_12, "pillow"),
    **dict.fromkeys(_JPEG_LOSSLESS, "gdcm"),
    **dict.fromkeys(_JPEG_LS, "pyjpegls"),
    **dict.fromkeys(_JPEG_2000, "pylibjpeg"),
    _RLE: "pydicom",
}
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
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
    """

    codes: NDArray[np.uint8] | NDArray[np.uint16]
    bits: int
    signed: bool


def decode(header: Header, path: str) -> Stored:
    """Decode the first frame.

    Raises
    ------
    InputError
        Of kind ``too_large``, ``too_small``, ``photometric`` or ``codec``. Other exceptions come from the
        decoders and mean a broken file.
    """
    layout = _layout(header, path)
    decoder = _decoder(header.syntax, path)
    codestream = None
    if decoder.is_encapsulated:
        codestream = _check_codestream(header, layout, path)
    else:
        _check_length(header, layout, path)
    if codestream and codestream.precision == 12 and header.syntax in _JPEG_8_OR_12:
        samples = _decode_12_bit(codestream, path)
    else:
        preferred = _PREFERRED.get(header.syntax, "")
        plugin = preferred if preferred in decoder.available_plugins else ""
        layout["view_only"] = not decoder.is_encapsulated
        samples = decoder.as_array(header.file, index=0, decoding_plugin=plugin, **layout)[0]
    bits, signed = int(layout["bits_stored"]), bool(layout["pixel_representation"])
    shift = max(0, header.whole("HighBit", bits - 1) + 1 - bits)
    # JPEG and JPEG-LS have no signed values: negative values are bit patterns there and cannot be clipped.
    if header.syntax in _LOSSY and (not signed or header.syntax in _JPEG_2000):
        samples, shift = _saturated(samples, bits, signed), 0
    return Stored(_masked(samples, bits, shift), bits, signed)


def _layout(header: Header, path: str) -> dict[str, Any]:
    """Read and check the image pixel attributes, in the form that pydicom's decoders take."""
    rows, columns = header.whole("Rows", 0), header.whole("Columns", 0)
    check_size(rows, columns, path)
    samples = header.whole("SamplesPerPixel", 1)
    allocated, stored = header.whole("BitsAllocated", 0), header.whole("BitsStored", 0)
    photometric = header.code("PhotometricInterpretation")
    named = photometric if photometric in _DEFINED_COLOURS else "unknown colours"
    known = photometric in (_COLOURS if samples == 3 else ("MONOCHROME1", "MONOCHROME2"))
    if not known or samples not in (1, 3):
        raise _not_shown(f"{samples} samples per pixel of {named} cannot be displayed", path)
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
        "pixel_vr": header.pixel_vr or "OW",
        "correct_unused_bits": False,
    }


def _not_shown(what: str, path: str) -> InputError:
    remedy = "give a greyscale or RGB image of 8 to 16 bits"
    return InputError(what, where=path, remedy=remedy, kind="photometric")


def _check_length(header: Header, layout: dict[str, Any], path: str) -> None:
    """Refuse truncated uncompressed pixels, and compressed pixels in a file that names no syntax."""
    if header.pixel_length == UNDEFINED_LENGTH:
        remedy = "export the file again with its file meta information"
        raise InputError(
            "the pixels are compressed, but the transfer syntax is missing",
            where=path,
            remedy=remedy,
            kind="codec",
        )
    samples = layout["rows"] * layout["columns"] * layout["samples_per_pixel"]
    if layout["photometric_interpretation"] == "YBR_FULL_422":
        samples = samples * 2 // 3
    start = header.file.tell()
    available = min(header.pixel_length, header.file.seek(0, os.SEEK_END) - start)
    header.file.seek(start)
    if available < samples * layout["bits_allocated"] // 8:
        raise _ends_early(path)


def _ends_early(path: str) -> InputError:
    return InputError("the pixel data are truncated", where=path, remedy="copy or export the file again")


def _check_codestream(header: Header, layout: dict[str, Any], path: str) -> Codestream | None:
    """Refuse compressed pixels whose size differs from the attributes, before memory is allocated."""
    from pydicom.encaps import get_frame

    start = header.file.tell()
    if not fragments_are_whole(header.file):
        raise _ends_early(path)
    header.file.seek(start)
    frame = get_frame(header.file, 0, number_of_frames=layout["number_of_frames"])
    header.file.seek(start)
    if header.syntax == _RLE:
        return None
    codestream = codestream_of(frame)
    broken = "the header of the compressed image is broken"
    if codestream:
        declared = (codestream.width, codestream.height, codestream.samples)
        wanted = (layout["columns"], layout["rows"], layout["samples_per_pixel"])
        if declared == wanted and codestream.precision <= layout["bits_allocated"]:
            return codestream
        broken = "the size or bit depth of the compressed image differs from the DICOM attributes"
    raise InputError(broken, where=path, remedy="copy or export the file again")


def _decode_12_bit(codestream: Codestream, path: str) -> NDArray[Any]:
    try:
        from imagecodecs import jpeg_decode
    except ImportError:
        raise InputError(
            "12-bit JPEG needs a decoder that is not installed",
            where=path,
            remedy='pip install "tier-cli[codecs]"',
            kind="codec",
        ) from None
    samples: NDArray[Any] = jpeg_decode(codestream.content)
    return samples


def _decoder(syntax: str, path: str) -> Decoder:
    """Return pydicom's decoder for a transfer syntax."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    silence_gdcm()
    try:
        decoder = get_decoder(UID(syntax))
    except NotImplementedError:
        remedy = "save it as Explicit VR Little Endian"
        raise InputError(
            "the transfer syntax is not supported", where=path, remedy=remedy, kind="codec"
        ) from None
    if not decoder.is_available:
        # pylibjpeg-libjpeg would work too, but is not suggested because of its licence (GPL).
        wanted = [name for name in decoder.missing_dependencies if "libjpeg-libjpeg" not in name]
        remedy = f"install one of: {'; '.join(wanted)}"
        raise InputError(f"no decoder for {decoder.UID.name}", where=path, remedy=remedy, kind="codec")
    return decoder


def _masked(samples: NDArray[Any], bits: int, shift: int) -> NDArray[Any]:
    """Keep only the stored bits; the bits above them may hold overlays or signs."""
    codes: NDArray[Any] = np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))
    codes = codes.view(f"u{codes.itemsize}")
    if shift:
        codes = codes >> shift
    if codes.itemsize > 2:
        codes = (codes & 0xFFFF).astype(np.uint16)
    return codes if bits == 8 * codes.itemsize else codes & ((1 << bits) - 1)


def _saturated(samples: NDArray[Any], bits: int, signed: bool) -> NDArray[Any]:
    """Clip to the stored bits: a lossy codec overshoots them, and masking would turn white into black."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    kind = np.iinfo(samples.dtype)
    if kind.min < low or kind.max > high:
        samples = samples.clip(max(low, kind.min), min(high, kind.max))
    return samples
