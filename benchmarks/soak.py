"""Disturb `tier classify --resume` at random until it has ended: its output must be that of a quiet run.

Run: python benchmarks/soak.py [--files 20000] [--minutes 60] [--seed 0] [--folder FOLDER]

Small files of mixed kinds are scored once without trouble. Then the same command is killed, gets signals,
loses decoding processes and files and, where a tmpfs may be mounted (as root), the room on its disk; each
time it goes on with --resume. A round ends with a run in which no file was out of reach, and its output is
compared byte by byte. Rounds follow until the time is up. The exit code is 0 only if all were identical. The
last line, on stdout, is JSON. Linux only: the processes are looked up in /proc.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import numpy as np
from mutations import DAMAGES, ENCODERS, damaged, data_set, drawn_chest
from processes import TIER

_SIDE, _PER_FOLDER = 96, 500
# Of each hundred files.
_SHARES = MappingProxyType({"intact": 74, "damaged": 12, "refused": 5, "empty": 4, "no image": 5})
# One study of two images among so many files.
_FILES_PER_STUDY = 50
_SUFFIXES = MappingProxyType({"PNG": ".png", "TIFF": ".tif", "JPEG file": ".jpg"})
# Some files are refused: both are the end of a whole run.
_ENDED = frozenset({0, 3})
_FULL_DISK = 74
# How many runs are disturbed from their start on, not from their first result on.
_EARLY = 0.2
_TICK = 0.02
# How long a command that is to end may take, on a busy machine.
_PATIENCE = 120.0
_ROOM, _PAGE = 1 << 30, 4096
_WORKER = "tier_cli.decoding.worker"

Resize = Callable[[int], None]


class FaultError(Exception):
    """The command did something that no disturbance explains."""


def main() -> None:
    """Run the test and write what was done as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=60, help="after these, the last round ends in peace")
    parser.add_argument("--seed", type=int, default=0, help="of the files and of what is done, not of when")
    parser.add_argument("--folder", type=Path, help="empty or new folder, which stays; default: temporary")
    parser.add_argument("--every", type=float, default=10, help="mean seconds between disturbances")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--workers", type=int, default=2, help="most decoding processes; each run draws")
    parser.add_argument("--timeout-per-file", type=float, default=20)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    for inside in ("files", "disk", "away"):
        (folder / inside).mkdir(parents=True)
    started, fault = time.monotonic(), ""
    soak = Soak(folder, given)
    with disk(folder / "disk") as resize:
        try:
            soak.run(resize)
        except FaultError as error:
            fault = str(error)
            for path in (folder / "disk").iterdir():
                shutil.copy(path, folder)
            say(f"fault: {fault}; see {folder}")
    result = {
        "identical": not fault,
        **{"files": given.files, "seed": given.seed, "rounds": soak.rounds, "runs": soak.codes.total()},
        "disturbances": dict(sorted(soak.done.items())),
        "exit_codes": dict(sorted(soak.codes.items())),
        "seconds": round(time.monotonic() - started),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    if given.folder is None and not fault:
        shutil.rmtree(folder)
    raise SystemExit(1 if fault else 0)


class Soak:
    """The quiet run, the runs that are disturbed, and the counts of what was done to them.

    Parameters
    ----------
    folder
        Has the subfolders ``files``, ``disk`` for the outputs, and ``away`` for files that are missing.
    given
        The options of the command line.
    """

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self._folder, self._given = folder, given
        self._draw = random.Random(given.seed)
        self._output, self._journal = folder / "disk" / "scores.jsonl", folder / "disk" / "journal"
        self._stderr = folder / "stderr.txt"
        self._paths: list[Path] = []
        self._reference = b""
        self._until = 0.0
        self.rounds = 0
        self.done: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()

    def run(self, resize: Resize | None) -> None:
        """Write the files, make the reference, then disturb runs until the time is up.

        Raises
        ------
        FaultError
            If an output differs, or if the command fails without a reason.
        """
        kinds = write_files(self._folder / "files", self._given.files, self._given.seed)
        say("files: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
        self._paths = sorted(path for path in (self._folder / "files").rglob("*") if path.is_file())
        self._make_reference()
        self._until = time.monotonic() + 60 * self._given.minutes
        while self.rounds == 0 or time.monotonic() < self._until:
            while not self._one_run(resize):
                pass
            self._compare()
            self.rounds += 1
            say(f"round {self.rounds}: identical after {self.codes.total()} runs")
            self._output.unlink()
            self._journal.unlink()

    def _make_reference(self) -> None:
        started, output = time.monotonic(), self._folder / "reference.jsonl"
        code = self._start(output, "--workers", self._given.workers).wait()
        if code not in _ENDED:
            raise FaultError(f"the quiet run ended with exit code {code}: {self._said()}")
        self._reference = output.read_bytes()
        say(f"quiet run: {time.monotonic() - started:.0f} s")

    def _one_run(self, resize: Resize | None) -> bool:
        """Start the command and disturb it; return whether its output must be the reference."""
        workers = self._draw.randint(1, self._given.workers)
        batch = self._draw.choice(((), ("--batch-size", 1), ("--batch-size", 3)))
        early, size = self._draw.random() < _EARLY, _size(self._journal)
        process = self._start(
            self._output, "--journal", self._journal, "--resume", "--workers", workers, *batch
        )
        run = Run(process, self._draw, self._paths, self._folder / "away", resize)
        while not early and run.goes_on and _size(self._journal) <= size and time.monotonic() < self._until:
            time.sleep(_TICK)
        while self._waits(run):
            run.disturb()
        code = run.end()
        if resize is not None:
            resize(_ROOM)
        self.codes[str(code)] += 1
        self.done.update(run.done)
        say(f"run {self.codes.total()}: {', '.join(run.done) or 'in peace'}: exit code {code}")
        # Before the command has begun, Python itself answers Ctrl-C.
        if code not in run.explained or ("Traceback" in self._said() and code != -signal.SIGINT):
            raise FaultError(f"exit code {code} after {run.done}: {self._said()}")
        self._check_rows()
        return run.whole and code in _ENDED

    def _waits(self, run: Run) -> bool:
        """Wait until the next disturbance is due; return False if there is none."""
        due = min(time.monotonic() + self._draw.uniform(0, 2 * self._given.every), self._until)
        while run.goes_on and time.monotonic() < due:
            time.sleep(_TICK)
        return run.goes_on and time.monotonic() < self._until

    def _start(self, output: Path, *options: object) -> subprocess.Popen[bytes]:
        arguments = ["classify", self._folder / "files", "--output", output, "--model", self._given.model]
        arguments += ["--timeout-per-file", self._given.timeout_per_file, "--device", "cpu", "--quiet"]
        with self._stderr.open("wb") as stderr:
            return subprocess.Popen(
                [sys.executable, "-c", TIER, *map(str, [*arguments, *options])],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                # A program that was started in the background ignores some signals, and so would this one.
                preexec_fn=_heed_signals,
            )

    def _said(self) -> str:
        return self._stderr.read_text("utf-8", "replace").strip()

    def _check_rows(self) -> None:
        """Raise `FaultError` if an output, whole or not, holds another score than the quiet run's."""
        known = set(self._reference.splitlines())
        for line in self._output.read_bytes().splitlines() if self._output.exists() else ():
            if line not in known and json.loads(line)["error"] is None:
                raise FaultError(f"another score than in the quiet run: {line.decode()}")

    def _compare(self) -> None:
        if self._output.read_bytes() != self._reference:
            theirs = self._output.read_bytes().splitlines()
            pairs = zip(self._reference.splitlines(), theirs, strict=False)
            first = next(((a, b) for a, b in pairs if a != b), "their number of lines")
            raise FaultError(f"the output differs from the quiet run's: {first!r}")
        left = {path.name for path in self._output.parent.iterdir()} - {"scores.jsonl", "journal"}
        if left:
            raise FaultError(f"files were left behind: {', '.join(sorted(left))}")


class Run:
    """One run of the command that is disturbed.

    Parameters
    ----------
    process
        The command.
    draw
        Decides what is done.
    paths
        The files that it scores.
    away
        A folder for the files that are missing.
    resize
        Sets the size of the disk in bytes; None where it cannot be set.

    Attributes
    ----------
    done
        What was done.
    explained
        The exit codes that this explains.
    whole
        Whether every file was in reach and every decoding process at work, so that no row may differ.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        draw: random.Random,
        paths: list[Path],
        away: Path,
        resize: Resize | None,
    ) -> None:
        self._process, self._draw, self._paths, self._away, self._resize = process, draw, paths, away, resize
        self._workers: set[int] = set()
        self._is_to_end = False
        self.done: list[str] = []
        self.explained = set(_ENDED)
        self.whole = True

    @property
    def goes_on(self) -> bool:
        """Whether the command has not ended and was not told to."""
        self._workers.update(_workers(self._process.pid))
        return not self._is_to_end and self._process.poll() is None

    def disturb(self) -> None:
        """Do one thing to the command."""
        kinds: dict[Callable[[], None], int] = {
            self._signal: 4,
            self._kill_worker: 3,
            self._stop_worker: 2,
            self._hide_file: 2,
        }
        if self._resize is not None:
            kinds[self._fill_disk] = 2
        self._draw.choices(list(kinds), list(kinds.values()))[0]()

    def end(self) -> int:
        """Wait for the end of the command and of its decoding processes; return the exit code.

        Raises
        ------
        FaultError
            If the command was told to end and does not, or if a decoding process outlives it.
        """
        try:
            code = self._process.wait(_PATIENCE if self._is_to_end else None)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise FaultError(f"the command goes on {_PATIENCE:.0f} s after {self.done}") from None
        end = time.monotonic() + _PATIENCE
        while left := [worker for worker in self._workers if _is_worker(worker)]:
            for worker in left:
                # A stopped process cannot see that the command is gone.
                _send(worker, signal.SIGCONT)
            if time.monotonic() > end:
                raise FaultError(f"a decoding process goes on {_PATIENCE:.0f} s after the command's end")
            time.sleep(_TICK)
        return code

    def _signal(self) -> None:
        name = self._draw.choice(("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"))
        number = getattr(signal, name)
        self._process.send_signal(number)
        # Before Python has begun, the kernel ends the process by itself.
        self.explained |= {-number} if name == "SIGKILL" else {-number, 128 + number}
        self._is_to_end = True
        self.done.append(f"{name} to the command")

    def _kill_worker(self) -> None:
        if (worker := self._worker()) is not None:
            _send(worker, signal.SIGKILL)
            self.done.append("SIGKILL to a decoding process")

    def _stop_worker(self) -> None:
        """Stop a decoding process, for a moment or for as long as a file may take."""
        if (worker := self._worker()) is None:
            return
        _send(worker, signal.SIGSTOP)
        if self._draw.random() < 0.5:
            time.sleep(self._draw.uniform(0.1, 2))
            _send(worker, signal.SIGCONT)
        else:
            # Its file gets a row with the reason, and is tried again in the next run.
            self.whole = False
        self.done.append("SIGSTOP to a decoding process")

    def _worker(self) -> int | None:
        workers = sorted(_workers(self._process.pid))
        return self._draw.choice(workers) if workers else None

    def _hide_file(self) -> None:
        self.whole = False
        path = self._draw.choice(self._paths)
        path.rename(self._away / path.name)
        time.sleep(self._draw.uniform(0.1, 3))
        (self._away / path.name).rename(path)
        self.done.append("a file vanished")

    def _fill_disk(self) -> None:
        """Leave no more than a page of room, for a while."""
        if self._resize is None:
            return
        self._resize(0)
        self.explained.add(_FULL_DISK)
        end = time.monotonic() + self._draw.uniform(0.5, 10)
        while self._process.poll() is None and time.monotonic() < end:
            time.sleep(_TICK)
        self.done.append("a full disk")
        if self._process.poll() is None:
            self._resize(_ROOM)


@contextmanager
def disk(folder: Path) -> Iterator[Resize | None]:
    """Mount a disk in an empty folder if that is allowed; yield what sets its size, if not below its use."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "soak", str(folder)]
    mounted = (
        shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    if not mounted:
        say("no full disks: a tmpfs cannot be mounted here")
        yield None
        return

    def resize(size: int) -> None:
        # While the command writes, the disk holds more than it just did.
        for _ in range(100):
            status = os.statvfs(folder)
            used = (status.f_blocks - status.f_bfree) * status.f_frsize
            options = f"remount,size={max(size, used + _PAGE)}"
            if _succeeds(["mount", "-o", options, str(folder)]):
                return
        raise FaultError("the size of the disk cannot be changed")

    try:
        yield resize
    finally:
        subprocess.run(["umount", folder], check=False)


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def write_files(folder: Path, count: int, seed: int) -> Counter[str]:
    """Write files of all kinds and return how many of each.

    Parameters
    ----------
    folder
        An existing folder.
    count
        The number of files; many are hard links to the same content.
    seed
        Seed of the contents and of their order.
    """
    rng = np.random.default_rng(seed)
    contents = _contents(rng)
    kinds = list(map(str, rng.choice(list(_SHARES), count, p=np.array(list(_SHARES.values())) / 100)))
    made: dict[str, Path] = {}
    for number, kind in enumerate(list(kinds)):
        name, content = contents[kind][int(rng.integers(len(contents[kind])))]
        inside = folder / f"{number // _PER_FOLDER:03}"
        inside.mkdir(exist_ok=True)
        path = inside / f"{number:06}{Path(name).suffix}"
        if number % _FILES_PER_STUDY < 2 and number + 1 < count:
            kinds[number] = "of a study of two"
            path.with_suffix(".dcm").write_bytes(_of_study(number, rng))
        else:
            _link(made.setdefault(name, path), path, content)
    return Counter(kinds)


def _link(first: Path, path: Path, content: bytes) -> None:
    if first != path:
        # A file has a limited number of links.
        with suppress(OSError):
            os.link(first, path)
            return
    path.write_bytes(content)


def _contents(rng: np.random.Generator) -> dict[str, list[tuple[str, bytes]]]:
    """Return names and contents by kind."""
    intact, broken = [], []
    for encoder, encode in ENCODERS.items():
        suffix = next((suffix for start, suffix in _SUFFIXES.items() if encoder.startswith(start)), ".dcm")
        for number in range(2):
            content = encode(drawn_chest(_SIDE, rng), rng)
            intact.append((f"{encoder} {number}{suffix}", content))
            damage = str(rng.choice(list(DAMAGES)))
            broken.append((f"{damage}, {encoder} {number}{suffix}", damaged(content, damage, rng)))
    lateral = {"ViewPosition": "LL"}, {"ViewPosition": "RL"}, {"Modality": "CT"}, {"BodyPartExamined": "HAND"}
    refused = [(f"{next(iter(each.values()))}.dcm", _dicom(rng, **each)) for each in lateral]
    texts = ("notes.txt", b"no image"), ("table.csv", b"path\na.png\n"), ("noise.bin", rng.bytes(3000))
    empty = [(f"empty{suffix}", b"") for suffix in (".png", ".dcm", ".jpg", ".tif")]
    return {"intact": intact, "damaged": broken, "refused": refused, "empty": empty, "no image": list(texts)}


def _of_study(number: int, rng: np.random.Generator) -> bytes:
    study = f"1.2.826.0.1.9.{number // _FILES_PER_STUDY}"
    return _dicom(
        rng, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=f"{study}.{number}"
    )


def _dicom(rng: np.random.Generator, **attributes: str) -> bytes:
    dataset = data_set(drawn_chest(_SIDE, rng), 8)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _heed_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _send(process: int, number: signal.Signals) -> None:
    # It may have ended.
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _workers(command: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{command}/task").glob("*/children"):
        with suppress(OSError):
            found.update(map(int, task.read_text("ascii").split()))
    return set(filter(_is_worker, found))


def _is_worker(process: int) -> bool:
    try:
        return _WORKER.encode() in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def say(line: str) -> None:
    """Write one line of progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
