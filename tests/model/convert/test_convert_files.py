"""Reading foreign weight files: refusals and their messages."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from parity import Read
from safetensors.torch import save_file

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.model.convert import convert
from tier_cli.model.convert.detect import FAMILIES, detect
from tier_cli.model.convert.files import WeightFile, load_folder, load_pickle, load_weights


class Evil:
    """Would run a command when unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("code was run",))


def test_code_in_a_pickle_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": torch.zeros(1), "more": Evil()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"not a plain weight file.*it would run print;") as refusal:
        load_weights(tmp_path / "a.pt")
    assert "code was run" not in capsys.readouterr().out
    # The way around the refusal is for who knows it, not for a message.
    assert "weights_only" not in str(refusal.value)


class Shell:
    """Would run a command of the system, whose module torch refuses as a whole."""

    def __reduce__(self) -> Any:
        return (os.system, ("true",))


def test_the_refusal_names_the_code_that_would_run(tmp_path: Path) -> None:
    torch.save({"weight": Shell()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"it would run (posix|nt)\.system;"):
        load_weights(tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"weight": Shell()}, protocol=4))
    with pytest.raises(CheckpointError, match=r"b\.pt: not a plain weight file: not written by torch\.save"):
        load_weights(tmp_path / "b.pt")


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "a.pt")
    with pytest.raises(
        CheckpointError,
        match=r"it contains a program \(TorchScript archive\); if you trust.*torch\.jit\.load",
    ):
        load_weights(tmp_path / "a.pt")


def test_an_argparse_namespace_is_the_only_other_class_read(tmp_path: Path) -> None:
    content = {"model_state_dict": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=1e-4), "epoch": 3}
    torch.save(content, tmp_path / "a.pt")
    assert load_pickle(tmp_path / "a.pt")["args"].lr == 1e-4
    assert list(load_weights(tmp_path / "a.pt")) == ["a"]
    # Allowed while the file is read, not for the rest of the program.
    with pytest.raises(Exception, match="Namespace"):
        torch.load(tmp_path / "a.pt", weights_only=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "contains no state dict"),
        ({}, "contains no state dict"),
        ({"a": torch.zeros(1), "epoch": 3}, "contains more than tensors: epoch; if you trust"),
        (
            {"net": {"a": torch.zeros(1)}, "average": {"a": torch.zeros(1)}},
            r"several sets of weights: net, average; save.*\['net'\]",
        ),
    ],
)
def test_files_without_a_state_dict(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        load_weights(tmp_path / "a.pt")


def test_the_prefix_of_several_gpus_is_taken_off(tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.a": torch.zeros(1), "module.b": torch.zeros(1)}}, tmp_path / "a.pt")
    assert list(load_weights(tmp_path / "a.pt")) == ["a", "b"]


@pytest.mark.parametrize("key", ["model", "net", "ema"])
def test_weights_are_found_in_what_training_programs_save(tmp_path: Path, key: str) -> None:
    optimizer = {"state": {0: {"step": torch.ones(1)}}, "param_groups": []}
    content = {key: {"module.a": torch.ones(2)}, "optimizer": optimizer, "epoch": 3, "config": {"lr": 1e-4}}
    torch.save(content, tmp_path / "a.pt")
    assert list(load_weights(tmp_path / "a.pt")) == ["a"]


def test_the_line_for_a_program_works_as_it_is_printed(tmp_path: Path) -> None:
    source = tmp_path / "ViT-B-32.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(2, 2)).save(source)
    with pytest.raises(CheckpointError) as refusal:
        load_weights(source)
    assert refusal.value.remedy is not None
    (script,) = re.findall(r'python -c "(.*)" and', refusal.value.remedy)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    assert set(load_weights(tmp_path / "ViT-B-32-weights.pt")) == {"weight", "bias"}


def _meta(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _clip_of(size: int, patch: int, dim: int, vocabulary: int = 49408) -> dict[str, torch.Tensor]:
    """The tensors that tell a CLIP of OpenAI's layout, with a ViT of width 768."""
    return _meta(
        {
            "visual.conv1.weight": (768, 3, patch, patch),
            "visual.class_embedding": (768,),
            "visual.positional_embedding": ((size // patch) ** 2 + 1, 768),
            "token_embedding.weight": (vocabulary, 512),
            "positional_embedding": (77, 512),
            "text_projection": (512, dim),
        }
    )


@pytest.mark.parametrize(("size", "patch", "dim"), [(224, 32, 512), (320, 16, 768)])
def test_only_chexzeros_published_shapes_are_taken_for_it(size: int, patch: int, dim: int) -> None:
    source = Path("best.pt")
    tensors = _clip_of(size, patch, dim)
    assert detect(source, WeightFile(tensors)) == "chexzero"
    # OpenAI's own files say of themselves what they are.
    numbers = dict.fromkeys(("input_resolution", "context_length", "vocab_size"), torch.tensor(0))
    assert detect(source, WeightFile({**tensors, **numbers})) == "openai-clip"
    # A fine-tune of another program, such as PubMedCLIP's, has the same shapes in a wrapper.
    with pytest.raises(CheckpointError, match=r"not one of the two published.*--family: openai-clip"):
        detect(source, WeightFile(tensors, frozenset({"state_dict", "epoch"})))
    open_clip = frozenset({"epoch", "name", "state_dict", "optimizer"})
    assert detect(source, WeightFile(tensors, open_clip)) == "open_clip"


@pytest.mark.parametrize(
    "shapes", [(224, 16, 512), (224, 32, 768), (320, 32, 512), (320, 16, 512), (224, 32, 512, 49407)]
)
def test_other_clips_are_never_taken_for_chexzero(shapes: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=r"best\.pt: a CLIP in the layout of OpenAI's code.*--family"):
        detect(Path("best.pt"), WeightFile(_clip_of(*shapes)))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            (
                "visual.layer1.0.conv1.weight",
                "visual.attnpool.positional_embedding",
                "token_embedding.weight",
            ),
            "a CLIP with a ResNet image tower.*; use one with a ViT",
        ),
        (
            ("visual.conv1.weight", "text.transformer.embeddings.word_embeddings.weight"),
            "BERT text tower, which is not supported",
        ),
        (
            ("blocks.0.attn.qkv.weight", "blocks.0.norm1.weight", "cls_token"),
            r"names: blocks \(2\), cls_token \(1\); .*an image tower alone cannot score texts",
        ),
        (
            ("image_encoder.a.weight", "text_encoder.a.weight"),
            r"image_encoder \(1\), text_encoder \(1\); the families that can be converted are biovil",
        ),
    ],
)
def test_what_cannot_be_converted_is_named(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        detect(Path("a.pt"), WeightFile(_meta(dict.fromkeys(names, (1,)))))


def test_a_transformers_folder_of_another_type_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match=r"a transformers model of the type 'bert'.*clip or siglip"):
        convert(tmp_path, tmp_path / "made")


# The third and fourth take torch's reader of pickles where it does not expect to be.
@pytest.mark.parametrize("present", [True, False], ids=["present", "before 1.6"])
@pytest.mark.parametrize("kept", [0.02, 0.06, 0.5, 0.99])
def test_a_truncated_file_is_to_be_downloaded_again(tmp_path: Path, present: bool, kept: float) -> None:
    path = tmp_path / "a.pt"
    # What torch says depends on where the file ends; of some it is "[Errno 22] Invalid argument".
    weights = {f"w{number}": torch.zeros(64, 64) for number in range(20)}
    torch.save(weights, path, _use_new_zipfile_serialization=present)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(
        CheckpointError, match=r"a\.pt: the file is incomplete; it is damaged or truncated: download"
    ):
        load_weights(path)


def test_an_archive_that_torch_did_not_write_is_not_called_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("report.txt", "no weights")
    with pytest.raises(CheckpointError, match="not a plain weight file"):
        load_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"hello\n", b"0", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_broken_files(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        load_weights(tmp_path / name)


def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"folder of a known kind.*as its authors published it.*chexzero"
    ):
        detect(tmp_path, None)
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of a known kind"):
        convert(tmp_path / "a.pt", tmp_path / "made")
    with pytest.raises(UsageError, match="unknown family 'bert'"):
        convert(tmp_path / "a.pt", tmp_path / "made", family="bert")
    with pytest.raises(CheckpointError, match="no such file or folder"):
        convert(tmp_path / "b.pt", tmp_path / "made")


def test_a_file_in_place_of_a_folder_and_vice_versa(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt: a checkpoint of the family clip is a folder; name"):
        convert(tmp_path / "a.pt", tmp_path / "made", family="clip")
    with pytest.raises(CheckpointError, match=r"the family chexzero is a file; name the weight file"):
        convert(tmp_path, tmp_path / "made", family="chexzero")
    # As CheXzero's authors share theirs.
    with pytest.raises(CheckpointError, match=r"known kind; name the \.pt files in it"):
        convert(tmp_path, tmp_path / "made")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_family_is_refused(tmp_path: Path, family: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    torch.save({"a": torch.zeros(1)}, source / "a.pt")
    for given in (source, source / "a.pt"):
        with pytest.raises(CheckpointError):
            convert(given, tmp_path / "made", family=family)


def test_a_folder_with_content_is_not_overwritten(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        convert(tmp_path / "a.pt", tmp_path / "made")


def test_shards_are_put_together(tmp_path: Path) -> None:
    for number in (1, 2):
        save_file({f"w{number}": torch.full((2,), float(number))}, tmp_path / f"model-{number}.safetensors")
    places = {f"w{number}": f"model-{number}.safetensors" for number in (1, 2)}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    assert {name: tensor[0].item() for name, tensor in load_folder(tmp_path, "model").items()} == {
        "w1": 1.0,
        "w2": 2.0,
    }
    index.write_text(json.dumps({"weight_map": {"w1": "../model-1.safetensors"}}))
    with pytest.raises(CheckpointError, match="outside the folder"):
        load_folder(tmp_path, "model")


def test_safetensors_take_precedence_over_pickles(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    torch.save({"w": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    assert load_folder(tmp_path, "model", "pytorch_model")["w"].item() == 0


@pytest.mark.parametrize("radiographs", ["real"], indirect=True)
def test_real_images_are_of_all_sizes(radiographs: Read) -> None:
    """What docs/checkpoints.md says other programs' pixels were compared on; thumbnails are only enlarged."""
    short_sides = [min(radiograph.pixels.shape) for radiograph in radiographs("minmax")]
    assert short_sides == [1841, 1024, 1024, 448, 448, 64]
