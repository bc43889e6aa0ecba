"""The journal of a run: lines that are whole or absent, whatever happens to the file."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tier_cli.errors import JournalError, StorageError
from tier_cli.results import journal as module
from tier_cli.results.journal import Journal, differences, document_of, line_of, read_journal

HEADER = {"model": {"name": "tiny", "hashes": {"weights": "1f" * 32}}, "options": {"views": "frontal"}}


def _filled(path: Path, files: int = 8) -> bytes:
    with Journal(path, HEADER) as journal:
        for number in range(files):
            journal.append({"n": number, "path": f"{number}\udcff.png", "scores": [0.1 * number]})
    return path.read_bytes()


def _numbers(path: Path) -> list[int]:
    return [number for number, place in enumerate(read_journal(path).places) if place >= 0]


def test_a_line_comes_back_as_it_was() -> None:
    document = {"n": 3, "path": "a\udcff\n.png", "scores": [0.1, 1 / 3, -2e-17]}
    line = line_of(document)
    assert document_of(line) == document
    assert line.count(b"\n") == 1, "or one line of the journal would be two"


def test_no_damaged_line_is_believed() -> None:
    """A score with a flipped bit must never come into an output."""
    line, draw = line_of({"n": 3, "scores": [0.125]}), random.Random(0)
    for _ in range(300):
        damaged = bytearray(line)
        damaged[draw.randrange(len(line) - 1)] ^= 1 << draw.randrange(8)
        assert document_of(bytes(damaged)) is None
    assert all(document_of(line[:cut]) is None for cut in range(len(line)))


def test_a_journal_that_is_cut_anywhere_keeps_every_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole, draw = _filled(path), random.Random(1)
    header = whole.index(b"\n") + 1
    for _ in range(40):
        cut = draw.randrange(header, len(whole))
        path.write_bytes(whole[:cut])
        expected = whole[header:cut].count(b"\n")
        assert _numbers(path) == list(range(expected))
        with Journal(path, HEADER, resume=True) as journal:
            journal.append({"n": expected, "path": "next", "scores": []})
        assert _numbers(path) == list(range(expected + 1)), "the torn line spoilt the next one"


def test_damage_in_the_middle_costs_the_damaged_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole, draw = _filled(path), random.Random(2)
    lines = whole.splitlines(keepends=True)
    for _ in range(40):
        number = draw.randrange(1, len(lines))
        start = sum(map(len, lines[:number]))
        position = start + draw.randrange(len(lines[number]) - 1)
        changed = bytearray(whole)
        changed[position] = draw.choice(sorted({*b'\x00a1"}\n'} - {changed[position]}))
        path.write_bytes(changed)
        contents = read_journal(path)
        assert contents.damaged in (1, 2), "a line that a newline divides counts twice"
        assert _numbers(path) == [one for one in range(8) if one != number - 1]


@pytest.mark.parametrize("content", [b"", b'{"su', b'{"sum": "12'])
def test_a_run_that_was_killed_before_its_header_left_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with Journal(path, HEADER) as journal:
        assert journal.fresh


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b"{}", b"\x00" * 5000, b'{"sum": "x"}\n'])
@pytest.mark.parametrize("resume", [False, True])
def test_another_file_under_the_name_stays_as_it_is(tmp_path: Path, content: bytes, resume: bool) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="no journal"):
        Journal(path, HEADER, resume=resume)
    assert path.read_bytes() == content


def test_an_earlier_journal_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole = _filled(path)
    with pytest.raises(JournalError, match="results of 8 files; go on with --resume"):
        Journal(path, HEADER)
    assert path.read_bytes() == whole


def test_a_run_that_was_killed_before_its_first_result_can_simply_start_again(tmp_path: Path) -> None:
    path = tmp_path / "j"
    Journal(path, HEADER).close()
    with Journal(path, {**HEADER, "shard": "1/2"}) as journal:
        assert journal.fresh
    assert path.read_bytes().count(b"\n") == 1


def test_two_runs_do_not_write_one_journal(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    _filled(tmp_path / "j")
    with (
        Journal(tmp_path / "j", HEADER, resume=True),
        pytest.raises(JournalError, match="another run is writing"),
    ):
        Journal(tmp_path / "j", HEADER, resume=True)


def test_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "no/folder"):
        with pytest.raises(JournalError):
            Journal(tmp_path / name, HEADER)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that did not fit must not look like a result, and those before it stay."""
    path, write = tmp_path / "j", os.write
    with Journal(path, HEADER) as journal:
        journal.append({"n": 0, "path": "a", "scores": [1]})

        def full(descriptor: int, data: Any) -> int:
            if len(data) < 20:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, bytes(data[:10]))

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StorageError, match="No space left on device; all results so far are in it"):
            journal.append({"n": 1, "path": "b", "scores": [2]})
    assert path.read_bytes().endswith(b"\n")
    assert _numbers(path) == [0]


def test_lines_reach_the_disk_after_a_bounded_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power failure in the night costs no more than that."""
    synced: list[int] = []
    with Journal(tmp_path / "j", HEADER) as journal:
        monkeypatch.setattr(os, "fsync", synced.append)
        monkeypatch.setattr(module, "_SYNC_LINES", 3)
        for number in range(7):
            journal.append({"n": number, "path": "a", "scores": []})
        assert len(synced) == 2
        monkeypatch.setattr(module, "_SYNC_SECONDS", 0.0)
        journal.append({"n": 8, "path": "a", "scores": []})
        assert len(synced) == 3


def test_differences_are_named() -> None:
    other = {"model": {"name": "other", "hashes": {"weights": "2e" * 32}}, "options": {"views": "all"}}
    assert differences(HEADER, other) == [
        "model (tiny in the journal, other now)",
        "weights (1f1f1f1f in the journal, 2e2e2e2e now)",
        "--views (frontal in the journal, all now)",
    ]
    assert differences(HEADER, HEADER) == []
