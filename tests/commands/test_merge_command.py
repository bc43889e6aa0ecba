"""`tier merge`: parts of a run become the file of the whole run."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from xrays import write_dicom, write_png

from tier_cli.pipeline.shards import Shard, study_of
from tier_cli.results.output import OutputFile

Tier = Callable[..., tuple[int, str, str]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Studies of two images, and images without a study."""
    here = tmp_path / "in"
    here.mkdir()
    for number in range(3):
        write_dicom(here / f"{number}a.dcm", number, f"1.{number}")
        write_png(here / f"{number}b.png", number)
        write_dicom(here / f"{number}z.dcm", number + 5, f"1.{number}", Modality="CR" if number else "CT")
    (here / "notes.txt").write_text("no image")
    return here


@pytest.mark.parametrize(("shards", "by"), [(1, "image"), (4, "study")])
def test_shards_give_the_file_of_one_run(
    tier: Tier, model: str, images: Path, tmp_path: Path, shards: int, by: str
) -> None:
    common = ("classify", images, "--model", model, "--by", by)
    code, _, told = tier(*common, "-o", tmp_path / "whole.csv")
    journals = [tmp_path / f"{number}.journal" for number in range(1, shards + 1)]
    for number, journal in enumerate(journals, 1):
        tier(*common, "--journal", journal, "--shard", f"{number}/{shards}")
    merged = tier("merge", *reversed(journals), "-o", tmp_path / "merged.csv")
    assert (merged[0], merged[1]) == (code, "")
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert merged[2].replace("merged.csv", "whole.csv") == told
    assert sorted(map(str, journals)) == sorted(str(path) for path in tmp_path.glob("*.journal"))


def test_missing_doubled_and_unfinished_shards_are_named(
    tier: Tier, model: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        tier("classify", images, "--model", model, "-o", f"{number}.csv", "--shard", f"{number}/3")
    assert {f"{number}.csv.journal" for number in (1, 2, 3)} <= set(os.listdir())
    code, _, err = tier("merge", "1.csv", "2.csv", "3.csv", "-o", "m.csv")
    assert code == 3
    Path("m.csv").unlink()
    code, _, err = tier("merge", "1.csv", "3.csv", "3.csv.journal", "-o", "m.csv")
    assert code == 2
    assert "shard 3/3 is given 2 times (3.csv.journal, 3.csv.journal); shard 2/3 is missing" in err
    lines = Path("2.csv.journal").read_bytes().splitlines(keepends=True)
    Path("2.csv.journal").write_bytes(b"".join(lines[:2]))
    code, _, err = tier("merge", "1.csv", "2.csv", "3.csv", "-o", "m.csv")
    assert (code, "2.csv.journal is not finished (" in err) == (2, True)
    assert not Path("m.csv").exists()
    code, _, err = tier("merge", "1.csv", "2.csv", "3.csv", "-o", "m.csv", "--allow-incomplete")
    assert code == 3
    assert "Incomplete: 2.csv.journal is not finished" in err
    assert Path("m.csv").exists()


def test_parts_of_other_runs_and_other_files_are_refused(
    tier: Tier, model: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tier("classify", images, "--model", model, "--journal", "1", "--shard", "1/2")
    tier("classify", images, "--model", model, "--journal", "2", "--shard", "2/2", "--views", "all")
    code, _, err = tier("merge", "1", "2", "-o", "m.csv")
    assert (code, "differs from 1 in --views (frontal in 1, all in 2)" in err) == (2, True)
    code, _, err = tier("merge", "1", images / "0b.png", "-o", "m.csv")
    assert (code, "no journal" in err) == (2, True)
    Path("all.csv").write_text("path,finding,score\n")
    code, _, err = tier("merge", "all.csv", "-o", "m.csv")
    # The remedy must not be to delete it: a finished output has no journal any more.
    assert (code, "no journal; name a journal of `tier classify`" in err) == (2, True)
    assert tier("merge", "absent", "-o", "m.csv")[0] == 2
    assert not Path("m.csv").exists()


def test_a_full_disk_is_told_with_a_remedy_that_merge_has(
    tier: Tier, model: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tier("classify", images, "--model", model, "--journal", "1")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(OutputFile, "write_whole", full)
    code, _, err = tier("merge", "1", "-o", "m.csv")
    assert (code, "then run the same command again" in err, "--resume" in err) == (74, True, False)


def test_dividing_files_opens_no_socket(tmp_path: Path) -> None:
    """pydicom imports requests where it can, and that opens one."""
    path = str(write_dicom(tmp_path / "a.dcm", 0, "1.2.3"))
    program = "import sys; from tier_cli.pipeline.shards import study_of; print(study_of(sys.argv[1]))"
    program += "; print('pydicom' in sys.modules, 'requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.2.3", "True", "False"]


def test_the_images_of_a_study_stay_together(tmp_path: Path) -> None:
    paths = [str(write_dicom(tmp_path / f"{name}.dcm", 0, "1.2.3")) for name in "abcdefgh"]
    assert {study_of(path) for path in paths} == {"1.2.3"}
    shards = [Shard(number, 5) for number in range(1, 6)]
    assert [sum(shard.has(path) for path in paths) for shard in shards].count(8) == 1
    other = str(write_png(tmp_path / "x.png", 0))
    assert study_of(other) == ""
    assert sum(shard.has(other) for shard in shards) == 1
