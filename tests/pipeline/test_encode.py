"""Embeddings of images and of corrupted copies, in order, each file read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_run import FakeEngine, fake_checkpoint
from numpy.typing import NDArray
from xrays import write_png

from tier_cli.errors import InputError
from tier_cli.findings.vectors import FindingVectors
from tier_cli.imaging.corrupt import Corruption, content_seed, corrupt
from tier_cli.imaging.preprocess import prepare
from tier_cli.imaging.read import read_radiograph
from tier_cli.pipeline.encode import embeddings, patch_maps
from tier_cli.pipeline.scorer import Scorer
from tier_cli.pipeline.stream import StreamOptions

DAMAGE = (Corruption("noise", 0.2), Corruption("inversion", 1), Corruption("crop", 0.7))


class PatchEngine(FakeEngine):
    """The patches are the mean grey of each quarter."""

    def patches(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Give (N, 4, 1) in a grid of 2 x 2."""
        half = pixels.shape[-1] // 2
        quarters = pixels[:, 0].reshape(len(pixels), 2, half, 2, half).mean(axis=(2, 4))
        return quarters.reshape(len(pixels), 4, 1), (2, 2)


@pytest.fixture
def member(vectors: FindingVectors) -> Scorer:
    return Scorer(fake_checkpoint(), PatchEngine(), vectors)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Seven images, the third broken."""
    files = [write_png(tmp_path / f"{number}.png", number) for number in range(7)]
    files[2].write_bytes(files[2].read_bytes()[:60])
    return [str(path) for path in files]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_every_variant_is_that_of_its_image(
    member: Scorer, paths: list[str], workers: int, batch_size: int
) -> None:
    ticks: list[int] = []
    options = StreamOptions(workers=workers, batch_size=batch_size)
    results = list(embeddings(paths, member, options, DAMAGE, 3, lambda: ticks.append(1)))
    assert len(ticks) == 7
    assert isinstance(member.engine, PatchEngine)
    assert max(member.engine.batches) <= batch_size
    assert isinstance(results[2], InputError)
    spec = member.checkpoint.preprocessing
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, InputError):
            continue
        pixels = read_radiograph(path).pixels
        seed = (3, content_seed(pixels))
        shown = [pixels, *(corrupt(pixels, one, seed) for one in DAMAGE)]
        expected = [prepare(one, spec).pixels.mean() for one in shown]
        np.testing.assert_allclose(result[:, 0], expected, atol=1e-5)


def test_a_copy_under_another_name_is_corrupted_in_the_same_way(
    member: Scorer, paths: list[str], tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(Path(paths[0]).read_bytes())
    one, two = embeddings([paths[0], str(copy)], member, StreamOptions(workers=0), DAMAGE)
    np.testing.assert_array_equal(one, two)


def test_patches_come_with_the_way_back_to_the_file(member: Scorer, paths: list[str]) -> None:
    maps = list(patch_maps(paths, member, StreamOptions(workers=0, batch_size=3)))
    assert isinstance(maps[2], InputError)
    first = maps[0]
    assert not isinstance(first, InputError)
    pixels = read_radiograph(paths[0]).pixels
    prepared = prepare(pixels, member.checkpoint.preprocessing)
    assert first.grid.size == pixels.shape
    assert (first.grid.rows, first.grid.columns, first.grid.side) == (2, 2, prepared.pixels.shape[-1])
    np.testing.assert_allclose(first.grid.affine, prepared.affine)
    assert first.patches[3, 0] == pytest.approx(prepared.pixels[0, 16:, 16:].mean(), abs=1e-5)
