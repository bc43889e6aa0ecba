"""Pictures show each patch where it lies, on one scale, and what they say is in the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from explanations import GRID, SCALE, explanation, finding, one_high
from PIL import Image, ImageCms

from tier_cli.maps.colours import ABOVE, BELOW, OPACITY, Colours, colours_of
from tier_cli.maps.overlay import overlaid, scaled
from tier_cli.maps.sheet import Drawn, sheet
from tier_cli.maps.thumbnail import thumbnail

BLACK = np.zeros((360, 240), np.uint8)


def _lab(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return a colour in CIELAB, each value in 8 bits, as littlecms computes it."""
    convert = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    shown = ImageCms.applyTransform(Image.new("RGB", (1, 1), colour), convert)
    assert shown is not None
    return shown.getpixel((0, 0))  # type: ignore[return-value]


def test_neither_colour_looks_stronger_than_the_other() -> None:
    (above, *_), (below, *_) = _lab(ABOVE), _lab(BELOW)
    assert abs(above - below) < 0.05 * 255
    # Blue against yellow is what people with red-green blindness see.
    assert _lab(ABOVE)[2] - _lab(BELOW)[2] > 80


def test_opacity_is_proportional_to_similarity_and_equal_on_both_sides() -> None:
    colours = colours_of(replace(SCALE, ranges={"difference": (-0.2, 0.4)}), "difference")
    rgba = colours.rgba(np.array([0.0, 0.1, 0.2, 0.4, 0.9, -0.1, np.nan]))
    assert rgba[:, 3] / OPACITY == pytest.approx([0, 0.25, 0.5, 1, 1, 0.25, 0])
    assert rgba[1, :3].tolist() == list(ABOVE)
    assert rgba[5, :3].tolist() == list(BELOW)


def test_a_range_without_zero_is_transparent_at_its_low_end() -> None:
    assert Colours.over(0.1, 0.5).rgba(np.array([0.0, 0.1, 0.3]))[:, 3] == pytest.approx([0, 0, OPACITY / 2])


@pytest.mark.parametrize("scale", [1, 0.5, 1.3])
def test_a_patch_is_drawn_where_it_lies(scale: float) -> None:
    size = round(360 * scale), round(240 * scale)
    one = finding(values=one_high(1, 2))
    shown = np.asarray(overlaid(np.zeros(size, np.uint8), GRID, one, colours_of(SCALE, "difference")))
    rows, columns = np.nonzero(shown[..., 0] > shown[..., 2])
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / scale
    assert box == pytest.approx(GRID.box(1, 2), abs=0.5 / scale + 1e-9)
    full = GRID.to_source(one.values)
    if scale == 1:
        np.testing.assert_array_equal(shown[..., 0] > shown[..., 2], np.nan_to_num(full) == 1)


def test_what_the_model_does_not_see_is_hatched_and_gets_no_colour() -> None:
    one = finding(values=np.ones((3, 4)))
    grey = np.full((360, 240), 100, np.uint8)
    shown = np.asarray(overlaid(grey, GRID, one, colours_of(SCALE, "difference"))).astype(int)
    unseen = np.isnan(GRID.to_source(one.values))
    assert (shown[unseen].max(axis=-1) == shown[unseen].min(axis=-1)).all()
    assert set(np.unique(shown[unseen])) == {40, 70}
    assert (shown[~unseen][:, 0] > shown[~unseen][:, 2]).all()
    alone = np.asarray(overlaid(grey, GRID, None, Colours.over(0, 1)))
    assert (alone[~unseen] == 100).all()


def test_a_picture_keeps_its_proportions() -> None:
    assert scaled(BLACK, 100, 100).shape == (100, 67)
    assert scaled(BLACK.T, 100, 100).shape == (67, 100)


def test_a_map_has_the_same_colours_beside_any_other_unless_stretched() -> None:
    low, high = (finding(values=factor * one_high(0, 0)) for factor in (0.1, 1))
    fixed = [list(Drawn(explanation(low, *more), (low, *more)).tiles(99, 99))[1] for more in ((), (high,))]
    assert fixed[0] == fixed[1]
    stretched = [
        list(Drawn(explanation(low, *more), (low, *more), stretch=True).tiles(99, 99))[1]
        for more in ((), (high,))
    ]
    assert stretched[0] != stretched[1]
    assert stretched[0] != fixed[0]


@pytest.mark.parametrize("label", ["Effusion", "word " * 300, "x" * 100_000, "Erguß\n\x1b[31m", ""])
def test_any_text_fits_into_a_sheet(label: str) -> None:
    one = replace(finding(threshold=0.2), label=label)
    drawn = Drawn(explanation(one, one, one, one, one), (one,) * 5)
    image = sheet(drawn, 120)
    assert image.width == 4 * (120 + 16) + 16
    assert sheet(Drawn(drawn.explanation, (one,)), 120, with_picture=False).width == 120 + 32


def test_a_sheet_says_that_its_colours_are_stretched_and_shows_the_notes() -> None:
    one = finding()
    plain, noted = (explanation(one, notes=notes) for notes in ((), ("a note",)))
    assert sheet(Drawn(noted, (one,))).height > sheet(Drawn(plain, (one,))).height
    said = np.asarray(sheet(Drawn(plain, (one,), stretch=True)))[-150:]
    usual = np.asarray(sheet(Drawn(plain, (one,))))[-150:]
    warning = np.array([255, 190, 90])
    assert (np.abs(said - warning).sum(axis=-1) < 60).any()
    assert not (np.abs(usual.astype(int) - warning).sum(axis=-1) < 60).any()


def test_a_thumbnail_is_small() -> None:
    one = finding(threshold=0.2)
    image = thumbnail(explanation(one), one, 96)
    assert image.size == (64, 96 + 28)
