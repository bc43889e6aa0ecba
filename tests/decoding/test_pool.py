"""Decoding processes, and their crashes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from xrays import write_dicom, write_png

from tier_cli.decoding.decode import Decoded, Settings, decode
from tier_cli.decoding.pool import DecodePool
from tier_cli.decoding.process import COMMAND
from tier_cli.decoding.protocol import settings_to_text
from tier_cli.errors import InputError, TierError


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def _pids(pool: DecodePool) -> list[int]:
    return [process.pid for process in pool._processes]


def test_decoding_in_a_process_gives_the_same_image(tmp_path: Path, settings: Settings) -> None:
    path = str(write_dicom(tmp_path / "a.dcm", view=""))
    here = decode(path, settings)
    with DecodePool(settings, 1) as pool:
        there = pool.submit(path).result()
    assert isinstance(here, Decoded)
    assert isinstance(there, Decoded)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    known = [{k: v for k, v in vars(outcome).items() if k != "pixels"} for outcome in (here, there)]
    assert known[0] == known[1]
    assert here.notes


def test_errors_are_returned_unchanged(tmp_path: Path, settings: Settings) -> None:
    path = str(write_dicom(tmp_path / "a.dcm", Modality="CT"))
    here = decode(path, settings)
    with DecodePool(settings, 1) as pool:
        there = pool.submit(path).result()
    assert isinstance(here, InputError)
    assert isinstance(there, InputError)
    assert here.args == there.args
    assert there.kind == "modality"


def test_odd_file_names(tmp_path: Path, settings: Settings) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff \n.png")
    Path(name).write_bytes(write_png(tmp_path / "a.png").read_bytes())
    with DecodePool(settings, 1) as pool:
        assert isinstance(pool.submit(name).result(), Decoded)


def test_a_crash_costs_only_its_own_file(tmp_path: Path, settings: Settings, crashing: Path) -> None:
    names = ["a", "crash1", "b", "c", "crash2", "d", "e"]
    paths = [str(write_png(tmp_path / f"{name}.png", seed)) for seed, name in enumerate(names)]
    with DecodePool(settings, 2, (sys.executable, str(crashing))) as pool:
        futures = [pool.submit(path) for path in paths]
        outcomes = [future.result(60) for future in futures]
        pids = _pids(pool)
    kinds = [outcome.kind if isinstance(outcome, InputError) else "ok" for outcome in outcomes]
    assert kinds == ["crashed" if "crash" in name else "ok" for name in names]
    assert _alive(pids) == []


def test_a_crash_from_lack_of_memory_gets_a_second_try(
    tmp_path: Path, settings: Settings, crashing: Path
) -> None:
    path = str(write_png(tmp_path / "once.png"))
    with DecodePool(settings, 1, (sys.executable, str(crashing))) as pool:
        assert isinstance(pool.submit(path).result(60), Decoded)
    assert Path(path + ".seen").exists()


def test_process_killed_from_outside(tmp_path: Path, settings: Settings) -> None:
    path = str(write_png(tmp_path / "a.png"))
    with DecodePool(settings, 1) as pool:
        pool.submit(path).result()
        os.kill(_pids(pool)[0], 9)
        assert isinstance(pool.submit(path).result(60), Decoded)


def test_processes_that_cannot_start_are_not_blamed_on_the_file(tmp_path: Path, settings: Settings) -> None:
    with DecodePool(settings, 1, (sys.executable, "-c", "raise SystemExit")) as pool:
        future = pool.submit(str(write_png(tmp_path / "a.png")))
        with pytest.raises(TierError, match="--workers 0"):
            future.result(60)


def test_closing_stops_work_in_progress(tmp_path: Path, settings: Settings) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    threads = threading.active_count()
    with DecodePool(settings, 2) as pool:
        futures = [pool.submit(fifo) for _ in range(5)]
        while len(_pids(pool)) < 2:
            time.sleep(0.01)
        pids = _pids(pool)
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert _alive(pids) == []
    assert threading.active_count() == threads
    assert all(future.done() for future in futures)


def test_processes_start_only_for_work(tmp_path: Path, settings: Settings) -> None:
    with DecodePool(settings, 8) as pool:
        assert _pids(pool) == []
        pool.submit(str(write_png(tmp_path / "a.png"))).result()
        assert len(_pids(pool)) == 1


def test_process_imports_only_the_imaging_package(settings: Settings) -> None:
    script = (
        "import sys, json\n"
        "from tier_cli.decoding import worker\n"
        "worker.main()\n"
        "sys.stderr.write(json.dumps(sorted(sys.modules)))\n"
    )
    command = [sys.executable, "-c", script, settings_to_text(settings)]
    done = subprocess.run(command, input=b"", capture_output=True, check=True)
    loaded = set(__import__("json").loads(done.stderr))
    packages = {name.split(".")[1] for name in loaded if name.startswith("tier_cli.")}
    assert packages == {"decoding", "errors", "imaging", "late_imports", "packages"}
    assert not loaded & {"torch", "onnxruntime", "transformers", "pandas", "typer", "rich"}


def test_process_ignores_modules_in_the_current_folder(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert "-P" in COMMAND
    with DecodePool(settings, 1) as pool:
        assert isinstance(pool.submit(str(write_png(tmp_path / "a.png"))).result(60), Decoded)


def test_process_ends_with_its_parent_command(settings: Settings) -> None:
    process = subprocess.Popen(
        [*COMMAND, settings_to_text(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
