"""Patches lead back to where a file stores its pixels, however the file is displayed."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from xrays import picture

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.decoding.protocol import outcome_from, receive, send_outcome
from tier_cli.imaging.orientation import Orientation
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.maps.patch_grid import PatchGrid, as_affine
from tier_cli.pipeline.encode import patch_map_of


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_boxes_and_affine_lead_to_the_stored_pixels(flags: tuple[bool, bool, bool]) -> None:
    orientation = Orientation(*flags)
    stored = np.arange(12 * 20).reshape(12, 20)
    shown = orientation.upright(stored)
    # Patches of 2 x 2 pixels of an input of 8 x 8 that lies two rows down and one column to the right.
    affine = as_affine([[1.0, 0.0, 1.0], [0.0, 1.0, 2.0]])
    grid = PatchGrid(4, 4, 8, affine, (shown.shape[0], shown.shape[1]), orientation)
    assert grid.stored_size == stored.shape
    for row, column in itertools.product(range(4), repeat=2):
        x0, y0, x1, y1 = map(int, grid.box(row, column))
        u0, v0, u1, v1 = map(int, grid.stored_box(grid.box(row, column)))
        assert set(stored[v0:v1, u0:u1].ravel()) == set(shown[y0:y1, x0:x1].ravel())
    x, y = map(int, np.array(grid.affine) @ (3, 5, 1))
    u, v = map(int, np.array(grid.stored_affine) @ (3, 5, 1))
    assert stored[v, u] == shown[y, x]


@pytest.mark.parametrize("workers_would_send", [False, True])
def test_the_orientation_of_a_file_reaches_its_patches(tmp_path: Path, workers_would_send: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a phone held sideways
    Image.fromarray(picture(side=80, width=120)).save(tmp_path / "a.png", exif=exif)
    settings = Settings(ReadOptions(), Preprocessing(resize_short=None, crop=32))
    image = decode(str(tmp_path / "a.png"), settings)
    assert isinstance(image, Decoded)
    if workers_would_send:
        image = _sent(image)
    grid = patch_map_of(image, np.zeros((16, 8), np.float32), (4, 4)).grid
    assert grid.turned
    assert (grid.size, grid.stored_size) == ((120, 80), (80, 120))


def _sent(image: Decoded) -> Decoded:
    stream = io.BytesIO()
    send_outcome(stream, image)
    stream.seek(0)
    message = receive(stream)
    assert message is not None
    found = outcome_from(*message)
    assert isinstance(found, Decoded)
    return found
