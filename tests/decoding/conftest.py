"""Fixtures of the decoding tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_run import fake_checkpoint

from tier_cli.decoding.decode import Settings
from tier_cli.imaging.radiograph import ReadOptions


@pytest.fixture
def settings() -> Settings:
    """Reading as it comes, for a small model."""
    return Settings(ReadOptions(), fake_checkpoint().preprocessing)


@pytest.fixture
def crashing(tmp_path: Path) -> Path:
    """A worker that dies of files called crash, and once of those called once."""
    script = tmp_path / "crashing_worker.py"
    script.write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from tier_cli.decoding import decode as module, worker\n"
        "read = module.read_radiograph\n"
        "def dying(path, options, least):\n"
        "    name, mark = Path(path).name, Path(path + '.seen')\n"
        "    if 'crash' in name or ('once' in name and not mark.exists()):\n"
        "        mark.touch()\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    return read(path, options, least)\n"
        "module.read_radiograph = dying\n"
        "worker.main()\n"
    )
    return script
