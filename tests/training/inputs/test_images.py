"""Training images: the same bytes stored or streamed, and unreadable images."""

from __future__ import annotations

import json
import resource
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from little import ROWS, batches, silent, trainer
from PIL import Image
from xrays import picture

from tier_cli.errors import InputError, ManifestError, UsageError
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.training.inputs.images import (
    AugmentedImages,
    StoredPixels,
    StreamedPixels,
    read_images,
    store_fits,
)
from tier_cli.training.settings import RunOptions

SPEC = Preprocessing(resize_short=36, crop=32)


@pytest.fixture
def paths(tmp_path):
    names = [str(tmp_path / f"{number}.png") for number in range(6)]
    for number, name in enumerate(names):
        Image.fromarray(picture(number, 70, 90)).save(name)
    return names


def stored(paths, folder, workers=0):
    folder.mkdir(exist_ok=True)
    file, bad = read_images(paths, SPEC, folder, workers, silent)
    return StoredPixels(file, np.arange(len(paths))), bad


def test_streamed_and_stored_images_have_the_same_bytes(paths, tmp_path):
    kept, _ = stored(paths, tmp_path / "a")
    by_processes, _ = stored(paths, tmp_path / "b", workers=2)
    streamed = StreamedPixels(paths, SPEC)
    for row in range(len(paths)):
        assert kept.read(row).shape == (36, 36)
        assert np.array_equal(kept.read(row), streamed.read(row))
        assert np.array_equal(kept.read(row), by_processes.read(row))


def test_augmentation_depends_only_on_the_place_of_the_draw(paths, tmp_path):
    images = AugmentedImages(StreamedPixels(paths, SPEC), SPEC, 3, replacement=lambda row: row + 1)
    together, _, _ = images.batch(np.array([4, 1, 2]), np.array([10, 11, 12]))
    alone, _, _ = images.batch(np.array([1]), np.array([11]))
    elsewhere, _, _ = images.batch(np.array([1]), np.array([12]))
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(elsewhere[0], alone[0])


def test_interrupted_reading_is_continued(paths, tmp_path):
    def stopping(stage, done, total, figures=None, epoch=None):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_images(paths, SPEC, tmp_path, 0, stopping)
    expected = StreamedPixels(paths, SPEC).read(0)
    Image.new("L", (90, 70)).save(paths[0])
    read: list[int] = []
    file, _ = read_images(paths, SPEC, tmp_path, 0, lambda stage, done, *others: read.append(done))
    assert read == [5, 6]
    assert np.array_equal(np.load(file)[0], expected)


def test_a_bad_image_is_named_and_tried_again(paths, tmp_path):
    shutil.move(paths[2], tmp_path / "elsewhere.png")
    _, bad = stored(paths, tmp_path)
    assert [(row, error.kind) for row, error in bad] == [(2, "missing")]
    shutil.move(tmp_path / "elsewhere.png", paths[2])
    assert stored(paths, tmp_path)[1] == []


def test_reading_stops_at_one_unreadable_image_too_many(paths, tmp_path):
    """Hours of reading must not end with an error that was known after a minute; what was read stays."""
    shutil.move(paths[2], tmp_path / "elsewhere.png")
    read: list[int] = []

    def watch(stage, done, total, figures=None, epoch=None):
        read.append(done)

    def refuse(bad):
        raise ManifestError(bad[2])

    with pytest.raises(ManifestError, match=r"2\.png"):
        read_images(paths, SPEC, tmp_path, 0, watch, refuse)
    assert read == [1, 2]
    shutil.move(tmp_path / "elsewhere.png", paths[2])
    read_images(paths, SPEC, tmp_path, 0, watch)
    assert read == [1, 2, 3, 4, 5, 6]


def test_deleted_squares_are_read_again(paths, tmp_path):
    """What is left of a folder must not make black squares of images."""
    stored(paths, tmp_path / "a")
    (file,) = (path for path in (tmp_path / "a").iterdir() if ".read." not in path.name)
    file.unlink()
    kept, _ = stored(paths, tmp_path / "a")
    assert kept.read(3).any()


def test_existing_squares_count_as_fitting(paths, tmp_path, monkeypatch):
    """A disk that they fill must not turn a run that is resumed to another way of reading."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    assert not store_fits(paths, SPEC, tmp_path)
    stored(paths, tmp_path)
    assert store_fits(paths, SPEC, tmp_path)


def test_a_streamed_image_that_cannot_be_read_is_replaced_and_told(paths):
    broken = [*paths[:3], "nowhere.png", *paths[4:]]
    images = AugmentedImages(StreamedPixels(broken, SPEC), SPEC, 0, replacement=lambda row: (row + 1) % 6)
    pixels, taken, bad = images.batch(np.array([3, 0]), np.array([0, 1]))
    assert taken.tolist() == [4, 0]
    assert [row for row, _ in bad] == [3]
    assert "nowhere.png" in bad[0][1]
    assert torch.isfinite(pixels).all()
    nothing = AugmentedImages(StreamedPixels(["nowhere.png"], SPEC), SPEC, 0, replacement=lambda row: 0)
    with pytest.raises(UsageError, match="in a row cannot be read"):
        nothing.batch(np.array([0]), np.array([0]))


class _Failing:
    """Pixels of which one row cannot be read."""

    def read(self, row):
        if row == 5:
            raise InputError("no such file", where="5.png")
        return np.full((36, 36), row, np.uint8)


@pytest.mark.parametrize("allowed", [0, 1])
def test_streamed_images_are_held_to_max_bad(allowed, tmp_path):
    made = trainer(tmp_path, epochs=1)
    images: Any = made.task.batches.images
    images._pixels = _Failing()
    object.__setattr__(made.task, "max_bad", allowed)
    if allowed:
        made.run(silent)
        assert list(made.bad) == [5]
    else:
        with pytest.raises(Exception, match=r"5\.png.*--max-bad"):
            made.run(silent)


def test_a_disk_that_is_too_small_is_reported_before_it_is_full(paths, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(OSError, match=r"."):
            read_images(paths, SPEC, tmp_path, 0, silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.glob("images-*"))


def test_every_process_takes_its_part_of_the_same_batch(tmp_path):
    from little import SETTINGS

    from tier_cli.training.distributed import World

    whole = batches(tmp_path, SETTINGS)
    parts = [batches(tmp_path, SETTINGS, World(rank, 2)) for rank in range(2)]
    for step in range(2 * ROWS // SETTINGS.batch_size):
        assert torch.equal(torch.cat([part[step].rows for part in parts]), whole[step].rows)
        assert torch.equal(torch.cat([part[step].inputs for part in parts]), whole[step].inputs)


def test_metrics_have_the_monitored_figures(tmp_path):
    trainer(tmp_path, run_options=RunOptions(device="cpu", workers=0)).run(
        silent, lambda model: {"mean_auc": 0.5}
    )
    first, *_, last = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    wanted = {"step", "epoch", "total", "contrastive", "prompt", "patch_entropy", "token_entropy",
              "region", "similarity_hoyer", "similarity_share_above_0.1", "learning_rate",
              "images_per_second"}  # fmt: skip
    assert first.keys() == wanted
    assert last == {"epoch_end": 2, "step": 9, "mean_auc": 0.5}
