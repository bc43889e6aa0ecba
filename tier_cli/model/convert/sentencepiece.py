"""Convert SigLIP's spiece.model to tokenizer.json, without the sentencepiece library.

The file is a protocol buffer (sentencepiece_model.proto). Three parts of it are read: the pieces with their
scores, the id of the unknown piece, and the table of characters to replace first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tier_cli.errors import CheckpointError

# Python's string.punctuation, which SigLIP's text preparation removes.
_PUNCTUATION = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
_UNIGRAM = 1
# Field numbers in sentencepiece_model.proto.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_PIECE, _SCORE = 1, 2
_MODEL_TYPE, _BYTE_FALLBACK, _UNK_ID = 3, 35, 40
_CHARSMAP = 2


def siglip_tokenizer(path: Path) -> Any:
    """Return a `tokenizers.Tokenizer` with the ids of transformers' SiglipTokenizer for a spiece.model.

    Texts are lower-cased, stripped of punctuation and repeated spaces, and end with ``</s>``.

    Raises
    ------
    CheckpointError
        If the file is not a sentencepiece unigram model with a piece ``</s>``.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    try:
        pieces, trainer, charsmap = _read(path.read_bytes())
    except (OSError, IndexError, ValueError, struct.error) as error:
        raise CheckpointError(
            f"cannot be read as a sentencepiece model: {error}", where=str(path), remedy="download it again"
        ) from error
    # Defaults of the schema: unigram, and id 0 for the unknown piece.
    if trainer.get(_MODEL_TYPE, _UNIGRAM) != _UNIGRAM or "</s>" not in dict(pieces):
        raise CheckpointError(
            "not a unigram model with a piece </s>",
            where=str(path),
            remedy="give the tokenizer of this model with --tokenizer",
        )
    unigram = models.Unigram(
        pieces, unk_id=int(trainer.get(_UNK_ID, 0)), byte_fallback=bool(trainer.get(_BYTE_FALLBACK, 0))
    )
    tokenizer: Any = Tokenizer(unigram)
    steps = [
        # First, as in transformers: leading spaces of a text remain a piece of their own.
        normalizers.Prepend("▁"),
        normalizers.Lowercase(),
        normalizers.Replace(Regex(_PUNCTUATION), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    if charsmap:
        # It can turn other characters into spaces, which sentencepiece then merges with their neighbours.
        steps += [normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    end = tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", end)]
    )
    return tokenizer


def _read(content: bytes) -> tuple[list[tuple[str, float]], dict[int, Any], bytes]:
    """Return the pieces with scores, the trainer's numbers by field, and the table of characters."""
    pieces: list[tuple[str, float]] = []
    trainer: dict[int, Any] = {}
    charsmap = b""
    for field, value in _fields(content):
        if field == _PIECES:
            piece = dict(_fields(value))
            pieces.append(
                (piece[_PIECE].decode("utf-8"), struct.unpack("<f", piece.get(_SCORE, bytes(4)))[0])
            )
        elif field == _TRAINER:
            trainer = dict(_fields(value))
        elif field == _NORMALIZER:
            charsmap = dict(_fields(value)).get(_CHARSMAP, b"")
    return pieces, trainer, charsmap


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a message by number: whole numbers as int, everything else as bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value: Any
            value, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = _cut(message, at, size)
        elif kind == 2:
            size, at = _varint(message, at)
            value, at = _cut(message, at, size)
        else:
            raise ValueError(f"unknown wire type {kind}")
        yield key >> 3, value


def _cut(message: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(message):
        raise ValueError("the file is truncated")
    return message[at : at + size], at + size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number does not end")
