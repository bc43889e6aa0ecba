"""Limits of time and memory for one file, and decoding processes that are killed again and again."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from xrays import picture, write_png

from tier_cli.decoding import pool as module
from tier_cli.decoding.decode import Decoded, Settings
from tier_cli.decoding.pool import DecodePool
from tier_cli.errors import InputError

WORKER = """
import json, os, resource, signal, sys, time
from pathlib import Path
from tier_cli.decoding import decode as module, worker

read, kept = module.read_radiograph, []

def times(path):
    mark = Path(path + '.seen')
    mark.write_text(mark.read_text() + '.' if mark.exists() else '.')
    return len(mark.read_text())

def odd(path, options, least):
    name = Path(path).name
    if 'stop' in name:
        os.kill(os.getpid(), signal.SIGSTOP)
    if 'hang' in name:
        time.sleep(1000)
    if 'loop' in name:
        while True:
            pass
    if 'grow' in name:
        while True:
            kept.append(bytearray(10_000_000))
    if 'leak' in name:
        kept.append(bytearray(200_000_000))
    if 'kill3' in name and times(path) <= 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if 'kill9' in name:
        os.kill(os.getpid(), signal.SIGKILL)
    if 'limits' in name:
        limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_CPU, resource.RLIMIT_CORE)]
        Path(path + '.limits').write_text(json.dumps(limits))
    return read(path, options, least)

module.read_radiograph = odd
start = sys.argv[1]
if start != 'well' and times(start) > 1 and times(start) < 10:
    os.kill(os.getpid(), signal.SIGKILL)
sys.argv[1:] = sys.argv[2:]
worker.main()
"""


def _limited(settings: Settings, timeout: float = 60.0, memory: int = 2_000_000_000) -> Settings:
    return replace(settings, read=replace(settings.read, timeout=timeout, memory=memory))


@pytest.fixture
def command(tmp_path: Path) -> tuple[str, ...]:
    """A worker that misbehaves as a file's name says."""
    script = tmp_path / "odd_worker.py"
    script.write_text(WORKER)
    return (sys.executable, str(script), "well")


def _kinds(pool: DecodePool, paths: list[str]) -> list[str]:
    outcomes = [future.result(100) for future in [pool.submit(path) for path in paths]]
    return [outcome.kind if isinstance(outcome, InputError) else "ok" for outcome in outcomes]


def _files(folder: Path, *names: str) -> list[str]:
    return [str(write_png(folder / f"{number}-{name}.png", number)) for number, name in enumerate(names)]


def test_a_decoder_that_stands_still_costs_one_file(
    tmp_path: Path, settings: Settings, command: tuple[str, ...]
) -> None:
    """A stopped process, a wait for ever and an endless loop end; the other files are read."""
    names = ["a", "stop", "b", "hang", "c", "loop", "d"]
    with DecodePool(_limited(settings, timeout=4.0), 3, command) as pool:
        kinds = _kinds(pool, _files(tmp_path, *names))
    assert kinds == ["time_limit" if name in ("stop", "hang", "loop") else "ok" for name in names]


def test_the_reason_names_the_option(tmp_path: Path, settings: Settings, command: tuple[str, ...]) -> None:
    with DecodePool(_limited(settings, timeout=0.5), 1, command) as pool:
        outcome = pool.submit(*_files(tmp_path, "hang")).result(100)
    assert isinstance(outcome, InputError)
    assert "0.5 s" in outcome.what
    assert "--timeout-per-file" in str(outcome.remedy)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
def test_a_decoder_that_grows_costs_one_file(
    tmp_path: Path, settings: Settings, command: tuple[str, ...]
) -> None:
    with DecodePool(_limited(settings, memory=300_000_000), 1, command) as pool:
        assert _kinds(pool, _files(tmp_path, "a", "grow", "b")) == ["ok", "memory_limit", "ok"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
def test_memory_that_earlier_files_left_is_not_blamed_on_a_file(
    tmp_path: Path, settings: Settings, command: tuple[str, ...]
) -> None:
    with DecodePool(_limited(settings, memory=500_000_000), 1, command) as pool:
        assert _kinds(pool, _files(tmp_path, *["leak"] * 4)) == ["ok"] * 4


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_a_process_without_its_command_ends_by_itself_and_dumps_no_core(
    tmp_path: Path, settings: Settings, command: tuple[str, ...]
) -> None:
    """A killed command cannot stop a decoder that loops, and a core dump would hold a patient's pixels."""
    (path,) = _files(tmp_path, "limits")
    with DecodePool(_limited(settings, timeout=30.0), 1, command) as pool:
        assert _kinds(pool, [path]) == ["ok"]
    cpu, core = json.loads(Path(path + ".limits").read_text())
    assert 30 < cpu < 60
    assert core == 0


def test_a_suspended_command_ages_no_file(
    tmp_path: Path, settings: Settings, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-Z and fg, or a closed lid, the files at hand are not refused."""
    real, sleeps = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + sleeps[0])
    with DecodePool(_limited(settings, timeout=30.0), 1, command) as pool:
        future = pool.submit(*_files(tmp_path, "hang"))
        while not pool._processes:
            time.sleep(0.01)
        sleeps[0] = 3600.0
        time.sleep(3 * module._TICK)
        assert not future.done()


def test_killed_processes_are_replaced_and_no_file_is_lost(
    tmp_path: Path, settings: Settings, command: tuple[str, ...]
) -> None:
    with DecodePool(settings, 4, command) as pool:
        assert _kinds(pool, _files(tmp_path, "a", "kill3", "b", "kill3", "c")) == ["ok"] * 5
        assert pool._pace.allowed < 4


def test_a_file_on_which_every_process_is_killed_is_read_here_or_refused(
    tmp_path: Path, settings: Settings, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KILLS", 3)
    light = _files(tmp_path, "kill9")
    heavy = tmp_path / "kill9.tif"
    Image.fromarray(picture()).save(heavy)
    with DecodePool(settings, 2, command) as pool:
        assert _kinds(pool, [*light, str(heavy)]) == ["ok", "crashed"]


# `test_killed_processes_are_replaced_and_no_file_is_lost` is the quick version.
@pytest.mark.slow
def test_processes_that_are_killed_while_they_start_do_not_end_the_run(
    tmp_path: Path, settings: Settings, command: tuple[str, ...]
) -> None:
    program, script, _ = command
    start = str(tmp_path / "start")
    with DecodePool(settings, 1, (program, script, start)) as pool:
        paths = _files(tmp_path, "a", "kill3", "b")
        assert _kinds(pool, paths) == ["ok"] * 3


def test_without_any_process_the_run_goes_on(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that worked and cannot be started any more: common files are read without them."""
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    script = tmp_path / "once.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\nfrom tier_cli.decoding import worker\n"
        "mark = Path(__file__ + '.seen')\nif mark.exists():\n    sys.exit(1)\nmark.touch()\nworker.main()\n"
    )
    heavy = tmp_path / "x.tif"
    Image.fromarray(picture()).save(heavy)
    first, *others = _files(tmp_path, "a", "b", "c")
    with DecodePool(settings, 1, (sys.executable, str(script))) as pool:
        assert isinstance(pool.submit(first).result(60), Decoded)
        for process in pool._processes:
            process.kill()
        assert _kinds(pool, [*others, str(heavy)]) == ["ok", "ok", "crashed"]
