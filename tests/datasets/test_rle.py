"""Run lengths against masks written by hand, and against the compressed form as COCO's C code writes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tier_cli.datasets.rle import decode_mask, encode_mask, from_compressed, from_polygons, from_relative

RING = np.array([[0, 1, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]], dtype=bool)


def test_runs_go_down_the_columns_and_start_with_zeros() -> None:
    assert encode_mask(RING) == (2, 5, 1, 4)
    assert encode_mask(~RING) == (0, 2, 5, 1, 4)
    np.testing.assert_array_equal(decode_mask((2, 5, 1, 4), (3, 4)), RING)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_any_mask_comes_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_mask(encode_mask(mask), mask.shape), mask)


@pytest.mark.parametrize(
    ("counts", "size"), [((2, 5, 1), (3, 4)), ((2, 5, 1, 5), (3, 4)), ((-1, 13), (3, 4)), ((), (1, 1))]
)
def test_runs_that_do_not_fit_are_refused(counts: tuple[int, ...], size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"cover|negative"):
        decode_mask(counts, size)


def compressed(counts: Sequence[int]) -> str:
    """What rleToString of cocoapi's maskApi.c does, statement by statement."""
    text = ""
    for i, count in enumerate(counts):
        x = count - (counts[i - 2] if i > 2 else 0)
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            if more:
                c |= 0x20
            text += chr(c + 48)
    return text


def test_the_compressed_form_is_known() -> None:
    # 6 = "6"; 1 = "1"; 40 = 8 + 32 more = "X1"; 5 - 1 = "4"; 30 - 40 = -10 = "F" with its sign bit.
    assert from_compressed("61X14F") == (6, 1, 40, 5, 30)
    # So CheXlocalize writes the empty masks of images of 2320 x 2828 and 2022 x 2021 pixels.
    assert from_compressed("PVWX6") == (2320 * 2828,)
    assert from_compressed("nefl3") == (2022 * 2021,)


@given(st.lists(st.integers(0, 2_000_000), min_size=1, max_size=9))
def test_any_compressed_runs_come_back(counts: list[int]) -> None:
    assert list(from_compressed(compressed(counts))) == counts


@pytest.mark.parametrize(
    ("text", "message"),
    [("6 1", "' '"), ("6é", "'é'"), ("6X", "middle"), ("", "middle"), ("X" * 9 + "1", "too long")],
)
def test_texts_that_are_not_run_lengths_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_compressed(text)


def siim_mask(text: str, height: int, width: int) -> np.ndarray:
    """The challenge's own rle2mask with the transpose that its images need."""
    mask = np.zeros(width * height)
    numbers = [int(word) for word in text.split()]
    place = 0
    for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
        place += start
        mask[place : place + length] = 255
        place += length
    return mask.reshape(width, height).T > 0


@pytest.mark.parametrize("text", ["2 5 1 4", "0 1 10 1", "3 3", " 0 12 "])
def test_siims_offsets_are_relative_and_run_down_the_columns(text: str) -> None:
    mask = siim_mask(text, 3, 4)
    np.testing.assert_array_equal(decode_mask(from_relative(text, (3, 4)), (3, 4)), mask)


@pytest.mark.parametrize("text", ["", "1", "1 2 3", "-1 2", "1 a", "5 8"])
def test_siims_runs_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pairs|whole numbers|exceed"):
        from_relative(text, (3, 4))


def test_polygons_are_filled_and_joined() -> None:
    square = [[1, 1], [4, 1], [4, 4], [1, 4]]
    other = [[3, 3], [6, 3], [6, 6], [3, 6]]
    mask = decode_mask(from_polygons([square, other], (8, 10)), (8, 10))
    truth = np.zeros((8, 10), dtype=bool)
    truth[1:5, 1:5] = truth[3:7, 3:7] = True
    np.testing.assert_array_equal(mask, truth)


def test_a_polygon_that_crosses_itself_has_a_hole() -> None:
    # A pentagram: its middle lies inside an even number of turns.
    corners = [(50 + 45 * np.sin(a), 50 - 45 * np.cos(a)) for a in np.arange(5) * 4 * np.pi / 5]
    mask = decode_mask(from_polygons([corners], (100, 100)), (100, 100))
    assert not mask[50, 50]
    assert mask[15, 50]


def test_a_polygon_needs_corners() -> None:
    with pytest.raises(ValueError, match="fewer than two"):
        from_polygons([[[1, 1]]], (4, 4))
