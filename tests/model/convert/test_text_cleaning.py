"""CLIP, CheXzero and open_clip clean texts before tokenisation: what a word processor pastes must not"
" matter."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import ftfy
import numpy as np
import pytest
import torch
from foreign import (
    OPEN_CLIP_CONFIG,
    BiomedClip,
    OpenAIClip,
    bert_tokenizer,
    clip_tokenizer,
    randomise,
    vocabulary_size,
)
from tokenizers import Tokenizer

from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.convert import convert
from tier_cli.model.tokens import TextTokenizer, clean_text

PASTED = (
    "no “pleural” effusion",
    "the patient’s lungs are clear",
    "ﬁbrosis, diﬀuse",
    "pleural &amp;amp; effusion &lt; 3",
    "  pleural\t\neffusion\u00a0\u3000clear ",
    "Ã©panchement â€“ clear",
    "ＰＬＥＵＲＡＬ eﬄusion…",
    "plain text.",
)


def _published(text: str) -> str:
    """The cleaning of OpenAI's and open_clip's tokenizers, step by step."""
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("text", PASTED)
def test_texts_are_cleaned_as_published(text: str) -> None:
    assert clean_text(text) == _published(text)


def _converted(tmp_path: Path, family: str) -> Path:
    """Convert a small checkpoint of a family."""
    source = tmp_path / "source"
    if family == "open_clip":
        model = randomise(BiomedClip(bert_tokenizer(source)))
        torch.save(model.state_dict(), source / "open_clip_pytorch_model.bin")
        (source / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP_CONFIG))
        convert(source, tmp_path / "made", family)
        return tmp_path / "made"
    clip = randomise(OpenAIClip(vocabulary_size(clip_tokenizer(source))))
    torch.save(clip.state_dict(), source / "a.pt")
    convert(source / "a.pt", tmp_path / "made", family, source)
    return tmp_path / "made"


@pytest.mark.usefixtures("without_graphs")
@pytest.mark.parametrize("family", ["chexzero", "openai-clip", "open_clip"])
def test_pasted_texts_have_the_tokens_of_the_family(tmp_path: Path, family: str) -> None:
    checkpoint = open_checkpoint(_converted(tmp_path, family))
    plain = Tokenizer.from_file(str(checkpoint.path / "tokenizer.json"))
    ours = TextTokenizer.of(checkpoint.path, checkpoint.config)
    moved = 0
    for text in PASTED:
        ids, mask = ours([text])
        expected = plain.encode(_published(text)).ids[: checkpoint.max_tokens]
        np.testing.assert_array_equal(ids[0][mask[0] == 1][: len(expected) - 1], expected[:-1])
        moved += expected != plain.encode(text).ids
    # Without cleaning the tokens are others.
    assert moved >= 3


def test_texts_of_other_models_are_tokenised_as_written(tmp_path: Path) -> None:
    checkpoint = open_checkpoint("tier-small")
    assert checkpoint.config.get("text_cleaning", "none") == "none"
    tokenizer = TextTokenizer.of(checkpoint.path, checkpoint.config)
    assert tokenizer(["a &amp; b"])[1].sum() > tokenizer(["a & b"])[1].sum()
