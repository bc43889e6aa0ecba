"""The statements of docs/embeddings.md are correct."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vectors import unit, write_vectors

from tier_cli.app import main
from tier_cli.results.embedded import EmbeddingResult, EmbeddingSpace
from tier_cli.results.embedding_file import EmbeddingFile

PAGE = (Path(__file__).parents[2] / "docs" / "embeddings.md").read_text("utf-8")


def test_every_option_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^\$ tier (\w+)(.*)$", PAGE, re.M)
    assert len(commands) == 5
    for name, rest in commands:
        assert main([name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert not [option for option in re.findall(r"--[a-z-]+", rest) if option not in shown]


def test_the_example_reads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    vectors = unit(5, 4)
    write_vectors(tmp_path / "images.parquet", vectors, 2)
    with EmbeddingFile("images.npz").writer(EmbeddingSpace("tiny", {}, 4, with_patches=True)) as writer:
        patches = np.stack([vectors[0]] * 6)
        writer.write(
            EmbeddingResult(
                "x", vector=vectors[0], patches=patches, patch_norms=np.ones(6, np.float32), grid=(2, 3)
            )
        )
    example = re.search(r"```python\n(.+?)```", PAGE, re.S)
    assert example is not None
    names: dict[str, Any] = {}
    exec(example.group(1), names)  # noqa: S102 - our own page
    np.testing.assert_array_equal(names["vectors"], vectors)
    assert names["patches"].shape == (1, 2, 3, 4)
    assert (names["about"]["embedded"], names["about"]["failed"]) == (5, 3)


def test_the_columns_are_those_named() -> None:
    from tier_cli.results.embedding_parquet import _schema

    for name in _schema(EmbeddingSpace("tiny", {}, 4, with_patches=True)).names:
        assert f"`{name}`" in PAGE, name
