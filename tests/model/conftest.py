"""One small checkpoint for all tests of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_checkpoint

from tier_cli.model.checkpoint import Checkpoint, open_checkpoint


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder that tests read only."""
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Checkpoint:
    """The same, opened."""
    return open_checkpoint(tiny_folder)


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Path:
    """A checkpoint folder that a test may change."""
    return tiny_checkpoint(tmp_path / "copy")
