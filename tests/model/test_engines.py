"""Both engines agree, and a cold start loads no heavy library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.external_data_helper import uses_external_data
from tiny import SIZE, tiny_config, tiny_model
from transformers import AutoTokenizer

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.model import open_engine as engines
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint, resolve, write_checksums
from tier_cli.model.engine import Engine
from tier_cli.model.export import export_graphs
from tier_cli.model.modeling import TierModel
from tier_cli.model.open_engine import open_engine
from tier_cli.model.save import save_weights
from tier_cli.model.tokens import TextTokenizer
from tier_cli.model.verify import verify

TEXTS = ["No pneumothorax.", "The lungs are clear", "a", "effusion " * 60]
GRAPHS = ("image_encoder.onnx", "text_encoder.onnx")


@pytest.fixture(scope="module")
def both(tiny: Checkpoint) -> tuple[Engine, Engine]:
    return open_engine(tiny, "onnx", threads=1), open_engine(tiny, "torch", "cpu")


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 3, SIZE, SIZE)).astype(np.float32)


def test_engines_agree_on_images(both: tuple[Engine, Engine], pixels: np.ndarray) -> None:
    for n in (1, 3):
        ours, reference = (e.encode_images(pixels[:n]) for e in both)
        assert ours.shape == (n, 12)
        assert np.abs(ours).max() > 0.1
        np.testing.assert_allclose(ours, reference, atol=1e-5)


def test_engines_agree_on_patches(both: tuple[Engine, Engine], pixels: np.ndarray) -> None:
    (ours, grid), (reference, reference_grid) = (e.patches(pixels) for e in both)
    assert grid == reference_grid == (4, 4)
    np.testing.assert_allclose(ours, reference, atol=1e-5)
    np.testing.assert_allclose(ours.mean(1), both[0].encode_images(pixels), atol=1e-5)


def test_engines_agree_on_texts(both: tuple[Engine, Engine]) -> None:
    ours, reference = (e.embed_texts(TEXTS) for e in both)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(ours, reference, atol=1e-5)


@pytest.mark.parametrize("which", [0, 1], ids=["onnx", "torch"])
def test_a_text_is_embedded_the_same_in_any_batch(both: tuple[Engine, Engine], which: int) -> None:
    engine = both[which]
    texts = [f"{text} {number}" for number in range(20) for text in TEXTS]
    together = engine.embed_texts(texts)
    for i in (0, 41, 79):
        np.testing.assert_allclose(together[i], engine.embed_texts([texts[i]])[0], atol=1e-5)


def test_tokens_are_those_of_transformers(tiny: Checkpoint) -> None:
    ids, mask = TextTokenizer(tiny.path, tiny.max_tokens)(TEXTS)
    reference = AutoTokenizer.from_pretrained(tiny.path)(
        TEXTS, padding="longest", truncation=True, max_length=80, return_tensors="np"
    )
    assert ids.shape[0] == len(TEXTS)
    assert ids.shape[1] <= 80
    np.testing.assert_array_equal(ids, reference["input_ids"])
    np.testing.assert_array_equal(mask, reference["attention_mask"])


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_hold_no_weights_and_no_paths(tiny: Checkpoint, name: str) -> None:
    graph = onnx.load(tiny.path / name, load_external_data=False)
    stored = [tensor for tensor in graph.graph.initializer if uses_external_data(tensor)]
    assert len(stored) > 10
    for tensor in stored:
        assert {entry.key: entry.value for entry in tensor.external_data}["location"] == "model.safetensors"
    inside = [t for t in graph.graph.initializer if not uses_external_data(t)]
    assert all(t.data_type == onnx.TensorProto.INT64 for t in inside)
    assert not any(part.metadata_props or part.doc_string for part in graph.graph.node)
    assert str(Path(sys.prefix).parent).encode() not in graph.SerializeToString()


def test_layers_merge_when_a_graph_is_opened(tiny: Checkpoint, tmp_path: Path) -> None:
    # Normalisation merges into convolutions; where it does not, an image takes about three times as long.
    for folder in (tiny.path, resolve("tier-small")):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(str(folder / "image_encoder.onnx"), options)
        left = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
        assert "Conv" in left or "FusedConv" in left
        assert not {"BatchNormalization", "Cast", "Expand"} & set(left)


def test_graphs_follow_the_weights_of_the_file(tiny_copy: Path, pixels: np.ndarray) -> None:
    checkpoint = open_checkpoint(tiny_copy)
    before = open_engine(checkpoint, "onnx").encode_images(pixels)
    path = tiny_copy / "model.safetensors"
    content = path.read_bytes()
    at = _offset(tiny_copy, "image_projection.conv_out.bias")
    path.write_bytes(content[:at] + np.full(12, 3, np.float16).tobytes() + content[at + 24 :])
    head: Any = tiny_model().image_projection
    bias = head.conv_out.bias.detach().half().float().numpy()
    after = open_engine(checkpoint, "onnx").encode_images(pixels)
    np.testing.assert_allclose(after - before, np.tile(3 - bias, (3, 1)), atol=1e-5)


def test_graphs_of_other_weights_are_refused(tiny_copy: Path, pixels: np.ndarray) -> None:
    save_weights(tiny_copy, tiny_model(seed=1))
    write_checksums(tiny_copy)
    with pytest.raises(CheckpointError, match="other weights"):
        open_engine(open_checkpoint(tiny_copy), "onnx").encode_images(pixels)
    (problem,) = verify(tiny_copy)
    assert "other weights" in problem


@pytest.mark.parametrize(
    "name", ["dinov2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mobilenet_v2", "eva02"))]
)
def test_graphs_of_other_towers(tiny_copy: Path, name: str) -> None:
    small: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "patch_size": 8,
    }
    towers: dict[str, dict[str, Any]] = {
        "mobilenet_v2": {"depth_multiplier": 0.1},
        "dinov2": {**small, "image_size": 48},
        # At another size than in training, which interpolates positions.
        "eva02": {**small, "intermediate_size": 16, "image_size": 64},
    }
    config = tiny_config()
    config.image_tower = {"model_type": name, **towers[name]}
    save_weights(tiny_copy, TierModel(config))
    assert max(export_graphs(tiny_copy).values()) < 1e-5


def test_large_embeddings_are_compared_by_their_own_size(tiny_copy: Path) -> None:
    # In fp32 an output of some thousands cannot agree to 1e-4; its seven digits can.
    model = tiny_model()
    head: Any = model.image_projection
    head.conv_out.weight.data *= 3000
    save_weights(tiny_copy, model)
    assert max(export_graphs(tiny_copy).values()) < 1e-5


def test_export_refuses_graphs_that_differ_from_torch(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tier_cli.model.export.TOLERANCE", -1.0)
    (tiny_copy / "image_encoder.onnx").unlink()
    with pytest.raises(CheckpointError, match="differs from torch"):
        export_graphs(tiny_copy)
    assert not list(tiny_copy.glob("*image_encoder*"))


def test_wrong_image_sizes_are_refused(both: tuple[Engine, Engine]) -> None:
    with pytest.raises(CheckpointError, match=r"takes \(N, 3, 32, 32\)"):
        both[0].encode_images(np.zeros((1, 3, 16, 16), np.float32))


def test_a_graph_that_does_not_open_is_a_checkpoint_error(tiny_copy: Path) -> None:
    (tiny_copy / "image_encoder.onnx").write_bytes(b"nothing")
    write_checksums(tiny_copy)
    engine = open_engine(open_checkpoint(tiny_copy), "onnx")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        engine.encode_images(np.zeros((1, 3, SIZE, SIZE), np.float32))


@pytest.mark.parametrize(
    ("engine", "device", "gpu", "expected"),
    [
        ("auto", "auto", False, "onnx"),
        ("auto", "cpu", True, "onnx"),
        ("auto", "auto", True, "onnx"),  # a driver but no GPU that torch can use
        ("torch", "auto", True, "torch"),
    ],
)
def test_auto_takes_onnx_on_cpu(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, engine: str, device: str, gpu: bool, expected: str
) -> None:
    monkeypatch.setattr(engines, "_may_have_cuda", lambda: gpu)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    opened = open_engine(tiny, engine, device)
    assert (opened.name, opened.device) == (expected, "cpu")


def test_auto_takes_torch_without_graphs(tiny_copy: Path) -> None:
    for name in GRAPHS:
        (tiny_copy / name).unlink()
    checkpoint = open_checkpoint(tiny_copy)
    assert open_engine(checkpoint, "auto", "cpu").name == "torch"
    with pytest.raises(CheckpointError, match="no image_encoder"):
        open_engine(checkpoint, "onnx")


@pytest.mark.parametrize(
    ("engine", "device"), [("tensorrt", "auto"), ("auto", "tpu"), ("onnx", "cuda"), ("torch", "mps")]
)
def test_senseless_choices_are_usage_errors(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, engine: str, device: str
) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UsageError):
        open_engine(tiny, engine, device)


def test_hidden_gpus_are_not_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not engines._may_have_cuda()


def test_a_gpu_without_torch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base set must score on a machine that has a GPU, not end with what to install."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    monkeypatch.setattr("pathlib.Path.exists", lambda path: True)
    assert not engines._may_have_cuda()


COLD = """
import sys
import numpy as np
from tier_cli.findings.load import load_findings
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.open_engine import open_engine
from tier_cli.model.finding_vectors import finding_vectors

checkpoint = open_checkpoint(sys.argv[1])
engine = open_engine(checkpoint, device="cpu")
vectors = finding_vectors(checkpoint, load_findings("nih14"), lambda: engine)
pooled = engine.encode_images(np.zeros((1, 3, 32, 32), np.float32))
assert engine.name == "onnx" and pooled.shape == (1, 12) and vectors.positive.shape == (14, 12)
assert engine.embed_texts(["no effusion"]).shape == (1, 12)
heavy = {"torch", "transformers", "pandas", "onnx", "sklearn", "matplotlib", "pydicom"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_cold_start_loads_neither_torch_nor_transformers_nor_pandas(tiny_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(tiny_folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _offset(folder: Path, name: str) -> int:
    from tier_cli.model.weights import read_layout

    return read_layout(folder / "model.safetensors")[name].offset
