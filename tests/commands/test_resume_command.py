"""`tier classify --resume`: the output is that of a run which nothing interrupted."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xrays import write_dicom, write_png

from tier_cli.packages import installed_version
from tier_cli.pipeline import journaled
from tier_cli.results.journal import document_of, line_of
from tier_cli.results.record import Result

Tier = Callable[..., tuple[int, str, str]]
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images of one study apart from each other, images without a study, and files that are refused."""
    here = tmp_path / "in"
    here.mkdir()
    write_dicom(here / "a_pa.dcm", 0, "1.1", SeriesInstanceUID="1.1.1")
    for number in range(5):
        write_png(here / f"b{number}.png", number)
    write_dicom(here / "c_lateral.dcm", 1, "1.1", view="LL")
    (here / "d.png").write_bytes(b"")
    (here / "notes.txt").write_text("no image")
    write_dicom(here / "e_ap.dcm", 6, "1.1", view="AP", SeriesInstanceUID="1.1.2")
    write_png(here / "f.png", 7)
    return here


@pytest.fixture
def run(tier: Tier, model: str, images: Path, tmp_path: Path) -> Run:
    """Score the images into a file; gives the exit code and stderr."""

    def classify(output: str, *more: object) -> tuple[int, str]:
        code, out, err = tier("classify", images, "--model", model, "-o", tmp_path / output, *more)
        assert out == ""
        return code, err

    return classify


def _decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the names of the files that are read from now on."""
    from tier_cli.decoding import prefetch
    from tier_cli.decoding.decode import decode

    seen: list[str] = []

    def noting(path: str, settings: Any) -> Any:
        seen.append(Path(path).name)
        return decode(path, settings)

    monkeypatch.setattr(prefetch, "decode", noting)
    return seen


def test_a_journal_cut_anywhere_leads_to_the_same_file(run: Run, tmp_path: Path) -> None:
    """As after SIGKILL at any moment: whatever the batches are then, no digit may differ."""
    journal, draw = tmp_path / "j", random.Random(0)
    assert run("whole.csv", "--journal", journal)[0] == 3
    whole, expected = journal.read_bytes(), (tmp_path / "whole.csv").read_bytes()
    header = whole.index(b"\n") + 1
    for size in (1, 3, 8):
        journal.write_bytes(whole[: draw.randrange(header, len(whole))])
        code, err = run("again.csv", "--journal", journal, "--resume", "--batch-size", size)
        assert code == 3
        assert (tmp_path / "again.csv").read_bytes() == expected
        assert err.splitlines()[0].startswith("Resuming: ")
        assert "Seen: 11 files = 8 scored + 2 refused + 1 skipped" in err


def test_only_what_is_left_is_read(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "j"
    run("whole.csv", "--journal", journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b"b3.png" not in line and b'"end"' not in line))
    seen = _decoded(monkeypatch)
    assert run("again.csv", "--journal", journal, "--resume")[0] == 3
    # An empty file may be filled without a trace that can be trusted, but its kind of error is lasting.
    assert seen == ["b3.png"]
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    # Nothing is left: the output is made again.
    seen.clear()
    assert run("again.json", "--journal", journal, "--resume")[0] == 3
    assert seen == []
    assert len(json.loads((tmp_path / "again.json").read_text())) == 10


def test_a_damaged_line_is_told_and_its_file_scored_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "j"
    run("whole.csv", "--journal", journal)
    content = journal.read_bytes()
    place = content.index(b"b2.png")
    journal.write_bytes(content[:place] + b"x" + content[place + 1 :])
    seen = _decoded(monkeypatch)
    err = run("again.csv", "--journal", journal, "--resume")[1]
    assert "1 line is damaged; the files are scored again" in err
    assert seen == ["b2.png"]
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_changed_new_and_vanished_files(run: Run, images: Path, tmp_path: Path) -> None:
    """The output is that of the folder as it is now, in its order; results of vanished files are kept."""
    journal = tmp_path / "j"
    run("first.csv", "--journal", journal)
    write_png(images / "b1.png", 40)
    write_png(images / "a0.png", 41)
    (images / "b4.png").unlink()
    code, err = run("again.csv", "--journal", journal, "--resume")
    run("fresh.csv")
    assert code == 3
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()
    assert "Left out: 1 file of the journal that is no longer found" in err


def test_only_a_hash_shows_a_change_that_keeps_size_and_time(run: Run, images: Path, tmp_path: Path) -> None:
    path = images / "b1.png"
    run("plain.csv", "--journal", tmp_path / "plain")
    run("hashed.csv", "--journal", tmp_path / "hashed", "--content-hashes")
    before, data = path.stat(), path.read_bytes()
    write_png(path, 40)
    changed = path.read_bytes()[: len(data)].ljust(len(data), b"\0")
    path.write_bytes(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (
        "10 files had been scored before" in run("plain.csv", "--journal", tmp_path / "plain", "--resume")[1]
    )
    again = run("hashed.csv", "--journal", tmp_path / "hashed", "--content-hashes", "--resume")[1]
    assert "9 files had been scored before" in again


def test_another_finding_set_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    run("a.csv", "--journal", journal)
    content = journal.read_bytes()
    code, err = run("a.csv", "--journal", journal, "--resume", "--findings", "nih14", "--views", "all")
    assert code == 2
    assert "finding set (chexpert5 in the journal, nih14 now)" in err
    assert "--views (frontal in the journal, all now)" in err
    assert journal.read_bytes() == content


def test_another_way_of_decoding_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    """Scores of a lower resolution and of all pixels differ by little, but one file must hold one kind."""
    journal = tmp_path / "j"
    run("whole.csv", "--journal", journal)
    code, err = run("again.csv", "--journal", journal, "--resume", "--decode", "full")
    assert code == 2
    assert "--decode (fast in the journal, full" in err


def test_a_journal_of_before_the_choice_is_one_of_full_decoding(run: Run, tmp_path: Path) -> None:
    """Earlier releases decoded every pixel and did not write so: their runs go on in the same way only."""
    journal, output = tmp_path / "j", tmp_path / "whole.csv"
    run("whole.csv", "--journal", journal, "--decode", "full")
    whole = output.read_bytes()
    first, *lines = journal.read_bytes().splitlines(keepends=True)
    header = document_of(first)
    assert header is not None
    del header["options"]["decode"]
    journal.write_bytes(line_of(header) + b"".join(lines[:4]))
    code, err = run("whole.csv", "--journal", journal, "--resume")
    assert (code, "--decode (full in the journal, fast now)" in err) == (2, True)
    output.unlink()
    run("whole.csv", "--journal", journal, "--resume", "--decode", "full")
    assert output.read_bytes() == whole


def test_another_release_of_a_decoder_is_refused_by_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libjpeg-turbo, which decodes JPEG files, comes with simplejpeg: another one may give other pixels."""
    run("a.csv", "--journal", tmp_path / "j")
    monkeypatch.setattr(
        "tier_cli.packages.installed_version",
        lambda name: "0.1" if name == "simplejpeg" else installed_version(name),
    )
    code, err = run("a.csv", "--journal", tmp_path / "j", "--resume")
    assert (code, "versions simplejpeg" in err) == (2, True)


def test_the_journal_beside_an_output_goes_when_the_output_is_there(run: Run, tmp_path: Path) -> None:
    run("a.csv")
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "in"]
    code, err = run("a.csv", "--resume")
    assert code == 3
    assert "to go on with: starting with the first file" in err


def test_an_interrupted_run_is_not_started_over_by_mistake(run: Run, tmp_path: Path) -> None:
    run("a.csv", "--journal", tmp_path / "a.csv.journal")
    (tmp_path / "a.csv").unlink()
    code, err = run("a.csv")
    assert code == 2
    assert "go on with --resume, or delete it" in err
    assert run("a.csv", "--resume")[0] == 3
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "in"]


def test_studies_have_the_same_means_after_a_resume(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    run("whole.jsonl", "--journal", journal, "--by", "study")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]))
    run("again.jsonl", "--journal", journal, "--by", "study", "--resume")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert any("mean of 2 images" in line for line in (tmp_path / "whole.jsonl").read_text().splitlines())


def test_fail_fast_ends_at_the_same_file(run: Run, tmp_path: Path) -> None:
    assert run("whole.csv", "--fail-fast", "--batch-size", 2)[0] == 3
    journal = tmp_path / "whole.csv.journal"
    assert journal.exists(), "the run did not see all files"
    run("whole.csv", "--resume", "--fail-fast")
    first = (tmp_path / "whole.csv").read_bytes()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]))
    assert run("whole.csv", "--resume", "--fail-fast")[0] == 3
    assert (tmp_path / "whole.csv").read_bytes() == first
    assert b"c_lateral" in first
    assert b"d.png" not in first
    assert run("whole.csv", "--resume")[0] == 3
    run("plain.csv")
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_hashed_ids_are_hashed_in_the_journal_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "j"
    monkeypatch.setenv("TIER_HASH_KEY", "secret")
    run("whole.csv", "--journal", journal, "--hash-ids")
    lines = journal.read_bytes().splitlines(keepends=True)
    assert not [line for line in lines if b".png" in line or b"1.1" in line.replace(b"1.31.1", b"")[:-400]]
    journal.write_bytes(b"".join(lines[:5]))
    run("again.csv", "--journal", journal, "--hash-ids", "--resume")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    monkeypatch.setenv("TIER_HASH_KEY", "another")
    code, err = run("again.csv", "--journal", journal, "--hash-ids", "--resume")
    assert (code, "its key" in err) == (2, True)
    monkeypatch.delenv("TIER_HASH_KEY")
    code, err = run("again.csv", "--journal", tmp_path / "k", "--hash-ids", "--resume")
    assert (code, "set TIER_HASH_KEY" in err) == (2, True)


def test_a_journal_with_patient_data_is_private(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    run("a.csv", "--journal", journal, "--include-phi")
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    assert b"Doe" in journal.read_bytes()
    lines = journal.read_bytes().splitlines(keepends=True)
    expected = (tmp_path / "a.csv").read_bytes()
    journal.write_bytes(b"".join(lines[:3]))
    run("a.csv", "--journal", journal, "--include-phi", "--resume")
    assert (tmp_path / "a.csv").read_bytes() == expected


def test_a_full_disk_keeps_what_was_done(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also an older output stays until the new one is whole."""
    run("whole.csv")
    (tmp_path / "a.csv").write_text("older")
    write, lines = os.write, [0]

    def full(descriptor: int, data: Any) -> int:
        lines[0] += 1
        if lines[0] > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        code, err = run("a.csv")
    assert code == 74
    assert err.count("\n") == 1
    assert f"{tmp_path / 'a.csv.journal'}: the journal cannot be written: No space left on device" in err
    assert (tmp_path / "a.csv").read_text() == "older"

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("tier_cli.results.writers.CsvWriter.write", no_room)
        code, err = run("a.csv", "--resume")
    assert code == 74
    assert f"all results are in {tmp_path / 'a.csv.journal'}" in err
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.csv.journal", "in", "whole.csv"]
    assert run("a.csv", "--resume")[0] == 3
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_files_that_a_lost_mount_takes_are_tried_again(
    run: Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("whole.csv")
    hidden, keep = tmp_path / "elsewhere", journaled.JournaledRun.keep

    def losing(self: Any, result: Result) -> None:
        if images.exists() and "b3" in result.paths[0]:
            images.rename(hidden)
        keep(self, result)

    with monkeypatch.context() as patch:
        patch.setattr(journaled.JournaledRun, "keep", losing)
        code, err = run("a.csv", "--batch-size", 1)
    hidden.rename(images)
    assert code == 3
    assert "could not be reached: is a disk or network drive lost?" in err
    assert "run the same command with --resume" in err
    assert run("a.csv", "--resume")[0] == 3
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--resume",),
        ("--shard", "1/2"),
        ("--content-hashes",),
        ("--journal", "j", "--table"),
        ("--journal", "j", "--output", "-"),
        ("--journal", "x.csv", "--output", "x.csv"),
        ("--journal", "j", "--shard", "3/2"),
        ("--journal", "j", "--shard", "1/2", "--fail-fast"),
    ],
)
def test_contradictions_are_refused_in_one_line(
    tier: Tier, model: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = tier("classify", images, "--model", model, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert os.listdir(tmp_path) == ["in"]


def test_a_picture_is_no_journal(run: Run, images: Path) -> None:
    content = (images / "f.png").read_bytes()
    for more in ((), ("--resume",)):
        assert run("a.csv", "--journal", images / "f.png", *more)[0] == 2
    assert (images / "f.png").read_bytes() == content


def _wait_for_lines(journal: Path, lines: int, process: Any) -> None:
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.005)


def test_killed_at_random_and_resumed_with_other_workers(
    start: Any, run: Run, model: str, images: Path, tmp_path: Path
) -> None:
    """SIGKILL, again and again, while processes decode: the file is the same in the end."""
    run("whole.csv")
    journal, draw = tmp_path / "a.csv.journal", random.Random(3)
    for workers in (2, 0):
        options = ("--model", model, "-o", tmp_path / "a.csv", "--resume", "--batch-size", 1)
        before = journal.read_bytes().count(b"\n") if journal.exists() else 1
        with start("classify", images, *options, "--workers", workers) as process:
            _wait_for_lines(journal, before + draw.randint(1, 3), process)
            process.kill()
            process.communicate()
    assert run("a.csv", "--resume")[0] == 3
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "in", "whole.csv"]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_scheduler_s_signal_keeps_what_was_done(
    start: Any, run: Run, model: str, images: Path, tmp_path: Path, name: str, code: int
) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"{path}\n" for path in sorted(images.iterdir()) * 400))
    output, journal = tmp_path / "a.json", tmp_path / "a.json.journal"
    # A test run that nohup started ignores SIGHUP, and so would what it starts.
    defaults = {"preexec_fn": lambda: signal.signal(getattr(signal, name), signal.SIG_DFL)}
    options = ("--model", model, "-o", output, "--workers", 0)
    with start("classify", listing, *options, **defaults) as process:
        _wait_for_lines(journal, 4, process)
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (code, b"")
    results = json.loads(output.read_text())
    assert 0 < len(results) < 4000
    assert err.decode().startswith(f"Interrupted by {name}: {len(results)} results were written to {output}.")
    assert b"run the same command with --resume" in err
    assert journal.exists()


@pytest.mark.parametrize("lost", [True, False])
def test_a_signal_that_other_code_swallows_ends_the_run_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Destructors lose it, and a compiled module whose import is interrupted raises ImportError."""
    run("whole.jsonl")
    keep = journaled.JournaledRun.keep

    def interrupted(self: Any, result: Result) -> None:
        keep(self, result)
        if "b2" in result.paths[0]:
            try:
                signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt:
                if not lost:
                    raise ImportError from None

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with monkeypatch.context() as patch:
        patch.setattr(journaled.JournaledRun, "keep", interrupted)
        code, err = run("a.jsonl", "--batch-size", 1)
    signal.signal(signal.SIGTERM, before)
    assert code == 143
    assert "Interrupted by SIGTERM: 4 results were written" in err
    assert "a bug" not in err
    assert run("a.jsonl", "--resume")[0] == 3
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
