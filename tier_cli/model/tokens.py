"""Texts to token ids with the `tokenizers` library, for both engines and for training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError

Ids = NDArray[np.int64]


class TextTokenizer:
    """The tokenizer of a folder: special tokens on, cut at `max_tokens`, padded to the longest of a call.

    Parameters
    ----------
    folder
        Holds tokenizer.json and, where it names the padding token, tokenizer_config.json.
    max_tokens
        Special tokens included.
    """

    def __init__(self, folder: str | Path, max_tokens: int = 128):
        from tokenizers import Tokenizer

        path = Path(folder) / "tokenizer.json"
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception as error:
            raise CheckpointError(f"the tokenizer cannot be read: {error}", where=str(path)) from error
        # The file may carry the settings of whoever saved it; these are the model's.
        pad = _pad_token(Path(folder))
        pad_id = self._tokenizer.token_to_id(pad)
        if pad_id is None:
            raise CheckpointError(f"the vocabulary has no padding token '{pad}'", where=str(path))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding(pad_id=pad_id, pad_token=pad)

    def __call__(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """Ids and mask, both (N, T), T the longest text's number of tokens."""
        encodings = self._tokenizer.encode_batch(list(texts))
        ids = np.asarray([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.asarray([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        return ids.reshape(len(texts), -1), mask.reshape(len(texts), -1)


def embed_in_batches(texts: Sequence[str], encode: Any, tokenizer: TextTokenizer, size: int = 32) -> Any:
    """Unit text embeddings (n, D) float32; ``encode(ids, mask)`` gives the pooled features (N, D) of a batch.

    Texts of like length go together, so that little is spent on padding.
    """
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        ids, mask = tokenizer([texts[i] for i in batch])
        rows.update(zip(batch, np.asarray(encode(ids, mask), np.float32), strict=True))
    stacked = np.stack([rows[i] for i in range(len(texts))])
    return stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12)


def _pad_token(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return "[PAD]"
    try:
        token = json.loads(path.read_text(encoding="utf-8")).get("pad_token", "[PAD]")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"cannot be read as JSON: {error}", where=str(path)) from error
    return str(token["content"] if isinstance(token, dict) else token)
