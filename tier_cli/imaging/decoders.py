"""Decode one compressed frame of a DICOM file, with the decoder that is the best for its format."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tier_cli.errors import InputError
from tier_cli.imaging.codestream import Codestream, scan_fault, without_padding
from tier_cli.imaging.damage import damaged
from tier_cli.imaging.guard import silence_gdcm
from tier_cli.imaging.jpeg import check_12_bit, check_jpeg, decode_jpeg
from tier_cli.imaging.lower import Lower, lower_j2k
from tier_cli.imaging.rle import unpacked_rle

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

    from tier_cli.imaging.reduction import Extent

_JPEG_8_OR_12 = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
LOSSY = (*_JPEG_8_OR_12, _JPEG_LS[1], JPEG_2000[1], "1.2.840.10008.1.2.4.203")
RLE = "1.2.840.10008.1.2.5"
# Decoders in the order in which they are tried, chosen for speed and robustness: on some broken streams GDCM
# crashes the process and pylibjpeg-rle raises something that is no Exception. If none of them is installed,
# any other is used.
_PREFERRED = {
    **dict.fromkeys(_JPEG_8_OR_12, ("pillow",)),
    **dict.fromkeys(_JPEG_LOSSLESS, ("gdcm",)),
    **dict.fromkeys(_JPEG_LS, ("pyjpegls",)),
    **dict.fromkeys(JPEG_2000, ("pylibjpeg", "pillow")),
    RLE: ("pydicom",),
}


def decompressed(
    frame: bytes, codestream: Codestream | None, syntax: str, layout: dict[str, Any], path: str, most: int
) -> tuple[NDArray[Any], Extent | None]:
    """Decode a frame with the first decoder that can, and JPEG-LS also without its padding.

    Parameters
    ----------
    frame, codestream
        The frame, and its header; None for RLE.
    syntax
        The UID of the transfer syntax that the frame really has.
    layout
        The image pixel attributes, as pydicom's decoders take them.
    path
        The file, for messages.
    most
        How many pixels, in each direction, may become one where that saves decoding.

    Returns
    -------
    The samples, and where the image lies in them if they show it at a lower resolution; else None.

    Raises
    ------
    InputError
        The frame is damaged, or no decoder is installed. Other exceptions come from the decoders.
    """
    from pydicom.encaps import encapsulate

    decoder = decoder_of(syntax, path)
    if codestream and syntax not in _JPEG_LS and (fault := scan_fault(frame)):
        raise damaged(fault, path)
    if most > 1 and codestream and (lower := _lower(codestream, layout, most)):
        return lower
    if syntax == RLE and (unpacked := unpacked_rle(frame, layout)) is not None:
        return unpacked, None
    if codestream and syntax in _JPEG_8_OR_12:
        if codestream.precision == 12:
            return _decode_12_bit(codestream, path), None
        with _refused_if_broken(path):
            if codestream.samples == 1:
                return decode_jpeg(codestream.content, colour=False), None
            check_jpeg(codestream.content)
    plugins = [name for name in _PREFERRED.get(syntax, ()) if name in decoder.available_plugins] or [""]
    layout = {**layout, "number_of_frames": 1}
    first: Exception | None = None
    for content in _versions(frame, syntax):
        for plugin in plugins:
            try:
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")
                    samples = decoder.as_array(
                        encapsulate([content]), index=0, decoding_plugin=plugin, **layout
                    )[0]
                # The decoder of RLE warns of segments that hold more than the image and cuts them off.
                if syntax == RLE and warned:
                    raise damaged("it holds more pixels than Rows and Columns say", path)
                return samples, None
            except (MemoryError, InputError):
                raise
            except Exception as error:  # noqa: BLE001 - decoders raise almost anything, see `guarded`
                first = first or error
    raise first or ValueError("no decoder")


def _versions(frame: bytes, syntax: str) -> Iterator[bytes]:
    """Yield a frame, and if it could not be decoded a JPEG-LS frame without its padding."""
    yield frame
    if syntax in _JPEG_LS and (bare := without_padding(frame)) != frame:
        yield bare


def _lower(codestream: Codestream, layout: dict[str, Any], most: int) -> Lower | None:
    """Decode a grey frame at a lower resolution if its samples are what the attributes say; else None."""
    signed, bits = bool(layout["pixel_representation"]), layout["bits_stored"]
    if not codestream.is_jpeg_2000 or codestream.samples != 1 or codestream.signed != signed:
        return None
    beyond = codestream.precision > bits
    lower = None if signed and beyond else lower_j2k(codestream, most)
    # Bits above the stored ones, which mark padding or overlays, must not be averaged.
    return None if lower is None or (beyond and lower.samples.max() >= 2**bits) else lower


@contextmanager
def _refused_if_broken(path: str) -> Iterator[None]:
    """Name what simplejpeg reports with a ValueError."""
    try:
        yield
    except ValueError:
        raise damaged("its compressed data are broken", path) from None


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
    with _refused_if_broken(path):
        check_12_bit(codestream.content, codestream.precision_at)
    samples: NDArray[Any] = jpeg_decode(codestream.content)
    return samples


def decoder_of(syntax: str, path: str) -> Decoder:
    """Return pydicom's decoder for a transfer syntax; raises `InputError` if there is none."""
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


def decodable_syntaxes() -> list[str]:
    """Return the UIDs of the transfer syntaxes that can be decoded with the packages installed.

    JPEG Extended is listed only with the decoder of its 12-bit images.
    """
    from importlib.util import find_spec

    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import AllTransferSyntaxes

    found = []
    for syntax in AllTransferSyntaxes:
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:
            continue
        if decoder.is_available and (syntax != _JPEG_8_OR_12[1] or find_spec("imagecodecs") is not None):
            found.append(str(syntax))
    return found
