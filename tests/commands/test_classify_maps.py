"""`tier classify --maps` writes maps beside the scores and changes none of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_checkpoint
from xrays import write_png

from tier_cli.errors import StorageError
from tier_cli.maps.build import Subject
from tier_cli.maps.scale import MapScale
from tier_cli.model.ensemble import write_ensemble
from tier_cli.pipeline.finish import Finish
from tier_cli.pipeline.map_files import MapFiles
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.results.record import FindingScore, ModelStamp, Result
from tier_cli.scoring.calibration import Calibration

Tier = Callable[..., tuple[int, str, str]]
QUICK = ("--device", "cpu", "--workers", "0")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four images and one that is broken."""
    here = tmp_path / "in"
    here.mkdir()
    for number in range(4):
        write_png(here / f"{number}.png", number)
    (here / "5.png").write_bytes(b"")
    return here


@pytest.mark.parametrize("more", [(), ("--by", "study"), ("--hash-ids",)])
def test_results_are_the_same_with_and_without_maps(
    tier: Tier,
    model: str,
    images: Path,
    tmp_path: Path,
    more: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIER_HASH_KEY", "key")
    given = ("classify", images, "--model", model, *more, *QUICK)
    assert tier(*given, "--maps", tmp_path / "maps") == tier(*given)
    names = {name.partition(".")[0] for name in os.listdir(tmp_path / "maps")}
    assert len(names) == 4
    assert {f"{name}{ending}" for name in names for ending in (".npz", ".png")} == set(
        os.listdir(tmp_path / "maps")
    )


def test_maps_are_those_of_explain(tier: Tier, model: str, images: Path, tmp_path: Path) -> None:
    tier("classify", images, "--model", model, "--maps", tmp_path / "maps", *QUICK)
    given = ("--all-findings", "-o", tmp_path / "all", "--write", "maps", *QUICK)
    _, out, _ = tier("explain", images / "0.png", "--model", model, *given)
    wanted = Path(json.loads(out)["files"]["maps"])
    with np.load(tmp_path / "maps" / wanted.name) as arrays, np.load(wanted) as others:
        assert sorted(arrays) == sorted(others)
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], others[name])
    assert Image.open((tmp_path / "maps" / wanted.name).with_suffix(".png")).size[0] <= 192


def test_a_resumed_run_writes_the_maps_of_what_it_scores(
    tier: Tier, model: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps, output = tmp_path / "maps", tmp_path / "scores.csv"
    given = ("classify", images, "--model", model, "-o", output, "--maps", maps, "--batch-size", 1, *QUICK)
    write, calls = MapFiles._write, []

    def full(self: MapFiles, *more: object) -> None:
        calls.append(more)
        if len(calls) == 3:
            raise StorageError("cannot be written: No space left on device", where="x")
        write(self, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(MapFiles, "_write", full)
    code, _, err = tier(*given)
    assert code == 74
    assert "No space left" in err
    assert len(list(maps.glob("*.npz"))) == 2
    code, _, _ = tier(*given, "--resume")
    assert code == 3
    assert len(calls) == 3 + 2
    assert len(list(maps.glob("*.npz"))) == 4
    assert not list(maps.glob(".*"))
    monkeypatch.setattr(MapFiles, "_write", write)
    tier("classify", images, "--model", model, "-o", tmp_path / "other.csv", *QUICK)
    assert output.read_bytes() == (tmp_path / "other.csv").read_bytes()


def test_only_findings_from_their_operating_points_on_get_maps() -> None:
    stamp = ModelStamp("m", "w", "p", "f")
    scores = tuple(FindingScore(name, 0.1, call=call) for name, call in (("a", False), ("b", True)))
    subjects = tuple(Subject(name, name, "difference", np.ones(2)) for name in ("a", "b"))
    files = MapFiles(
        Path(), subjects, MapScale(), Finish(Calibration({}), (), "image"), lambda result: result
    )
    assert files._reached(Result(("x",), stamp, "cosine", findings=scores)) == (subjects[1],)
    none = tuple(FindingScore(name, 0.1, call=False) for name in ("a", "b"))
    assert files._reached(Result(("x",), stamp, "cosine", findings=none)) == ()


def test_an_ensemble_and_a_model_without_patches_are_refused_before_images_are_read(
    tier: Tier, model: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        tiny_checkpoint(tmp_path / "two" / f"m{number}", number)
    write_ensemble(tmp_path / "two", ["m0", "m1"])
    for command in (("classify", "--maps"), ("explain", "--output")):
        given = (command[0], images, "--model", tmp_path / "two", command[1], tmp_path / "maps", *QUICK)
        code, out, err = tier(*given)
        assert (code, out) == (2, "")
        assert "an ensemble has no maps" in err
        assert not (tmp_path / "maps").exists()
    job = open_job(model, device="cpu")
    meta = type("Meta", (), {"custom_metadata_map": {"grid": "0x0"}})()
    session = type("Session", (), {"get_modelmeta": lambda self: meta})()
    monkeypatch.setitem(vars(job.engine), "_image", session)
    monkeypatch.setattr("tier_cli.commands.classify.open_models", lambda *given: job)
    code, out, err = tier("classify", images, "--maps", tmp_path / "maps", *QUICK)
    assert (code, out) == (2, "")
    assert "no grid of patches" in err
    assert err.count("\n") == 1


def test_a_used_folder_is_refused(tier: Tier, model: str, images: Path, tmp_path: Path) -> None:
    for maps, said in ((tmp_path, "already exists"), (images / "maps", "whose images are read")):
        code, out, err = tier("classify", images, "--model", model, "--maps", maps, *QUICK)
        assert (code, out) == (2, "")
        assert said in err
