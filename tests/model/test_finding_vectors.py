"""Finding vectors: what they depend on, and where they are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tier_cli.findings.load import builtin, builtin_names, load_findings
from tier_cli.findings.schema import FindingSet
from tier_cli.findings.vectors import embed_findings
from tier_cli.model.checkpoint import Checkpoint
from tier_cli.model.engine import Engine
from tier_cli.model.finding_vectors import finding_vectors, vectors_key
from tier_cli.model.open_engine import open_engine


class Counted:
    """An engine that counts how often it is asked for."""

    def __init__(self, engine: Engine):
        self.engine, self.asked = engine, 0

    def __call__(self) -> Engine:
        self.asked += 1
        return self.engine


@pytest.fixture(scope="module")
def onnx(tiny: Checkpoint) -> Engine:
    return open_engine(tiny, "onnx", threads=1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vectors"


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_sets_are_stored_with_the_checkpoint(
    tiny: Checkpoint, onnx: Engine, cache: Path, name: str
) -> None:
    factory = Counted(onnx)
    vectors = finding_vectors(tiny, builtin(name), factory)
    assert factory.asked == 0
    assert not cache.exists()
    expected = embed_findings(builtin(name), onnx.embed_texts)
    np.testing.assert_allclose(vectors.positive, expected.positive, atol=1e-5)
    np.testing.assert_allclose(vectors.negative, expected.negative, atol=1e-5)


def test_other_sets_are_computed_once(tiny: Checkpoint, onnx: Engine, cache: Path) -> None:
    factory = Counted(onnx)
    own = load_findings("clear lungs,rib fracture")
    first = finding_vectors(tiny, own, factory)
    second = finding_vectors(tiny, own, factory)
    assert factory.asked == 1
    assert len(list(cache.iterdir())) == 1
    np.testing.assert_array_equal(first.positive, second.positive)


def test_a_flipped_bit_in_the_cache_is_noticed(tiny: Checkpoint, onnx: Engine, cache: Path) -> None:
    """A vector with another sign in one place has the same length and gives another score."""
    own = load_findings("clear lungs")
    expected = finding_vectors(tiny, own, Counted(onnx))
    (entry,) = cache.iterdir()
    content = bytearray(entry.read_bytes())
    content[-1] ^= 128
    entry.write_bytes(bytes(content))
    factory = Counted(onnx)
    found = finding_vectors(tiny, own, factory)
    np.testing.assert_array_equal(found.positive, expected.positive)
    np.testing.assert_array_equal(found.negative, expected.negative)
    assert factory.asked == 1


@pytest.mark.parametrize("content", [b"", b"broken", None])
def test_a_broken_cache_entry_is_replaced(
    tiny: Checkpoint, onnx: Engine, cache: Path, content: bytes | None
) -> None:
    own = load_findings("clear lungs")
    expected = finding_vectors(tiny, own, Counted(onnx))
    (entry,) = cache.iterdir()
    if content is None:
        from safetensors.numpy import load_file, save_file

        save_file({name: 0 * value for name, value in load_file(entry).items()}, entry)
    else:
        entry.write_bytes(content)
    factory = Counted(onnx)
    np.testing.assert_array_equal(finding_vectors(tiny, own, factory).positive, expected.positive)
    assert factory.asked == 1
    finding_vectors(tiny, own, factory)
    assert factory.asked == 1


def test_an_unwritable_cache_is_ignored(
    tiny: Checkpoint, onnx: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "file" / "cache"))
    factory = Counted(onnx)
    for _ in range(2):
        finding_vectors(tiny, load_findings("clear lungs"), factory)
    assert factory.asked == 2


def _with_prompt(fs: FindingSet, prompt: str) -> FindingSet:
    changed = dataclasses.replace(fs.findings[0], negative=(prompt,))
    return FindingSet(fs.name, (changed, *fs.findings[1:]))


def test_the_key_follows_prompts_weights_tokenizer_and_nothing_else(tiny: Checkpoint) -> None:
    fs = builtin("chexpert5")
    key = vectors_key(tiny, fs)
    assert vectors_key(tiny, FindingSet("another name", fs.findings)) == key
    others = [vectors_key(tiny, _with_prompt(fs, "Nothing to see."))]
    for part in ("weights", "tokenizer"):
        hashes = {**tiny.hashes, part: "0" * 64}
        others.append(vectors_key(dataclasses.replace(tiny, hashes=hashes), fs))
    others.append(vectors_key(dataclasses.replace(tiny, config={**tiny.config, "max_tokens": 9}), fs))
    assert len({key, *others}) == 5
    preprocessing = {**tiny.hashes, "preprocessing": "0" * 64}
    assert vectors_key(dataclasses.replace(tiny, hashes=preprocessing), fs) == key


def test_each_distinct_prompt_is_embedded_once(tiny: Checkpoint, onnx: Engine, cache: Path) -> None:
    seen: list[str] = []

    class Recording:
        def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
            seen.extend(texts)
            return onnx.embed_texts(texts)

    finding_vectors(tiny, load_findings("clear lungs,rib fracture"), Recording)  # type: ignore[arg-type]
    assert len(seen) == len(set(seen)) > 0
