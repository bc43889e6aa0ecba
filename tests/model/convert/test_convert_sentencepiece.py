"""spiece.model read without sentencepiece, against the ids that it gave for the same file."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers.utils import sentencepiece_model_pb2_new as schema

from tier_cli.errors import CheckpointError
from tier_cli.model.convert.sentencepiece import siglip_tokenizer
from tier_cli.model.convert.tokenizer import tokenizer_folder

# What transformers' SiglipTokenizer with sentencepiece 0.2.3 gives on the file that `spiece` writes.
EXPECTED = {
    "Pleural effusion!": [4, 5, 1],
    "  NO   pleural-effusion. ": [6, 3, 4, 12, 1],
    "no £ effusions (left)": [3, 6, 2, 5, 31, 7, 1],
    "- left": [6, 7, 1],
}
PIECES = ("▁no", "▁pleural", "▁effusion", "▁", "▁left", "▁eff", "usion", "pleur", "al", "effusion")


def spiece(path: Path, kind: int = 1, end: str = "</s>") -> Path:
    """Write a model as sentencepiece's trainer does: special pieces first, then words and letters."""
    model = schema.ModelProto()
    for text, type_ in (("<pad>", 3), (end, 3), ("<unk>", 2)):
        model.pieces.add(piece=text, score=0.0, type=type_)
    for number, text in enumerate((*PIECES, *"abcdefghijklmnopqrstuvwxyz")):
        model.pieces.add(piece=text, score=-2.0 - number / 4)
    model.trainer_spec.model_type = kind
    model.trainer_spec.pad_id, model.trainer_spec.eos_id, model.trainer_spec.unk_id = 0, 1, 2
    model.trainer_spec.bos_id = -1
    model.normalizer_spec.name = "identity"
    path.write_bytes(model.SerializeToString())
    return path


def test_ids_are_those_of_sentencepiece(tmp_path: Path) -> None:
    tokenizer = siglip_tokenizer(spiece(tmp_path / "spiece.model"))
    assert {text: tokenizer.encode(text).ids for text in EXPECTED} == EXPECTED


def test_spiece_model_alone_is_enough(tmp_path: Path) -> None:
    spiece(tmp_path / "spiece.model")
    # It goes before a tokenizer.json, which transformers does not read for this family.
    (tmp_path / "tokenizer.json").write_text("{}")
    made = tokenizer_folder(tmp_path, tmp_path / "made", "siglip", 40)
    assert (made / "tokenizer.json").is_file()
    assert (made / "tokenizer_config.json").read_text() == '{"pad_token": "</s>"}'


@pytest.mark.parametrize(("kind", "end"), [(2, "</s>"), (1, "<eos>")])
def test_other_models_of_sentencepiece_are_refused(tmp_path: Path, kind: int, end: str) -> None:
    with pytest.raises(CheckpointError, match="not a unigram model with a piece </s>"):
        siglip_tokenizer(spiece(tmp_path / "spiece.model", kind, end))


@pytest.mark.parametrize("content", [b"\x0a\xff", b"\x0f", b"\xff" * 12, b"\x0a\x02\x0a\x05"])
def test_broken_files_are_checkpoint_errors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"spiece\.model: cannot be read"):
        siglip_tokenizer(tmp_path / "spiece.model")
