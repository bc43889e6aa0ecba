"""`tier embed` and `tier search` from the command line: files, search results, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from xrays import write_png

from tier_cli.model.checkpoint import open_checkpoint, write_checksums
from tier_cli.model.open_engine import open_engine

Tier = Callable[..., tuple[int, str, str]]
SECRETS = ("Doe^Jane", "ID4711", "ACC0815", "19500102", "20010203")


@pytest.fixture
def folder(folder: Path) -> Path:
    """The folder of the other commands' tests with one more PNG."""
    write_png(folder / "e.png", 4)
    return folder


@pytest.fixture
def index(tier: Tier, model: str, folder: Path, tmp_path: Path) -> Path:
    """The embeddings of the folder."""
    tier("embed", folder, "--model", model, "-o", tmp_path / "x.npz", "--views", "all", "--accept-any")
    return tmp_path / "x.npz"


def _found(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_same_files_same_refusals_and_same_numbers_as_classify(
    tier: Tier, model: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.parquet"
    code, out, err = tier("embed", folder, "--model", model, "--output", path)
    assert (code, out) == (3, "")
    assert "2 of 5 files could not be embedded: other view (1), other modality (1)\n" in err
    scored = _found(tier("classify", folder, "--model", model)[1])
    rows = pq.read_table(path).to_pylist()
    keys = ("path", "study", "series", "instance", "view")
    assert [[row[key] for key in keys] for row in rows] == [[line[key] for key in keys] for line in scored]
    assert [row["error_message"] for row in rows] == [
        line["error"] and line["error"]["message"] for line in scored
    ]
    from tier_cli.findings.load import builtin
    from tier_cli.model.finding_vectors import finding_vectors

    checkpoint = open_checkpoint(model)
    vectors = finding_vectors(checkpoint, builtin("chexpert5"), lambda: open_engine(checkpoint))
    for row, line in zip(rows, scored, strict=True):
        if row["embedding"] is None:
            continue
        unit = np.array(row["embedding"], np.float64)
        assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
        wanted = [entry["score"] for entry in line["findings"]]
        assert (vectors.positive - vectors.negative) @ unit == pytest.approx(wanted, abs=2e-6)
    data = path.read_bytes() + str(pq.read_metadata(path).metadata).encode()
    assert not [secret for secret in SECRETS if secret.encode() in data]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_patches_are_the_model_s_own(
    tier: Tier, model: str, folder: Path, tmp_path: Path, engine: str
) -> None:
    from tier_cli.imaging.preprocess import prepare
    from tier_cli.imaging.read import read_radiograph

    options = ("--patches", "--engine", engine, "--device", "cpu")
    code, _, _ = tier("embed", folder / "d.png", "--model", model, "-o", tmp_path / "x.npz", *options)
    assert code == 0
    checkpoint = open_checkpoint(model)
    pixels = prepare(read_radiograph(str(folder / "d.png")).pixels, checkpoint.preprocessing).pixels[None]
    opened = open_engine(checkpoint, "torch", "cpu")
    patches, grid = opened.patches(pixels)
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["patches"].shape == (1, *grid, patches.shape[-1])
        back = arrays["patches"] * arrays["patch_norms"][..., None]
        np.testing.assert_allclose(back.reshape(patches.shape), patches, atol=1e-4)
        whole = arrays["embeddings"] * arrays["norms"][:, None]
        np.testing.assert_allclose(whole, opened.encode_images(pixels), atol=1e-4)


def test_hashed_ids(
    tier: Tier, model: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIER_HASH_KEY", "key")
    tier("embed", folder, "--model", model, "-o", tmp_path / "x.npz", "--hash-ids")
    wanted = _found(tier("classify", folder, "--model", model, "--hash-ids")[1])
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["path"].tolist() == [line["path"] for line in wanted if not line["error"]]
        assert arrays["error_path"].tolist() == [line["path"] for line in wanted if line["error"]]
        assert arrays["study"][0] == wanted[0]["study"]


def test_fail_fast(tier: Tier, model: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    assert tier("embed", folder, "--model", model, "-o", path, "--fail-fast")[0] == 3
    assert pq.read_table(path)["error_kind"].to_pylist() == [None, "view"]


def test_ctrl_c_keeps_finished_results(
    tier: Tier, model: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tier_cli.pipeline import embed as module

    def interrupted(path: str, *rest: Any) -> Any:
        if path.endswith("e.png"):
            os.kill(os.getpid(), signal.SIGINT)
        return embedded(path, *rest)

    embedded = module._embedded
    monkeypatch.setattr(module, "_embedded", interrupted)
    path = tmp_path / "x.npz"
    code, _, err = tier("embed", folder, "--model", model, "-o", path, "--batch-size", 1)
    assert code == 130
    assert err.splitlines()[0] == f"Interrupted: 4 results were written to {path}."
    assert "To go on, give the other files as a list with one path per line, and another --output." in err
    with np.load(path) as arrays:
        assert [Path(name).name for name in arrays["path"]] == ["a_pa", "d.png"]
    assert sorted(os.listdir(tmp_path)) == ["in", "x.npz"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x",), "Missing option"),
        (("x", "-o", "x.csv"), ".parquet or .npz"),
        (("x", "-o", "nowhere/x.npz"), "folder"),
        (("x", "-o", "x.npz", "--dtype", "int8"), "float16"),
        (("x", "-o", "x.npz", "--model", "nope"), "no model 'nope'"),
    ],
)
def test_wrong_usage(
    tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = tier("embed", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", [(), ("--approximate",)])
def test_a_text_finds_what_classify_scores_highest(
    tier: Tier, model: str, folder: Path, index: Path, how: tuple[str, ...], tmp_path: Path
) -> None:
    toml = tmp_path / "one.toml"
    toml.write_text(
        'name = "one"\n[findings.x]\npositive = ["left effusion"]\nnegative = ["the lungs are clear"]\n'
    )
    options = ("--model", model, "--findings", toml, "--views", "all", "--accept-any")
    scored = {
        line["path"]: line["findings"][0]["score"] for line in _found(tier("classify", folder, *options)[1])
    }
    asked = ("left effusion", "--negative", "the lungs are clear", "--index", index, "--model", model)
    code, out, _ = tier("search", *asked, "--top", 3, *how)
    found = _found(out)
    assert code == 0
    assert [hit["rank"] for hit in found] == [1, 2, 3]
    assert {hit["scoring"] for hit in found} == {"cosine_difference"}
    best = sorted(scored, key=lambda path: -scored[path])[:3]
    assert [hit["path"] for hit in found] == best
    assert [hit["score"] for hit in found] == pytest.approx([scored[path] for path in best], abs=2e-6)


def test_an_image_finds_itself(tier: Tier, model: str, folder: Path, index: Path) -> None:
    code, out, _ = tier("search", "--image", folder / "b_lateral.dcm", "--index", index, "--model", model)
    first = _found(out)[0]
    assert code == 0
    assert (first["path"], first["view"], first["study"]) == (str(folder / "b_lateral.dcm"), "LATERAL", "1.1")
    assert first["score"] == pytest.approx(1, abs=1e-5)


def test_another_model_is_refused(tier: Tier, model: str, index: Path, tmp_path: Path) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(bytes(weights))
    write_checksums(other)
    code, out, err = tier("search", "effusion", "--index", index, "--model", other)
    assert (code, out) == (2, "")
    assert "made by tiny; other has different weights; name that checkpoint with --model" in " ".join(
        err.split()
    )


def test_an_unusable_image_is_an_input_error(tier: Tier, model: str, folder: Path, index: Path) -> None:
    code, _, err = tier("search", "--image", folder / "c_ct.dcm", "--index", index, "--model", model)
    assert code == 3
    assert "c_ct.dcm" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs either a text or --image"),
        (("effusion", "--image", "x.png"), "needs either a text or --image"),
        (("--image", "x.png", "--negative", "effusion"), "requires a text, not an image"),
        ((" ",), "the text is empty"),
        (("effusion", "--index", "nowhere"), "no such file"),
        (("effusion", "--top", "0"), "--top"),
    ],
)
def test_wrong_usage_of_search(tier: Tier, index: Path, arguments: tuple[str, ...], said: str) -> None:
    given = arguments if "--index" in arguments else (*arguments, "--index", index)
    code, out, err = tier("search", *given)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_without_faiss_the_extra_is_named(
    tier: Tier, model: str, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = tier("search", "effusion", "--index", index, "--model", model, "--approximate")
    assert code == 2
    assert "pip install 'tier-cli[search]'" in " ".join(err.split())


def test_help_and_search_load_nothing_heavy(model: str, index: Path) -> None:
    program = (
        "import sys; from tier_cli.app import main; code = main(sys.argv[1:]); "
        "sys.exit(code or bool({'torch', 'pandas', 'faiss', 'pyarrow'} & set(sys.modules)))"
    )
    asked = ["search", "effusion", "--index", str(index), "--model", model, "--device", "cpu"]
    done = subprocess.run([sys.executable, "-c", program, *asked], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_bundled_model_searches_the_examples(tier: Tier, tmp_path: Path) -> None:
    examples = Path(__file__).resolve().parents[2] / "examples"
    path = tmp_path / "x.parquet"
    assert tier("embed", examples, "--output", path, "--device", "cpu", "--workers", 0)[0] == 0
    code, out, err = tier("search", "pleural effusion", "--index", tmp_path, "--top", 20, "--device", "cpu")
    found = _found(out)
    assert (code, err, len(found)) == (0, "", 8)
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)
    assert {Path(hit["path"]).suffix for hit in found} == {".dcm", ".png"}
