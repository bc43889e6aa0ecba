"""The bits of a score depend on the image alone: a run that is resumed batches images in another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import SIZE, tiny_checkpoint

from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.open_engine import open_engine
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.scoring.products import row_products

DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(7, 3, SIZE, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("bits") / "tiny")


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_neither_neighbours_nor_place_in_the_batch_matter(folder: Path, engine: str) -> None:
    member = open_job(str(folder), engine=engine, device="cpu").members[0]
    every = member.score(IMAGES)
    for part in (slice(0, 1), slice(2, 4), slice(3, 7), slice(None, None, -1)):
        np.testing.assert_array_equal(member.score(IMAGES[part]), every[part])
    for whole, alone in zip(
        member.engine.features(IMAGES)[:2], member.engine.features(IMAGES[5:6])[:2], strict=True
    ):
        np.testing.assert_array_equal(whole[5:6], alone)


def test_the_number_of_threads_does_not_matter(folder: Path) -> None:
    """Shards of one run may be scored on machines with other numbers of CPUs."""
    one, three = (
        open_engine(open_checkpoint(str(folder)), "onnx", "cpu", threads).encode_images(IMAGES)
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one, three)


def test_an_empty_batch_has_the_width_of_the_others(folder: Path) -> None:
    engine = open_engine(open_checkpoint(str(folder)), "onnx", "cpu")
    assert engine.encode_images(IMAGES[:0]).shape == (0, 12)


def test_products_of_rows_are_the_matrix_product() -> None:
    images, directions = DRAW.normal(size=(9, 130)), DRAW.normal(size=(130, 17)).T
    every = row_products(images, directions)
    np.testing.assert_allclose(every, images @ directions.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(row_products(images[4:6], directions), every[4:6])
    assert row_products(images[:0], directions).shape == (0, 17)
