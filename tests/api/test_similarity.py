"""Similarity maps lead back to the pixels that they are about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_checkpoint
from xrays import picture as grey_levels

import tier_cli as tier


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tier.Model:
    return tier.load(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"), device="cpu")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "x.png"
    Image.fromarray(grey_levels(0, 144, 288)).save(path)
    return path


def test_values_are_cosines_of_patches(model: tier.Model, picture: Path) -> None:
    maps = model.similarity(picture, ["effusion", "no effusion"])
    assert maps.values.shape == (2, 4, 4)
    assert maps.values.dtype == np.float32
    assert np.abs(maps.values).max() <= 1
    assert maps.size == tier.read_image(picture).pixels.shape
    (embedded,) = model.embed([picture], patches=True)
    assert embedded.patches is not None
    expected = model.encode_text(["effusion", "no effusion"]) @ embedded.patches.T
    np.testing.assert_allclose(maps.values.reshape(2, 16), expected, atol=1e-6)


def test_maps_and_boxes_lie_where_the_model_looks(model: tier.Model, picture: Path) -> None:
    """The tiny checkpoint resizes 144 x 288 to 36 x 72 and cuts out 32 x 32: 128 x 128 source pixels."""
    maps = model.similarity(picture, "effusion")
    assert maps.box(0, 0) == pytest.approx((80, 8, 112, 40))
    assert maps.box(3, 3) == pytest.approx((176, 104, 208, 136))
    assert maps.extent == pytest.approx((79.5, 207.5, 135.5, 7.5))
    full = maps.to_source()
    assert full.shape == maps.size
    assert np.isfinite(full).sum() == 128 * 128
    for row in range(4):
        for column in range(4):
            x0, y0, x1, y1 = (round(edge) for edge in maps.box(row, column))
            assert (full[y0:y1, x0:x1] == maps.values[0, row, column]).all()
    with pytest.raises(IndexError):
        maps.box(4, 0)


def test_the_affine_carries_input_pixels_to_the_source(model: tier.Model, picture: Path) -> None:
    maps = model.similarity(picture, "effusion")
    np.testing.assert_allclose(maps.affine @ [-0.5, -0.5, 1], [79.5, 7.5])


def test_a_model_without_patches_is_refused(
    model: tier.Model, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = model.job().engine
    meta = type("Meta", (), {"custom_metadata_map": {"grid": "0x0"}})()
    session = type("Session", (), {"get_modelmeta": lambda self: meta})()
    monkeypatch.setitem(vars(engine), "_image", session)
    with pytest.raises(tier.CheckpointError, match="no grid of patches"):
        model.similarity(picture, "effusion")
