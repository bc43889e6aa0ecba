"""Turn texts into token ids, for both engines and for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tier_cli.errors import CheckpointError
from tier_cli.model.checkpoint import read_json

Ids = NDArray[np.int64]
# Of BERT, and of sentencepiece.
_UNKNOWN_TOKENS = ("[UNK]", "<unk>")
# Words of a message, and characters of each text in it: a text can be one word of 100,000 letters.
_MOST_WORDS, _LONGEST_SHOWN = 10, 60


@dataclass(frozen=True, eq=False)
class TextTokens:
    """The tokens of one text, without special tokens and padding.

    Parameters
    ----------
    text
        The text as the model reads it, which can differ from the one given in white space and punctuation.
    spans
        First and last character (excluded) of each of T tokens in `text`.
    embeddings
        float32 (T, D), not L2-normalised.
    pooled
        float32 (D,): the embedding of the whole text, not L2-normalised.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    embeddings: NDArray[np.float32]
    pooled: NDArray[np.float32]


def clean_text(text: str) -> str:
    """Clean a text as OpenAI's CLIP and open_clip do before tokenisation.

    Repairs Unicode with ftfy (curly quotes, ligatures, wrongly decoded characters), resolves HTML entities
    twice and collapses white space.

    Examples
    --------
    >>> clean_text("  “ﬁbrosis” &amp;amp;\\neffusion ")
    '"fibrosis" & effusion'
    """
    import html

    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


class TextTokenizer:
    """The tokenizer of a folder: adds special tokens, truncates, and pads to the longest text of a call.

    Parameters
    ----------
    folder
        Contains tokenizer.json and, if it names the padding token, tokenizer_config.json.
    max_tokens
        Maximum length, including special tokens.
    fixed
        Pad every text to `max_tokens`, for text towers that attend to padding.
    strip
        Characters to remove from the end of every text.
    cleaning
        ``none``, or ``clip`` for `clean_text`.
    """

    def __init__(
        self,
        folder: str | Path,
        max_tokens: int = 128,
        *,
        fixed: bool = False,
        strip: str = "",
        cleaning: str = "none",
    ):
        from tokenizers import Tokenizer

        path = Path(folder) / "tokenizer.json"
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except BaseException as error:
            raise _unusable(path, error) from error
        # The file may contain other settings; those of the model apply.
        pad = _pad_token(Path(folder))
        pad_id = self._tokenizer.token_to_id(pad)
        if pad_id is None:
            raise CheckpointError(
                f"the vocabulary has no padding token '{pad}'",
                where=str(path),
                remedy="name the padding token as pad_token in tokenizer_config.json",
            )
        try:
            self._tokenizer.enable_truncation(max_tokens)
            self._tokenizer.enable_padding(pad_id=pad_id, pad_token=pad, length=max_tokens if fixed else None)
        except BaseException as error:
            raise _unusable(path, error) from error
        self._path = path
        self._strip, self._clean = strip, cleaning == "clip"
        self._max_tokens = max_tokens
        self._special = self._tokenizer.num_special_tokens_to_add(False)
        # The vocabulary of CLIP has bytes and so no unknown token.
        self._unknown_ids = {self._tokenizer.token_to_id(token) for token in _UNKNOWN_TOKENS} - {None}

    @classmethod
    def of(cls, folder: str | Path, config: Mapping[str, Any]) -> TextTokenizer:
        """Open the tokenizer of a folder with the settings of a configuration (config.json)."""
        return cls(
            folder,
            int(config.get("max_tokens", 128)),
            fixed=config.get("text_padding") == "fixed",
            strip=str(config.get("strip", "")),
            cleaning=str(config.get("text_cleaning", "none")),
        )

    def __call__(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """Return ids and mask, both (N, T), where T is the number of tokens of the longest text."""
        encodings = self._encoded([self._prepare(text) for text in texts])
        ids = np.asarray([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.asarray([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        return ids.reshape(len(texts), -1), mask.reshape(len(texts), -1)

    def spans(self, text: str) -> tuple[str, list[tuple[int, int] | None]]:
        """Return a text as the model reads it, and the characters of each token; None for special tokens."""
        read = self._prepare(text)
        (encoding,) = self._encoded([read])
        marks = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        return read, [None if special else span for span, special in marks]

    def unreadable(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """Return each text that is cut or has unknown words, with what is wrong with it."""
        if not texts:
            return []
        prepared = [self._prepare(text) for text in texts]
        encodings = self._encoded(prepared)
        found = []
        for text, read, encoding in zip(texts, prepared, encodings, strict=True):
            parts = [encoding, *encoding.overflowing]
            # Special tokens include padding; they stand in every part.
            words = sum(part.special_tokens_mask.count(0) for part in parts)
            if encoding.overflowing:
                found.append(
                    (text, f"has {words + self._special} tokens, but the model reads {self._max_tokens}")
                )
            elif unknown := self._unknown(encoding, read, words):
                shown = ", ".join(map(shortened, list(dict.fromkeys(unknown))[:_MOST_WORDS]))
                more = len(set(unknown)) - _MOST_WORDS
                shown += f" and {more} more" if more > 0 else ""
                found.append((text, f"has words that the model does not know: {shown}"))
        return found

    def _unknown(self, encoding: Any, text: str, words: int) -> list[str]:
        """Return the unknown words of a text; unknown signs count only if nothing else is left."""
        rows = zip(encoding.ids, encoding.offsets, encoding.special_tokens_mask, strict=True)
        spans = [span for token, span, special in rows if token in self._unknown_ids and not special]
        unknown = [text[start:stop] for start, stop in spans]
        if len(unknown) == words:
            return unknown
        return [word for word in unknown if any(letter.isalpha() for letter in word)]

    def _encoded(self, texts: list[str]) -> Any:
        try:
            return self._tokenizer.encode_batch(texts)
        except BaseException as error:
            raise _unusable(self._path, error) from error

    def _prepare(self, text: str) -> str:
        return (clean_text(text) if self._clean else text).rstrip(self._strip)


def shortened(text: str) -> str:
    """Return a text in quotes for a message; what makes it long is left out."""
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}...")


def embed_in_batches(texts: Sequence[str], encode: Any, tokenizer: TextTokenizer, size: int = 32) -> Any:
    """Return unit text embeddings (n, D) float32; ``encode(ids, mask)`` returns pooled features (N, D)."""
    rows = project_in_batches(texts, encode, tokenizer, size)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def project_in_batches(texts: Sequence[str], encode: Any, tokenizer: TextTokenizer, size: int = 32) -> Any:
    """Return text embeddings (n, D) before normalisation, batching texts of similar length together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        ids, mask = tokenizer([texts[i] for i in batch])
        rows.update(zip(batch, np.asarray(encode(ids, mask), np.float32), strict=True))
    return np.stack([rows[i] for i in range(len(texts))])


def tokens_in_batches(texts: Sequence[str], encode: Any, tokenizer: TextTokenizer) -> list[TextTokens]:
    """Embed texts with their tokens; ``encode(ids, mask)`` returns tokens (N, T, D) and pooled (N, D)."""
    found = []
    for text in texts:
        read, spans = tokenizer.spans(text)
        (tokens,), (pooled,) = encode(*tokenizer([text]))
        own = [number for number, span in enumerate(spans) if span is not None]
        kept = tuple(span for span in spans if span is not None)
        found.append(TextTokens(read, kept, np.asarray(tokens)[own], np.asarray(pooled)))
    return found


def _unusable(path: Path, error: BaseException) -> BaseException:
    """Return the error for a tokenizer that makes no sense; Ctrl-C stays as it is."""
    # Where Rust code panics, the exception is no `Exception`.
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return error
    return CheckpointError(
        f"the tokenizer cannot be used: {str(error)[:300]}",
        where=str(path),
        remedy="download the folder again",
    )


def _pad_token(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return "[PAD]"
    token = read_json(path).get("pad_token", "[PAD]")
    text = token.get("content") if isinstance(token, dict) else token
    if not isinstance(text, str):
        raise CheckpointError(
            f"pad_token is {type(text).__name__}", where=str(path), remedy="it must be a text"
        )
    return text
