"""Exact search equals brute force; faiss finds nearly as much."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vectors import HASHES, unit, write_vectors

from tier_cli.errors import UsageError
from tier_cli.results.embedded import METADATA
from tier_cli.search.approximate import approximately_nearest, graph_path
from tier_cli.search.exact import largest, nearest
from tier_cli.search.index import EmbeddingIndex
from tier_cli.search.open_index import open_index, open_indexes

ENDINGS = ("parquet", "npz")


def paths_of(indexes: list[EmbeddingIndex], hits: Any) -> list[str | None]:
    return [indexes[hit.file].keys([hit.row])[0]["path"] for hit in hits]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_exact_is_brute_force(tmp_path: Path, ending: str, precision: str) -> None:
    vectors = unit(9000, 16)
    index = open_index(write_vectors(tmp_path / f"x.{ending}", vectors, 7, precision=precision))
    query = unit(1, 16, seed=9)[0]
    stored = vectors.astype(precision).astype(np.float64)
    scores = stored @ query / np.linalg.norm(stored, axis=1)
    wanted = np.argsort(-scores, kind="stable")[:25]
    hits = nearest([index], query, 25)
    np.testing.assert_allclose([hit.score for hit in hits], scores[wanted], atol=1e-6)
    assert paths_of([index], hits) == [str(number) for number in wanted]
    assert index.keys([hits[0].row])[0]["study"] == f"s{wanted[0]}"
    assert len(nearest([index], query, 10_000)) == 9000


def test_several_files_are_searched_as_one(tmp_path: Path) -> None:
    vectors, query = unit(300, 8), unit(1, 8, seed=3)[0]
    write_vectors(tmp_path / "a.parquet", vectors[:100])
    write_vectors(tmp_path / "b.npz", vectors[100:], 4)
    write_vectors(tmp_path / "c.npz", vectors[:0])
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "notes.txt").write_text("no embeddings")
    indexes, aside = open_indexes(tmp_path)
    assert [Path(file).name for file in aside] == ["other.npz"]
    assert [index.count for index in indexes] == [100, 200]
    wanted = np.argsort(-(vectors @ query))[:9]
    hits = nearest(indexes, query, 9)
    assert paths_of(indexes, hits) == [str(n if n < 100 else n - 100) for n in wanted]
    assert [hit.file for hit in hits] == [int(n >= 100) for n in wanted]


def test_equal_scores_are_in_row_order(tmp_path: Path) -> None:
    index = open_index(write_vectors(tmp_path / "x.npz", np.repeat(unit(1, 4), 50, axis=0)))
    assert [hit.row for hit in nearest([index], unit(1, 4)[0], 5)] == [0, 1, 2, 3, 4]
    assert sorted(largest(np.array([1.0, 2, 1, 2, 1]), 3)) == [0, 1, 3]


@pytest.mark.parametrize("ending", ENDINGS)
def test_faiss_finds_nearly_all(tmp_path: Path, ending: str) -> None:
    vectors, queries = unit(3000, 32), unit(20, 32, seed=1)
    index = open_index(write_vectors(tmp_path / f"x.{ending}", vectors, 10))
    found = wanted = 0
    for query in queries:
        exact, near = nearest([index], query, 10), approximately_nearest([index], query, 10)
        scores = {hit.row: hit.score for hit in exact}
        both = [hit for hit in near if hit.row in scores]
        np.testing.assert_allclose([hit.score for hit in both], [scores[h.row] for h in both], atol=1e-5)
        found, wanted = found + len(both), wanted + len(exact)
    assert found / wanted > 0.97


def test_the_graph_is_reused_until_the_vectors_change(tmp_path: Path) -> None:
    told: list[str] = []
    path = write_vectors(tmp_path / "x.npz", unit(200, 8))
    query = unit(1, 8, seed=2)[0]
    first = approximately_nearest([open_index(path)], query, 3, told.append)
    assert told == ["Building an index of x.npz ..."]
    assert approximately_nearest([open_index(path)], query, 3, told.append) == first
    assert len(told) == 1
    before = graph_path(open_index(path))
    write_vectors(path, unit(200, 8, seed=5))
    again = approximately_nearest([open_index(path)], query, 3, told.append)
    assert len(told) == 2
    assert [hit.row for hit in again] == [hit.row for hit in nearest([open_index(path)], query, 3)]
    assert not before.exists(), "graphs of what is no longer there would pile up"
    graph_path(open_index(path)).write_bytes(b"broken")
    assert approximately_nearest([open_index(path)], query, 3, told.append) == again
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.npz", graph_path(open_index(path)).name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_without_embeddings_are_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    with pytest.raises(UsageError, match="no such file"):
        open_index(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="holds no embeddings"):
        open_index(path)
    with pytest.raises(UsageError, match="holds no embeddings"):
        open_indexes(tmp_path)


def test_a_table_of_scores_is_not_an_index(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"path": ["a"], "score": [1.0]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="holds no embeddings"):
        open_index(tmp_path / "x.parquet")


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_files_are_reported_and_not_searched(tmp_path: Path, ending: str) -> None:
    path = write_vectors(tmp_path / f"x.{ending}", unit(2000, 32))
    data = bytearray(path.read_bytes())
    place = data.find(unit(2000, 32)[1000].tobytes())
    data[place : place + 4] = b"\x00\x00\x00\x00"
    path.write_bytes(data)
    if ending == "npz":
        with pytest.raises(UsageError, match="is damaged"):
            nearest([open_index(path)], unit(1, 32)[0], 5)
    else:
        broken = path.read_bytes()
        path.write_bytes(broken[4:2000] + broken[20_000:])
        with pytest.raises(UsageError, match=r"is damaged|holds no embeddings"):
            nearest([open_index(path)], unit(1, 32)[0], 5)


@pytest.mark.parametrize("part", ["weights", "preprocessing"])
def test_two_models_in_a_folder_are_refused(tmp_path: Path, part: str) -> None:
    write_vectors(tmp_path / "a.npz", unit(5, 4))
    write_vectors(tmp_path / "b.parquet", unit(5, 4), hashes={**HASHES, part: "d" * 64})
    with pytest.raises(UsageError, match=f"a.npz and b.parquet come from models with different {part}"):
        open_indexes(tmp_path)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_vectors_that_are_no_embeddings_are_refused(
    tmp_path: Path, ending: str, value: float, precision: str
) -> None:
    """NaN would be printed as a score, and a longer vector would be near to everything."""
    vectors = unit(50, 8)
    vectors[17] = value
    index = open_index(write_vectors(tmp_path / f"x.{ending}", vectors, precision=precision))
    for search in (nearest, approximately_nearest):
        with pytest.raises(UsageError, match="not finite or not of length 1") as caught:
            search([index], unit(1, 8)[0], 3)
        assert caught.value.where == str(index.path)


def _rewritten(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]], **arrays: Any) -> Path:
    """Write an NPZ file again with other metadata and other arrays."""
    with np.load(file) as content:
        known = dict(content)
    known[METADATA] = np.array(json.dumps(change(json.loads(str(known[METADATA])))))
    np.savez(file, **{**known, **arrays})
    return file


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("dimension", -1), ("dimension", 10**9), ("dimension", "8"), ("embedded", -5), ("embedded", 5.5)),
        *(("embedded", True), ("model", []), ("model", {"name": 1, "hashes": {}}), ("schema_version", None)),
    ],
)
def test_senseless_metadata_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    path = _rewritten(write_vectors(tmp_path / "x.npz", unit(5, 8)), lambda known: {**known, field: value})
    with pytest.raises(UsageError) as caught:
        open_index(path)
    assert caught.value.where == str(path)


def test_an_archive_that_claims_more_than_it_holds_is_damaged(tmp_path: Path) -> None:
    """Compressed zeros can claim any size: they must not be read into memory."""

    def rewritten(**arrays: Any) -> Path:
        return _rewritten(write_vectors(tmp_path / "x.npz", unit(5, 8)), lambda known: known, **arrays)

    long = open_index(rewritten(path=np.array(["x" * 10_000] * 5)))
    with pytest.raises(UsageError, match="is damaged"):
        long.keys([0])
    objects = open_index(rewritten(embeddings=unit(5, 8).astype(object)))
    with pytest.raises(UsageError, match="is damaged"):
        nearest([objects], unit(1, 8)[0], 1)
    many = rewritten(**{f"more{number}": np.zeros(1) for number in range(100)})
    with pytest.raises(UsageError, match="holds no embeddings"):
        open_index(many)
