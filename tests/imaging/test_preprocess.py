"""From a radiograph to a tower's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tier_cli.errors import CheckpointError
from tier_cli.imaging.preprocess import Preprocessing, grey, normalise, prepare
from tier_cli.imaging.resample import resize


def image(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((height, width), np.float32)


def ramp(height: int, width: int) -> NDArray[np.float32]:
    """Return grey levels that rise from left to right."""
    row = (np.arange(width, dtype=np.float32) + 1) / np.float32(width + 1)
    return np.broadcast_to(row.astype(np.float32), (height, width))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(50, 40), (200, 150)])
def test_resizing_is_torchs(interpolation: Any, antialias: bool, size: tuple[int, int]) -> None:
    source = image(90, 120)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(source)[None, None],
        size,
        mode=interpolation,
        antialias=antialias,
        align_corners=False,
    )
    found = resize(source, *size, interpolation, antialias=antialias)
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=2e-5)


def test_lanczos_is_pillows() -> None:
    source = image(90, 120)
    expected = np.asarray(Image.fromarray(source).resize((40, 50), Image.Resampling.LANCZOS))
    np.testing.assert_allclose(resize(source, 50, 40, "lanczos"), expected)
    # Without widening the filter, enlarging is the same thing.
    larger = np.asarray(Image.fromarray(source).resize((240, 180), Image.Resampling.LANCZOS))
    found = resize(source, 180, 240, "lanczos", antialias=False)
    # But for the edges, which this project repeats and Pillow leaves out.
    np.testing.assert_allclose(found[8:-8, 8:-8], larger[8:-8, 8:-8], atol=1e-5)


def test_crop_is_resize_and_centre_crop() -> None:
    source = image(300, 401)
    found = grey(source, Preprocessing(resize_short=256, crop=224))
    resized = np.asarray(Image.fromarray(source).resize((401 * 256 // 300, 256), Image.Resampling.BILINEAR))
    left = round((resized.shape[1] - 224) / 2)
    np.testing.assert_allclose(found, resized[16:240, left : left + 224], atol=1e-6)


def test_pad_and_stretch() -> None:
    source = image(100, 200)
    padded = grey(source, Preprocessing(resize_short=None, crop=64, fit="pad"))
    assert padded[:16].max() == padded[48:].max() == 0
    assert padded[16:48].min() > 0
    np.testing.assert_allclose(padded[16:48], resize(source, 32, 64, "bilinear"), atol=1e-6)
    stretched = grey(source, Preprocessing(resize_short=None, crop=64, fit="stretch"))
    np.testing.assert_allclose(stretched, resize(source, 64, 64, "bilinear"), atol=1e-6)


def test_a_crop_larger_than_the_image_is_padded() -> None:
    found = grey(image(100, 100), Preprocessing(resize_short=50, crop=64))
    assert found.shape == (64, 64)
    assert found[:7].max() == found[:, 57:].max() == 0


def test_grey_levels_never_leave_their_range() -> None:
    edges = np.repeat(np.array([[0.0, 1.0]], np.float32), 50, axis=0).repeat(50, axis=1)
    for interpolation in ("bicubic", "lanczos"):
        found = grey(edges, Preprocessing(crop=150, resize_short=None, interpolation=interpolation))
        assert (found.min(), found.max()) == (0, 1)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(64, 300),
    width=st.integers(64, 300),
    fit=st.sampled_from(["crop", "pad", "stretch"]),
    short=st.integers(48, 90),
)
def test_the_affine_leads_back_to_the_source(height: int, width: int, fit: Any, short: int) -> None:
    # Grey levels that say where they are: bilinear resampling keeps a ramp a ramp.
    spec = Preprocessing(resize_short=short if fit == "crop" else None, crop=48, fit=fit, antialias=False)
    ramp_x, ramp_y = ramp(height, width), ramp(width, height).T
    affine = prepare(ramp_x, spec).affine
    shown_x, shown_y = grey(ramp_x, spec), grey(ramp_y, spec)
    for row, column in ((24, 24), (20, 30), (28, 19)):
        if shown_x[row, column] == 0:
            continue
        x, y = affine @ (column, row, 1)
        assert shown_x[row, column] == pytest.approx((np.clip(x, 0, width - 1) + 1) / (width + 1), abs=1e-4)
        assert shown_y[row, column] == pytest.approx((np.clip(y, 0, height - 1) + 1) / (height + 1), abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(64, 300), width=st.integers(64, 300))
def test_the_affine_leads_back_through_both_steps(height: int, width: int) -> None:
    spec = Preprocessing(resize_short=None, crop=48, fit="pad", antialias=False, rounding="floor", square=70)
    rising = ramp(height, width)
    prepared = prepare(rising, spec)
    levels = prepared.pixels[0] * spec.std[0] + spec.mean[0]
    x, y = prepared.affine @ (25, 22, 1)
    assert levels[22, 25] == pytest.approx((x + 1) / (width + 1), abs=4e-3)
    turned = prepare(rising.T.copy(), spec)
    assert (turned.affine @ (22, 25, 1)).tolist() == pytest.approx([y, x])


def test_eight_bits_are_pillows() -> None:
    source = image(300, 401)
    source[:40] = 200 / 255
    spec = Preprocessing(resize_short=60, crop=48, interpolation="bicubic", eight_bit=True)
    levels = Image.fromarray((source * 255 + 1e-3).astype(np.uint8))
    resized = np.asarray(levels.resize((401 * 60 // 300, 60), Image.Resampling.BICUBIC))
    left = round((resized.shape[1] - 48) / 2)
    np.testing.assert_allclose(grey(source, spec) * 255, resized[6:54, left : left + 48], atol=1e-4)
    plain = Preprocessing(resize_short=None, crop=48, fit="stretch", eight_bit=True, antialias=False)
    found = grey(source, plain) * 255
    np.testing.assert_allclose(found, np.rint(found), atol=1e-4)
    assert found[0, 0] == pytest.approx(200)


@pytest.mark.parametrize("rounding", ["round", "floor"])
def test_margins_are_rounded_or_floored(rounding: Any) -> None:
    # 51 - 48 leaves a margin of 1.5: torchvision's CenterCrop begins at 2, transformers' at 1.
    source = image(51, 51)
    found = grey(source, Preprocessing(resize_short=51, crop=48, rounding=rounding))
    first = 2 if rounding == "round" else 1
    np.testing.assert_allclose(found, source[first : first + 48, first : first + 48], atol=1e-6)
    padded = grey(source[:43], Preprocessing(resize_short=None, crop=51, fit="pad", rounding=rounding))
    assert padded[:4].max() == padded[-4:].max() == 0
    assert padded[4:-4].max(axis=1).min() > 0


def test_values_resampled_after_normalising_may_leave_the_range() -> None:
    edge = np.repeat(np.array([[0.0, 1.0]], np.float32), 60, axis=1).repeat(120, axis=0)
    spec = Preprocessing(resize_short=None, crop=44, fit="pad", square=120, mean=(0.4,) * 3, std=(0.3,) * 3)
    normalised = torch.from_numpy((edge - 0.4) / 0.3)[None, None]
    expected = torch.nn.functional.interpolate(normalised, (44, 44), mode="bicubic", align_corners=False)
    found = prepare(edge, spec).pixels
    np.testing.assert_allclose(found[1], expected[0, 0].numpy(), atol=1e-5)
    # Training stores bytes, which have no room beyond.
    assert (grey(edge, spec).min(), grey(edge, spec).max()) == (0, 1)
    assert found.max() * 0.3 + 0.4 > 1.01


def test_files_of_earlier_releases_keep_their_meaning_and_hash() -> None:
    spec = Preprocessing()
    assert not {"eight_bit", "rounding", "square"} & set(spec.to_dict())
    assert Preprocessing.from_dict(spec.to_dict()) == spec
    later = Preprocessing(resize_short=None, fit="pad", eight_bit=True, rounding="floor", square=320)
    assert {"eight_bit", "rounding", "square"} <= set(later.to_dict())
    assert Preprocessing.from_dict(later.to_dict()) == later


def test_prepared_input_is_normalised() -> None:
    spec = Preprocessing()
    source = image(300, 300)
    prepared = prepare(source, spec)
    assert prepared.pixels.dtype == np.float32
    assert prepared.affine.dtype == np.float64
    assert (prepared.pixels.shape, prepared.affine.shape) == ((3, 224, 224), (2, 3))
    mean, std = np.array(spec.mean)[:, None, None], np.array(spec.std)[:, None, None]
    np.testing.assert_allclose(prepared.pixels, (grey(source, spec) - mean) / std, atol=1e-5)
    batch = np.stack([grey(source, spec)] * 2)
    np.testing.assert_array_equal(normalise(batch, spec)[1], prepared.pixels)


def test_the_specification_survives_json() -> None:
    spec = Preprocessing(
        rendering="minmax-equalized", resize_short=None, crop=64, fit="pad", mean=(0.5, 0.5, 0.5)
    )
    assert Preprocessing.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crops": 3}, "unknown key crops"),
        ({"crop": None}, "crop is None"),
        ({"crop": 0}, "crop is 0"),
        ({"fit": "squeeze"}, "fit is 'squeeze'"),
        ({"rendering": "jpeg"}, "rendering is 'jpeg'"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'"),
        ({"antialias": 1}, "antialias is 1"),
        ({"eight_bit": 1}, "eight_bit is 1"),
        ({"rounding": "ceil"}, "rounding is 'ceil'"),
        ({"square": 0}, "square is 0"),
        ({"fit": "pad"}, "resize_short is 256"),
        ({"mean": [0.5]}, "mean is"),
        ({"std": [1, 1, 0]}, "std is"),
        ({"std": "abc"}, "std is"),
    ],
)
def test_a_wrong_specification_is_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Preprocessing.from_dict({**Preprocessing().to_dict(), **change})


def test_a_missing_key_is_an_error() -> None:
    data = Preprocessing().to_dict()
    del data["std"]
    with pytest.raises(CheckpointError, match="missing key std"):
        Preprocessing.from_dict(data)


@pytest.mark.parametrize("shape", [(31, 57), (300, 120), (240, 240)])
def test_the_way_back_from_a_padded_square(shape: tuple[int, int]) -> None:
    """A bright pixel lies where the affine says, so boxes and heat maps fall on the finding."""
    spec = Preprocessing(resize_short=None, crop=224, fit="pad_first", mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = np.zeros(shape, np.float32)
    row, column = shape[0] // 3, shape[1] // 2
    pixels[row - 2 : row + 3, column - 2 : column + 3] = 1.0
    made = prepare(pixels, spec)
    weight = made.pixels[0] / made.pixels[0].sum()
    y, x = (float((weight * index).sum()) for index in np.indices(weight.shape))
    found = made.affine @ np.array([x, y, 1.0])
    np.testing.assert_allclose(found, [column, row], atol=0.05)


@pytest.mark.parametrize("shape", [(40, 90), (300, 120)])
def test_padding_first_is_pillows(shape: tuple[int, int]) -> None:
    """Black around the image before it is resized, so its edge is blurred into black, as MedCLIP's is."""
    source = (image(*shape) * 255).astype(np.uint8)
    side = max(224, *shape)
    square = Image.new("L", (side, side), 0)
    square.paste(Image.fromarray(source), ((side - shape[1]) // 2, (side - shape[0]) // 2))
    expected = np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
    spec = Preprocessing(resize_short=None, fit="pad_first", interpolation="bicubic", eight_bit=True)
    levels = np.divide(source, 255, dtype=np.float32)
    np.testing.assert_allclose(grey(levels, spec) * 255, expected, atol=1e-4)
