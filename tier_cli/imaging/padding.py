"""Read which stored values mark padding: pixels outside the image (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from tier_cli.imaging.header import Header


def padding_words(header: Header, signed: bool) -> tuple[int, int] | None:
    """Return the range of PixelPaddingValue as words of BitsAllocated; None if the header states none."""
    if not header.numbers("PixelPaddingValue"):
        return None
    value = header.whole("PixelPaddingValue", 0)
    allocated = header.whole("BitsAllocated", 16)
    words = []
    for number in (value, header.whole("PixelPaddingRangeLimit", value)):
        # Often written with the wrong sign: the bit pattern counts.
        word = number % 2**allocated
        words.append(word - 2**allocated if signed and word >= 2 ** (allocated - 1) else word)
    return min(words), max(words)


def padding_range(header: Header, bits: int, signed: bool) -> tuple[int, int] | None:
    """Return the range of padding among the values that `bits` bits can hold; None if there is none.

    A padding value beyond the stored bits does not stand for its lowest bits: 65535 is no 12-bit 4095.
    """
    words = padding_words(header, signed)
    if words is None:
        return None
    half, full = 2 ** (bits - 1), 2**bits
    if signed:
        # A signed value may be given as the pattern of its stored bits alone.
        first, last = (word - full if half <= word < full else word for word in words)
        words, lowest, highest = (min(first, last), max(first, last)), -half, half - 1
    else:
        lowest, highest = 0, full - 1
    low, high = max(words[0], lowest), min(words[1], highest)
    return (low, high) if low <= high else None
