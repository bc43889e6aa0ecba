"""`tier train`: messages before the run starts, and defaults of options."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tier_cli.app import app
from tier_cli.phantom.image_files import write_png
from tier_cli.phantom.render import make_phantom
from tier_cli.training.loop.freezing import default_frozen_layers


def _parameters() -> list[Any]:
    """The options of the command."""
    group: Any = get_command(app)
    return list(group.commands["train"].params)


Tier = Callable[..., tuple[int, str, str]]


def test_without_options_the_error_explains_how_to_give_data(tier: Tier) -> None:
    """That an option is missing would be the answer to a question that nobody asked yet."""
    code, _, err = tier("train")
    told = " ".join(err.split())
    assert code == 2
    assert told.startswith("Error: no data was given")
    assert all(way in told for way in ("--data", "--dataset", "tier data phantom"))


def test_a_missing_output_is_an_error_and_help_calls_it_required(tier: Tier) -> None:
    code, _, err = tier("train", "--data", "absent.csv")
    assert code == 2
    assert err.startswith("Error: --output: ")
    assert "required" in tier("train", "--help")[1].split("--output")[1].splitlines()[0]


def test_every_option_is_explained_in_full_at_80_columns(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = tier("train", "--help")[1]
    for option in _parameters():
        assert option.help, option.name
        assert re.search(rf"{option.opts[0]}\b", shown), option.name


@pytest.mark.parametrize(("layers", "frozen"), [(1, 0), (2, 0), (3, 1), (6, 4), (12, 4)])
def test_a_small_text_tower_keeps_two_layers_that_learn(tmp_path, layers, frozen) -> None:
    """It was refused for --freeze-text-layers 4, which nobody had given."""
    from transformers import BertConfig, DistilBertConfig

    BertConfig(num_hidden_layers=layers, hidden_size=8, num_attention_heads=2).save_pretrained(tmp_path)
    assert default_frozen_layers(None, tmp_path) == frozen
    DistilBertConfig(n_layers=layers, dim=8, n_heads=2).save_pretrained(tmp_path)
    assert default_frozen_layers(None, tmp_path) == frozen


def test_layers_that_cannot_be_told_apart_all_learn(tmp_path, model) -> None:
    from transformers import AlbertConfig

    AlbertConfig(num_hidden_layers=12, hidden_size=8, num_attention_heads=2).save_pretrained(tmp_path)
    assert default_frozen_layers(None, tmp_path) == 0
    # The tiny checkpoint's text tower has one layer.
    assert default_frozen_layers(model, None) == 0


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A manifest with two small images of two patients."""
    lines = ["path,patient,split,Effusion"]
    for number in range(2):
        write_png(tmp_path / f"{number}.png", make_phantom(number, ["effusion"] if number else [], (72, 72)))
        lines.append(f"{number}.png,p{number},train,{number}")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    return tmp_path / "rows.csv"


def _inputs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Catch what a run would start from."""
    caught: list[Any] = []

    def run(inputs: Any, *rest: Any) -> dict[str, Any]:
        caught.append(inputs)
        return {"over": True}

    monkeypatch.setattr("tier_cli.training.run.run.train", run)
    return caught


def test_without_starting_weights_the_bundled_checkpoint_is_the_start(
    tier: Tier, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one line says so: nobody should have to look up its name for a first run."""
    caught = _inputs(monkeypatch)
    data = ("--data", rows, "--output", tmp_path / "out", "--reg-weight", "0.1", "--valid-share", "0")
    code, _, err = tier("train", *data)
    assert code == 0, err
    assert caught[0].init.name == "tier-small"
    assert sum("bundled tier-small" in line for line in err.splitlines()) == 1


@pytest.mark.parametrize("tower", ["--image-tower", "--text-tower"])
def test_one_tower_alone_is_refused(tier: Tier, rows: Path, tmp_path: Path, tower: str) -> None:
    code, _, err = tier("train", "--data", rows, "--output", tmp_path / "out", tower, tmp_path)
    assert code == 2
    other = "--text-tower" if tower == "--image-tower" else "--image-tower"
    assert err.startswith(f"Error: {other}: ")


@pytest.mark.parametrize(
    "name",
    ["config.json", "preprocessor_config.json", "findings.toml", "tokenizer.json", "model.safetensors"],
)
@pytest.mark.parametrize("change", ["altered", "missing"])
def test_a_start_whose_files_are_not_the_listed_ones_is_refused_by_name(
    tier: Tier, model: str, rows: Path, tmp_path: Path, name: str, change: str
) -> None:
    """A config edited by hand gives a model that nobody has measured, under the old one's hashes."""
    folder = Path(shutil.copytree(model, tmp_path / "start"))
    if change == "missing":
        (folder / name).unlink()
    else:
        content = bytearray((folder / name).read_bytes())
        # White space where the file is text; the last weight where it is not.
        content[-1] = ord(" ") if content[-1] == ord("\n") else content[-1] ^ 1
        (folder / name).write_bytes(bytes(content) if name != "tokenizer.json" else b" " + bytes(content))
    code, _, err = tier("train", "--data", rows, "--output", tmp_path / "out", "--init", folder)
    assert code == 2
    assert name in err
    assert not (tmp_path / "out" / "model.safetensors").exists()
