"""Files of embeddings: equal in both formats, and written in bounded memory."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tier_cli.errors import UsageError
from tier_cli.results.embedded import EmbeddingResult, EmbeddingSpace
from tier_cli.results.embedding_file import EmbeddingFile
from tier_cli.results.record import Failure

HASHES = {"weights": "a" * 64, "preprocessing": "b" * 64, "tokenizer": "c" * 64}


def space(precision: Any = "float32", with_patches: bool = True) -> EmbeddingSpace:
    return EmbeddingSpace("tiny", HASHES, 6, precision, with_patches)


def rows(count: int, with_patches: bool = True) -> list[EmbeddingResult]:
    """Every third file failed; a path that is no UTF-8 and one with a line end."""
    generator = np.random.default_rng(0)
    found = []
    for number in range(count):
        path = f"{number}\n\udcff.png"
        if number % 3 == 2:
            found.append(EmbeddingResult(path, error=Failure("missing", "no such file")))
            continue
        vector = generator.normal(size=6).astype(np.float32)
        patches = generator.normal(size=(4, 6)).astype(np.float32)
        found.append(
            EmbeddingResult(
                path,
                study="1.2",
                view="PA",
                vector=vector / np.linalg.norm(vector),
                norm=float(number + 1),
                patches=patches if with_patches else None,
                patch_norms=np.full(4, number, np.float32) if with_patches else None,
                grid=(2, 2) if with_patches else None,
                notes=("a", "b"),
            )
        )
    return found


def write(path: Path, some: Iterable[EmbeddingResult], where: EmbeddingSpace) -> Path:
    with EmbeddingFile(str(path)).writer(where) as writer:
        for row in some:
            writer.write(row)
    return path


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_both_formats_hold_what_was_given(tmp_path: Path, precision: Any) -> None:
    given = rows(10)
    there = [row for row in given if row.vector is not None]
    table = pq.read_table(write(tmp_path / "x.parquet", given, space(precision))).to_pylist()
    with np.load(write(tmp_path / "x.npz", given, space(precision)), allow_pickle=False) as arrays:
        npz = dict(arrays)
    wanted = np.stack([row.vector for row in there]).astype(precision)  # type: ignore[misc]
    assert npz["embeddings"].dtype == wanted.dtype
    np.testing.assert_array_equal(npz["embeddings"], wanted)
    np.testing.assert_array_equal(npz["norms"], [row.norm for row in there])
    assert npz["patches"].shape == (7, 2, 2, 6)
    assert npz["path"].tolist() == [row.path for row in there]
    assert npz["notes"].tolist() == ["a; b"] * 7
    assert npz["error_path"].tolist() == [row.path for row in given if row.error]
    assert set(npz["error_kind"].tolist()) == {"missing"}

    assert [row["error_kind"] for row in table] == [row.error and row.error.kind for row in given]
    assert [row["embedding"] is None for row in table] == [row.vector is None for row in given]
    known = [row for row in table if row["embedding"] is not None]
    np.testing.assert_array_equal(np.array([row["embedding"] for row in known], precision), wanted)
    patches = np.array([row["patches"] for row in known], precision).reshape(7, 2, 2, 6)
    np.testing.assert_array_equal(patches, npz["patches"])
    assert known[0]["path"] == "0\n\\udcff.png"
    assert known[0]["series"] is None

    said = json.loads(pq.read_metadata(tmp_path / "x.parquet").metadata[b"tier"])
    assert said == json.loads(str(npz["tier"]))
    assert said["model"] == {"name": "tiny", "hashes": HASHES}
    assert (said["embedded"], said["failed"], said["patch_grid"]) == (7, 3, [2, 2])
    assert said["sha256"] == hashlib.sha256(wanted.tobytes()).hexdigest()


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_same_embeddings_make_the_same_file(tmp_path: Path, ending: str) -> None:
    one, two = (write(tmp_path / f"{n}.{ending}", rows(5), space()).read_bytes() for n in "ab")
    assert one == two


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_a_file_without_a_single_image_can_be_read(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"x.{ending}", [EmbeddingResult("x", error=Failure("missing", "gone"))], space())
    if ending == "npz":
        with np.load(path) as arrays:
            assert arrays["embeddings"].shape == (0, 6)
    else:
        assert pq.read_table(path)["embedding"].to_pylist() == [None]


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_memory_is_bounded_by_a_row_group(tmp_path: Path, ending: str) -> None:
    wide = EmbeddingSpace("tiny", HASHES, 4096)
    vector = np.full(4096, 4096**-0.5, np.float32)
    write(tmp_path / f"first.{ending}", [EmbeddingResult("x", vector=vector)], wide)
    count = 3000
    tracemalloc.start()
    with EmbeddingFile(str(tmp_path / f"x.{ending}")).writer(wide) as writer:
        for number in range(count):
            writer.write(EmbeddingResult(str(number), vector=vector.copy(), norm=1.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * vector.nbytes / 2, "as much as half of all vectors were held"


def _interrupted() -> Iterator[EmbeddingResult]:
    yield from rows(4)
    raise KeyboardInterrupt


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_an_interrupted_file_keeps_finished_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    with pytest.raises(KeyboardInterrupt):
        write(path, _interrupted(), space())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    if ending == "npz":
        with np.load(path) as arrays:
            assert len(arrays["embeddings"]) == 3
    else:
        assert pq.read_metadata(path).num_rows == 4


def test_row_groups_are_written_as_they_fill(tmp_path: Path) -> None:
    where = EmbeddingSpace("tiny", HASHES, 6)
    path = write(tmp_path / "x.parquet", rows(20_000, with_patches=False), where)
    assert pq.read_metadata(path).num_row_groups == 3


@pytest.mark.parametrize(("name", "said"), [("x.csv", ".parquet or .npz"), ("no/x.npz", "folder")])
def test_refused_before_any_work(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        EmbeddingFile(str(tmp_path / name))
