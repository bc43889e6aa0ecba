"""`tier model quantize`: a copy with int8 weights that opens as any other, and says what it costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xrays import write_png

from tier_cli.errors import CheckpointError
from tier_cli.imaging.preprocess import prepare
from tier_cli.imaging.read import read_radiograph
from tier_cli.maps.scale import MAP_SCALE
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint
from tier_cli.model.finding_vectors import finding_vectors
from tier_cli.model.open_engine import open_engine
from tier_cli.model.verify import verify

Tier = Callable[..., tuple[int, str, str]]
COUNT = 41


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    rows = ["path,patient,split,Cardiomegaly"]
    for number in range(COUNT):
        write_png(folder / f"{number:03}.png", number)
        rows.append(f"{number:03}.png,p{number},valid,{number % 2}")
    (folder / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory, manifest: Path, model: str) -> Path:
    from tier_cli.app import main

    output = tmp_path_factory.mktemp("small") / "tiny-int8"
    arguments = ["model", "quantize", model, "--data", str(manifest), "--output", str(output)]
    assert main([*arguments, "--float-layers", "1", "--workers", "0"]) == 3, "one image cannot be read"
    assert sorted(file.name for file in output.parent.iterdir()) == ["tiny-int8"], "nothing is left beside it"
    return output


def test_the_copy_is_intact_and_of_another_identity(copy: Path, model: str) -> None:
    assert verify(copy) == []
    small, source = open_checkpoint(copy), open_checkpoint(model)
    # Journals, calibrations and results tell models apart by this hash.
    assert small.hashes["weights"] != source.hashes["weights"]
    assert small.is_quantised
    assert not source.is_quantised
    assert open_engine(small).name == "onnx"


def test_its_embeddings_are_close_to_those_of_the_float_model(copy: Path, model: str, manifest: Path) -> None:
    preprocessing = open_checkpoint(model).preprocessing
    images = [read_radiograph(str(manifest.parent / f"{number:03}.png")) for number in range(1, 5)]
    pixels = np.stack([prepare(image.pixels, preprocessing).pixels for image in images])
    small, source = (open_engine(open_checkpoint(one), "onnx") for one in (copy, model))
    ours, reference = small.encode_images(pixels), source.encode_images(pixels)
    cosines = (ours * reference).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(reference, axis=1)
    assert cosines.min() > 0.97
    assert not np.array_equal(ours, reference)
    np.testing.assert_array_equal(small.embed_texts(["no effusion"]), source.embed_texts(["no effusion"]))
    assert small.patches(pixels)[1] == source.patches(pixels)[1]


def test_stored_vectors_are_those_of_the_float_model(copy: Path, model: str) -> None:
    def never() -> object:
        raise AssertionError("the text tower is not needed")

    def vectors(checkpoint: Checkpoint) -> np.ndarray:
        return finding_vectors(checkpoint, checkpoint.findings, never).positive  # type: ignore[arg-type]

    np.testing.assert_array_equal(vectors(open_checkpoint(copy)), vectors(open_checkpoint(model)))


def test_the_card_and_the_facts_say_what_it_costs(copy: Path, tier: Tier) -> None:
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert "CPU time per image" in card
    assert "mean AUC, 1 finding |" in card
    # A card that goes on with the probabilities of the float model would mislead who reads its beginning.
    assert next(line for line in card.splitlines() if line.startswith("## ")) == "## Int8 weights"
    assert "On 20 images of 20 other patients" in card
    code, out, _ = tier("model", "info", copy)
    assert code == 0
    assert json.loads(out)["quantised"]["float_layers"] == 1


def test_what_was_fitted_to_the_float_model_is_not_copied(
    tier: Tier, tmp_path: Path, manifest: Path, model: str
) -> None:
    scaled, small = tmp_path / "scaled", tmp_path / "small"
    assert tier("model", "map-scale", model, "--data", manifest, "--output", scaled)[0] == 3
    options = ("--data", manifest, "--output", small, "--float-layers", 1)
    code, out, error = tier("model", "quantize", scaled, *options)
    assert code == 3, error
    assert json.loads(out)["fit_again"] == ["tier model map-scale"]
    assert "Fit it again: tier model map-scale" in " ".join(error.split())
    assert not (small / MAP_SCALE).exists()
    assert verify(small) == []


def test_a_copy_in_which_nothing_would_be_int8_is_refused(
    tier: Tier, tmp_path: Path, manifest: Path, model: str
) -> None:
    command = ("model", "quantize", model, "--data", manifest, "--output", tmp_path / "x")
    code, _, error = tier(*command, "--float-layers", 99)
    assert code == 2
    assert "--float-layers 99: leaves all" in error
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("options", [("--engine", "torch"), ("--device", "cuda")])
def test_torch_is_refused_in_one_line(
    tier: Tier, copy: Path, manifest: Path, options: tuple[str, str]
) -> None:
    code, _, error = tier("classify", manifest.parent / "001.png", "--model", copy, *options)
    assert code == 2
    assert "int8 weights, which only onnxruntime computes" in error
    assert "use the checkpoint that it was made from, tiny" in error


def test_what_needs_float_weights_is_refused(tier: Tier, tmp_path: Path, copy: Path, model: str) -> None:
    before = (copy / "checksums.json").read_bytes()
    for arguments in (("export", copy), ("average", copy, model, "--output", tmp_path / "mean")):
        code, _, error = tier("model", *arguments)
        assert code == 2
        assert "int8 weights" in error
    from tier_cli.model.modeling import TierModel

    # What `tier train --init` opens.
    with pytest.raises(CheckpointError, match="int8 weights"):
        TierModel.from_pretrained(copy)
    assert (copy / "checksums.json").read_bytes() == before


def test_int8_is_not_quantised_again_and_few_images_are_refused(
    tier: Tier, tmp_path: Path, copy: Path, manifest: Path, model: str
) -> None:
    output = tmp_path / "again"
    code, _, error = tier("model", "quantize", copy, "--data", manifest, "--output", output)
    assert (code, "int8 weights already" in error) == (2, True)
    few = tmp_path / "few.csv"
    few.write_text("path,patient\n" + "".join(f"{manifest.parent}/{n:03}.png,p{n}\n" for n in range(1, 9)))
    code, _, error = tier("model", "quantize", model, "--data", few, "--output", output)
    assert (code, "4 images, half of all at most, are too few" in error) == (2, True)
    assert not output.exists()


def test_without_onnx_one_line_names_the_extra(
    tier: Tier, tmp_path: Path, manifest: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, error = tier("model", "quantize", model, "--data", manifest, "--output", tmp_path / "x")
    assert code == 2
    assert "[torch]" in error
