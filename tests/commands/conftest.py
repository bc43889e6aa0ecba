"""A checkpoint and a way to run the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import tiny_checkpoint
from xrays import write_dicom, write_png

from tier_cli.app import main

TIER = (sys.executable, "-c", "import sys; from tier_cli.app import main; sys.exit(main())")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small checkpoint with random weights, as --model takes it."""
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def tier(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command here; gives exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of two views, a CT, a PNG and a text."""
    here = tmp_path / "in"
    here.mkdir()
    write_dicom(here / "a_pa", 0, "1.1")
    write_dicom(here / "b_lateral.dcm", 1, "1.1", view="LL")
    write_dicom(here / "c_ct.dcm", 2, "2.2", Modality="CT")
    write_png(here / "d.png", 3)
    (here / "notes.txt").write_text("no image")
    return here


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[bytes]]:
    """Start the command as a process of its own."""

    def popen(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        known = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([*TIER, *map(str, arguments)], **known)  # type: ignore[call-overload, no-any-return]

    return popen


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the cache of the person who runs the tests out of it."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TIER_CACHE_DIR", str(folder))
    return folder
