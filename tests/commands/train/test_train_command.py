"""`tier train`: messages before the run starts, and defaults of options."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from typer.main import get_command

from tier_cli.app import app
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
