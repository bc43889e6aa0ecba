"""Explaining an image gives the scores of classify, its picture, and the patches behind the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_maker import write
from tiny import tiny_checkpoint
from xrays import write_png

from tier_cli.imaging.discover import Source
from tier_cli.imaging.read import read_radiograph
from tier_cli.maps.similarity import PatchMap
from tier_cli.pipeline.explain import explain
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import StreamOptions


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> ScoringJob:
    return open_job(
        str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")), "effusion", device="cpu"
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_scores_are_those_of_classify_and_patches_average_to_them(
    job: ScoringJob, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    sources = [
        Source(path)
        for path in (
            write(tmp_path / "a.dcm"),
            str(tmp_path / "broken.png"),
            str(write_png(tmp_path / "b.png", 3)),
        )
    ]
    options = StreamOptions(workers=workers)
    explained = list(explain(sources, job, options, picture=40))
    classified = list(job.classify(sources, options))
    assert [one.result for one in explained] == classified
    assert (explained[1].picture, explained[1].patches) == (None, None)
    for one in (explained[0], explained[2]):
        assert isinstance(one.patches, PatchMap)
        assert one.picture is not None
        # The global embedding of this checkpoint is the mean of its patches.
        pooled = one.patches.patches.mean(axis=0, keepdims=True)
        assert job.members[0].rate(pooled)[0, 0] == pytest.approx(one.result.findings[0].score, abs=1e-6)
        assert one.picture.shape == (40, 40)


def test_a_picture_shows_the_radiograph_and_is_never_enlarged(job: ScoringJob, tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm")
    (one,) = explain([Source(path)], job, StreamOptions(workers=1), picture=1000)
    assert one.picture is not None
    np.testing.assert_allclose(one.picture / 255, read_radiograph(path).pixels, atol=0.5 / 255 + 1e-6)
