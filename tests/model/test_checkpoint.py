"""Finding, opening, saving and verifying checkpoint folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tiny import tiny_model, tiny_tokenizer

from tier_cli.errors import CheckpointError
from tier_cli.findings.load import builtin
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model import checkpoint as checkpoints
from tier_cli.model.checkpoint import Checkpoint, open_checkpoint, resolve, write_checksums
from tier_cli.model.save import save_checkpoint, save_weights
from tier_cli.model.verify import verify
from tier_cli.model.weights import read_layout


def test_opened_checkpoint_says_what_it_is(tiny: Checkpoint, tiny_folder: Path) -> None:
    assert tiny.name == "tiny"
    assert (
        tiny.hashes["weights"] == hashlib.sha256((tiny_folder / "model.safetensors").read_bytes()).hexdigest()
    )
    assert tiny.preprocessing == Preprocessing(resize_short=36, crop=32)
    assert tiny.findings.hash == builtin("chexpert5").hash
    assert tiny.calibration is None
    assert tiny.scoring == "cosine_difference"
    assert tiny.max_tokens == 80


def test_calibration_is_read_where_there_is_one(tiny_copy: Path) -> None:
    (tiny_copy / "calibration.json").write_text('{"method": "platt"}')
    write_checksums(tiny_copy)
    assert open_checkpoint(tiny_copy).calibration == {"method": "platt"}


def test_preprocessing_hash_is_of_its_meaning(tiny_copy: Path) -> None:
    before = open_checkpoint(tiny_copy).hashes["preprocessing"]
    path = tiny_copy / "preprocessor_config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items()))))
    write_checksums(tiny_copy)
    assert open_checkpoint(tiny_copy).hashes["preprocessing"] == before
    path.write_text(json.dumps({**content, "rendering": "minmax"}))
    write_checksums(tiny_copy)
    assert open_checkpoint(tiny_copy).hashes["preprocessing"] != before


@pytest.mark.parametrize(
    "name",
    [
        *("model.safetensors", "image_encoder.onnx", "text_encoder.onnx", "tokenizer.json", "config.json"),
        *(
            "tokenizer_config.json",
            "preprocessor_config.json",
            "findings.toml",
            "finding_vectors.safetensors",
        ),
    ],
)
def test_an_altered_file_does_not_open(tiny_copy: Path, name: str) -> None:
    """Its scores would be quoted under the hash of the file that was there."""
    assert open_checkpoint(tiny_copy).hashes["weights"]
    content = bytearray((tiny_copy / name).read_bytes())
    content[-3] ^= 128
    (tiny_copy / name).write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="is altered") as caught:
        open_checkpoint(tiny_copy)
    assert caught.value.where == str(tiny_copy / name)


@pytest.mark.parametrize("name", ["calibration.json", "adaptation.json"])
def test_a_file_that_changes_results_must_be_listed(tiny_copy: Path, name: str) -> None:
    (tiny_copy / name).write_text("{}")
    with pytest.raises(CheckpointError, match="is not listed"):
        open_checkpoint(tiny_copy)


def test_a_folder_of_links_opens(tiny_folder: Path, tmp_path: Path) -> None:
    """The hub's cache consists of links."""
    for file in tiny_folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    assert open_checkpoint(tmp_path).hashes == open_checkpoint(tiny_folder).hashes


def test_a_sound_folder_verifies(tiny_folder: Path) -> None:
    assert verify(tiny_folder) == []


@pytest.mark.parametrize(
    "name", ["model.safetensors", "image_encoder.onnx", "findings.toml", "finding_vectors.safetensors"]
)
def test_verify_names_an_altered_file(tiny_copy: Path, name: str) -> None:
    path = tiny_copy / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    assert f"{name}: altered" in verify(tiny_copy)


def test_verify_names_missing_and_unlisted_files_but_not_the_card(tiny_copy: Path) -> None:
    (tiny_copy / "text_encoder.onnx").unlink()
    (tiny_copy / "extra.json").write_text("{}")
    (tiny_copy / "README.md").write_text("a card")
    assert verify(tiny_copy) == ["text_encoder.onnx: missing", "extra.json: not listed in checksums.json"]


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "findings.toml", "preprocessor_config.json"]
)
def test_incomplete_folders_do_not_open(tiny_copy: Path, name: str) -> None:
    (tiny_copy / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        open_checkpoint(tiny_copy)


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "[" * 5000, '{"files": {"model.safetensors": 1}}'),
        '{"files": {"../x": {"sha256": "", "bytes": 0}}}',
    ],
)
def test_senseless_checksums_are_refused(tiny_copy: Path, content: str) -> None:
    (tiny_copy / "checksums.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"checksums\.json"):
        open_checkpoint(tiny_copy)
    assert len(verify(tiny_copy)) == 1


def test_weights_of_another_size_do_not_open(tiny_copy: Path) -> None:
    with (tiny_copy / "model.safetensors").open("ab") as file:
        file.write(b"0")
    with pytest.raises(CheckpointError, match="is altered"):
        open_checkpoint(tiny_copy)


def test_names_are_looked_up_in_order(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [checkpoints.Place(label, tmp_path / label) for label in ("package", "checkout", "downloads")]
    monkeypatch.setattr(checkpoints, "places", lambda: places)
    for place in places[1:]:
        place.folder.mkdir()
        (place.folder / "some").symlink_to(tiny_folder)
    assert resolve("some") == tmp_path / "checkout" / "some"
    assert [(name, place.label) for name, place in checkpoints.list_models()] == [("some", "checkout")]
    with pytest.raises(CheckpointError, match=r"no model 'other'.*one of: some"):
        resolve("other")
    with pytest.raises(CheckpointError, match=r"get it with `tier model pull biovil`"):
        resolve("biovil")
    with pytest.raises(CheckpointError, match="no model"):
        resolve("../checkout/some/..")


@pytest.mark.parametrize("name", ["~no-such-person", "x" * 300, "a\0b"])
def test_invalid_names_are_not_models(name: str) -> None:
    with pytest.raises(CheckpointError, match="no model"):
        resolve(name)


def test_a_locked_place_has_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(checkpoints, "places", lambda: [checkpoints.Place("downloads", tmp_path)])
    monkeypatch.setattr(Path, "iterdir", locked)
    assert checkpoints.list_models() == []


def test_a_path_takes_precedence_over_a_name(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_folder.parent)
    assert resolve("tiny") == tiny_folder.resolve()


def test_downloads_are_in_the_data_folder_and_still_found_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Emptying a cache must not delete gigabytes of models."""
    monkeypatch.setenv("TIER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))
    for place, name in (("data", "new"), ("data", "both"), ("cache", "both"), ("cache", "old")):
        folder = tmp_path / place / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    assert resolve("old") == tmp_path / "cache" / "models" / "old"
    assert resolve("new") == tmp_path / "data" / "models" / "new"
    assert resolve("both") == tmp_path / "data" / "models" / "both"
    assert {"new", "both", "old"} <= {name for name, _ in checkpoints.list_models()}


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        resolve(tmp_path)


def test_layout_gives_the_bytes_of_each_tensor(tiny_folder: Path) -> None:
    path = tiny_folder / "model.safetensors"
    content, layout = path.read_bytes(), read_layout(path)
    with safe_open(path, framework="numpy") as file:
        assert set(layout) == set(file.keys())
        for name, stored in layout.items():
            assert content[stored.offset : stored.offset + stored.length] == file.get_tensor(name).tobytes()


@pytest.mark.parametrize("content", [b"", b"\xff" * 16, b"\x02" + bytes(7) + b"[]"])
def test_layout_refuses_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_layout(path)


def test_weights_too_large_for_fp16_are_not_saved(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        head: Any = model.image_projection
        head.norm.running_var[0] = 1e6
    with pytest.raises(CheckpointError, match=r"image_projection\.norm\.running_var"):
        save_weights(tmp_path, model)


def test_an_interrupted_save_does_not_open(tiny_copy: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.logit_scale.fill_(float("nan"))
    tokenizer = tiny_tokenizer(tiny_copy)
    with pytest.raises(CheckpointError, match="logit_scale"):
        save_checkpoint(tiny_copy, model, tokenizer, Preprocessing(), builtin("covid"), {})
    with pytest.raises(CheckpointError, match=r"no checksums\.json"):
        open_checkpoint(tiny_copy)
