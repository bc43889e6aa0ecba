"""Measure what grows with the number of files. Run: python benchmarks/ten_million.py [COUNT ...]

For each number of files: finding them, deciding which part each belongs to, writing the journals of 16 parts
and one of all, reading that as --resume does, and joining the parts by image and by study. Nothing is decoded
and no model computes. Each step runs in a process of its own, whose CPU seconds and growth of memory are
shown. Set TMPDIR to a folder in memory, such as /dev/shm: the numbers are then those of the program and not
of a disk. Memory is that of Linux.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tier_cli.imaging.discover import discover
from tier_cli.pipeline.joined import Joined
from tier_cli.pipeline.journal_header import RunDescription, header_of
from tier_cli.pipeline.journaled import FileState, JournalResults, line_for
from tier_cli.pipeline.scoring_job import open_job
from tier_cli.pipeline.shards import Shard
from tier_cli.pipeline.stream import StreamOptions
from tier_cli.results.journal import Journal, read_journal
from tier_cli.results.output import OutputFile
from tier_cli.results.record import FindingScore, Result

COUNTS = (50_000, 100_000, 200_000)
PARTS = 16
_IMAGE = Path(__file__).parents[1] / "examples" / "02-effusion-pa.dcm"
_PER_FOLDER = 1_000


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=list(COUNTS), help="numbers of files")
    given = parser.parse_args()
    sys.stdout.write(f"{'files':>9}  {'step':<34}{'CPU s':>8}{'us/file':>9}{'MB':>8}{'bytes/file':>12}\n")
    for count in given.counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _measured("make the files", count, partial(_make, folder, count))
            for step, work in {
                "find them": partial(_find, folder),
                "find them and pick part 1 of 16": partial(_pick, folder),
                "write 17 journals": partial(_write, folder, count),
                "read one journal of all": partial(_read, folder, count),
                "join 16 journals": partial(_join, folder, "image"),
                "join 16 journals by study": partial(_join, folder, "study"),
            }.items():
                _measured(step, count, work)


def _measured(step: str, count: int, work: Callable[[], None]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(work, theirs))
    process.start()
    theirs.close()
    seconds, kilobytes = ours.recv()
    process.join()
    if step != "make the files":
        sys.stdout.write(
            f"{count:>9,}  {step:<34}{seconds:>8.1f}{1e6 * seconds / count:>9.1f}"
            f"{kilobytes / 1e3:>8.0f}{1e3 * kilobytes / count:>12.0f}\n"
        )
        sys.stdout.flush()


def _child(work: Callable[[], None], pipe: Any) -> None:
    before, start = _peak(), os.times()
    work()
    end = os.times()
    pipe.send((end.user + end.system - start.user - start.system, _peak() - before))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _path(folder: Path, number: int) -> Path:
    return folder / "files" / f"{number // _PER_FOLDER:05d}" / f"{number:08d}.dcm"


def _make(folder: Path, count: int) -> None:
    """Write files of 4 kB that begin like DICOM files."""
    content = _IMAGE.read_bytes()[:4096]
    for number in range(count):
        path = _path(folder, number)
        if number % _PER_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(content)


def _find(folder: Path) -> None:
    for _ in discover([str(folder / "files")]):
        pass


def _pick(folder: Path) -> None:
    shard = Shard(1, PARTS)
    for source in discover([str(folder / "files")]):
        shard.has(source.path)


def _header(shard: Shard | None) -> dict[str, Any]:
    job, options = open_job("tier-small"), StreamOptions()
    return header_of(job, job.scorer(options), options, shard=shard)


def _result(results: JournalResults, path: str, number: int) -> Result:
    study = f"1.2.826.0.1.3680043.8.498.{number // 2:039d}"
    ids = results.ids
    scores = tuple(FindingScore(name, -0.12345678901234567 / (1 + index)) for index, name in enumerate(ids))
    known = {"study": study, "series": f"{study}.1", "instance": f"{study}.1.{number % 2}", "view": "PA"}
    return Result((path,), results.stamp, results.scoring, findings=scores, **known)


def _write(folder: Path, count: int) -> None:
    end = {"files": count, "sources": "", "passed_over": {}}
    state = FileState(8_000_000, 1_700_000_000_000_000_000)
    for part in [None, *range(1, PARTS + 1)]:
        header = _header(None if part is None else Shard(part, PARTS))
        results = RunDescription.of(header, "").results
        with Journal(folder / f"part-{part or 'all'}.journal", header) as journal:
            for number in range(count):
                if part is None or number // 2 % PARTS == part - 1:
                    path = str(_path(folder, number))
                    journal.append(line_for(number, path, state, _result(results, path, number)))
            journal.append({"end": end})


def _read(folder: Path, count: int) -> None:
    if read_journal(folder / "part-all.journal").results != count:
        raise SystemExit("the journal is not whole")


def _join(folder: Path, unit: str) -> None:
    paths = [folder / f"part-{part}.journal" for part in range(1, PARTS + 1)]
    joined = Joined.read(paths)
    joined.refuse_unless(False)
    finish = joined.description.finish
    layout = joined.layout(True)
    if unit == "study":
        finish, layout = replace(finish, unit="study"), replace(layout, unit="study")
    OutputFile(str(folder / f"{unit}.csv"), True).write_whole(layout, finish.results(joined.results()))


if __name__ == "__main__":
    main()
