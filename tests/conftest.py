"""Fixtures that all tests share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The doctests of modules are collected everywhere: these files are no tests, and share one name.
collect_ignore_glob = ["conftest.py", "*/conftest.py", "support/*"]


if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes with several threads each would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# Optional: without the plugin (`-p no:xdist`), pytest would refuse a hook that it does not know.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run the whole suite in up to four processes, and chosen files in this one, which starts faster."""
    cpus = min(os.cpu_count() or 1, 4)
    return cpus if cpus > 1 and not config.option.file_or_dir else 0


# Folders whose files take longest. A long file that starts last keeps one process busy while the others wait.
LONGEST = ("docs", "training", "model", "commands", "project", "examples", "phantom", "evaluation", "imaging")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first."""
    tests = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else ""
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=place)


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


@pytest.fixture(scope="session", autouse=True)
def decode_here() -> Iterator[None]:
    """Read images in this process by default: starting others takes a second. Tests of them say how many."""
    from tier_cli.pipeline import stream

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "_MAX_WORKERS", 0)
        yield


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the traced graphs, which all processes of a test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def traced_once(graphs: Path) -> Iterator[None]:
    """Trace each architecture once, where tests export graphs; tests that need no torch do not load it."""
    with pytest.MonkeyPatch.context() as patch:
        if "torch" in sys.modules:
            from traced import reuse_traces

            reuse_traces(patch, graphs)
        yield
