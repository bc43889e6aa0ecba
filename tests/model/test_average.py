"""The mean of several checkpoints' weights is a checkpoint; what cannot be averaged is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny import SIZE, tiny_checkpoint

from tier_cli.app import main
from tier_cli.errors import CheckpointError, UsageError
from tier_cli.model.average import average
from tier_cli.model.checkpoint import open_checkpoint, write_checksums
from tier_cli.model.open_engine import open_engine
from tier_cli.model.verify import verify


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    here = tmp_path_factory.mktemp("average")
    return [tiny_checkpoint(here / f"seed-{seed}", seed) for seed in (0, 1)]


def test_the_average_is_the_mean_and_a_complete_checkpoint(folders: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "mean"
    average([str(folder) for folder in folders], output)
    first, second, mean = (load_file(folder / "model.safetensors") for folder in (*folders, output))
    assert set(mean) == set(first)
    for name, tensor in mean.items():
        assert tensor.dtype == first[name].dtype
        if tensor.dtype.kind == "f":
            expected = (first[name].astype(np.float64) + second[name]) / 2
            np.testing.assert_array_equal(tensor, expected.astype(tensor.dtype))
        else:
            np.testing.assert_array_equal(tensor, first[name])
    assert verify(output) == []
    pixels = np.random.default_rng(0).normal(size=(2, 3, SIZE, SIZE)).astype(np.float32)
    torch, onnx = (open_engine(open_checkpoint(output), name, "cpu") for name in ("torch", "onnx"))
    np.testing.assert_allclose(torch.encode_images(pixels), onnx.encode_images(pixels), atol=1e-4)
    members = json.loads((output / "training.json").read_text())["average_of"]
    assert [member["name"] for member in members] == ["seed-0", "seed-1"]
    trained = [json.loads((folder / "training.json").read_text()) for folder in folders]
    assert [member["training"] for member in members] == trained, "the members may be gone by tomorrow"
    assert not list(tmp_path.glob(".*"))


def test_shares_interpolate_between_two_checkpoints(folders: list[Path], tmp_path: Path) -> None:
    """A fine-tuned model is moved part of the way back to where it came from."""
    output = tmp_path / "between"
    average([str(folder) for folder in folders], output, [3, 1])
    first, second, mean = (load_file(folder / "model.safetensors") for folder in (*folders, output))
    name = "image_projection.conv_in.weight"
    expected = 0.75 * first[name].astype(np.float64) + 0.25 * second[name]
    np.testing.assert_allclose(mean[name], expected, rtol=1e-3, atol=1e-6)
    members = json.loads((output / "training.json").read_text())["average_of"]
    assert [member["share"] for member in members] == [0.75, 0.25]
    assert "share 0.75" in (output / "README.md").read_text()


@pytest.mark.parametrize("shares", ["1", "1,0", "1,-1", "1,nan", "1,x", "1,1,1", ""])
def test_shares_that_are_not_one_positive_number_each_are_refused(
    folders: list[Path], tmp_path: Path, shares: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["model", "average", *map(str, folders), "--output", str(tmp_path / "no"), "--weights", shares]
    assert main(command) == 2
    assert "--weights" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("config.json", '"entropy": "masked"', '"entropy": "paper"', "configuration"),
        ("preprocessor_config.json", '"antialias": true', '"antialias": false', "preprocessing"),
        ("tokenizer.json", '"[UNK]"', '"[unk]"', "tokenizer"),
    ],
)
def test_other_models_are_refused(
    folders: list[Path], tmp_path: Path, file: str, old: str, new: str, what: str
) -> None:
    other = tiny_checkpoint(tmp_path / "other", 1)
    text = (other / file).read_text()
    assert old in text
    (other / file).write_text(text.replace(old, new))
    write_checksums(other)
    with pytest.raises(CheckpointError, match=f"differs from .* in {what}"):
        average([str(folders[0]), str(other)], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_one_checkpoint_or_the_same_twice_is_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        average([str(folders[0])], tmp_path / "mean")
    with pytest.raises(UsageError, match="weights of another"):
        average([str(folders[0]), str(folders[0])], tmp_path / "mean")
    with pytest.raises(UsageError, match="already exists"):
        average([str(folder) for folder in folders], folders[0])
