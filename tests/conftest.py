"""Fixtures that every room's tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# The doctests of modules are collected everywhere: these files are no tests, and share one name.
collect_ignore_glob = ["conftest.py", "*/conftest.py", "support/*"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real chest X-rays beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the folder of real images beside the checkout")
    return folder


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Let Ctrl-C work: a program started in the background ignores it, and so does all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
