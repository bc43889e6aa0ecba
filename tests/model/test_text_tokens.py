"""Tokens of a text: where each stands in it, and the embedding that patches are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_checkpoint

from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.open_engine import open_engine

TEXTS = ["no effusion", "the lungs are clear of pneumothorax"]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_tokens_cover_the_words_and_belong_to_the_same_text(tmp_path: Path, engine: str) -> None:
    opened = open_engine(open_checkpoint(tiny_checkpoint(tmp_path / "tiny")), engine, "cpu")
    found = opened.embed_tokens(TEXTS)
    for text, tokens, pooled in zip(TEXTS, found, opened.project_texts(TEXTS), strict=True):
        words = [tokens.text[start:stop] for start, stop in tokens.spans]
        assert words == text.split()
        assert tokens.embeddings.shape == (len(words), 12)
        np.testing.assert_allclose(tokens.pooled, pooled, atol=1e-5)
    # A word means something else beside other words: embeddings are those of the text, not of a vocabulary.
    alone = opened.embed_tokens(["effusion"])[0]
    assert np.abs(alone.embeddings[0] - found[0].embeddings[1]).max() > 1e-4
