"""Prompts that a text tower cannot read: two of them would get one score, and nobody would know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tier_cli.errors import FindingSetError
from tier_cli.findings.load import parse_findings
from tier_cli.findings.schema import FindingSet
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.finding_vectors import finding_vectors
from tier_cli.model.prompts import prompt_problems, text_warnings
from tier_cli.model.tokens import TextTokenizer

LONG = "There is a small finding in the lower zone, unchanged since the last study. " * 12


def _set(positive: str, negative: str = "Clear lungs.") -> FindingSet:
    text = f'[findings.a]\npositive = ["{positive}"]\nnegative = ["{negative}"]\n'
    return parse_findings(text, "mine")


@pytest.mark.parametrize(
    ("positive", "message"),
    [
        (f"{LONG}Large pneumothorax.", r"has \d{3} tokens, but the model reads 128"),
        ("胸腔积液", "has words that the model does not know: '胸', '腔', '积', '液'"),
        ("left 胸腔积液", "does not know: '胸'"),
        ("🙂🙂", "does not know: '🙂🙂'"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_named_with_its_finding(positive: str, message: str) -> None:
    checkpoint = open_checkpoint("tier-small")
    (problem,) = prompt_problems(checkpoint, _set(positive), "my.toml")
    assert problem.where == "my.toml [findings.a] positive"
    with pytest.raises(FindingSetError, match=message):
        raise problem
    # Nothing is scored with it.
    with pytest.raises(FindingSetError, match=message):
        finding_vectors(checkpoint, _set(positive), lambda: pytest.fail("was embedded"))
    (warning,) = text_warnings(checkpoint, ["Effusion.", positive])
    assert len(warning) < 200


def test_long_unknown_words_do_not_fill_the_terminal() -> None:
    checkpoint = open_checkpoint("tier-small")
    text = " ".join(chr(0x4E00 + number) for number in range(100))
    (warning,) = text_warnings(checkpoint, [text])
    assert re.search(r" and \d+ more$", warning)
    (warning,) = text_warnings(checkpoint, ["🙂" * 100_000])
    assert len(warning) < 200


def test_prompts_that_can_be_read_have_no_problem() -> None:
    checkpoint = open_checkpoint("tier-small")
    # A sign that the tokenizer does not know beside words that it does know changes nothing much.
    for text in ("Épanchement pleural, 3 × 4 cm.", "Left effusion 🙂.", "pneumopericardiomediastinitis"):
        assert prompt_problems(checkpoint, _set(text)) == []
    assert text_warnings(checkpoint, []) == []


def test_the_limit_counts_special_tokens(tmp_path: Path) -> None:
    words = {"[UNK]": 0, "[PAD]": 1, "[CLS]": 2, "a": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))  # noqa: S106 - a token, no secret
    tokenizer.add_special_tokens(["[PAD]", "[CLS]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for fixed in (False, True):
        read = TextTokenizer(tmp_path, 4, fixed=fixed)
        assert read.unreadable(["a a a", "a"]) == []
        assert read.unreadable(["a a a a a a a a"]) == [
            ("a a a a a a a a", "has 9 tokens, but the model reads 4")
        ]


def test_a_tokenizer_of_bytes_knows_every_word(tmp_path: Path) -> None:
    from foreign import clip_tokenizer

    from tier_cli.model.convert.tokenizer import tokenizer_folder

    folder = tokenizer_folder(clip_tokenizer(tmp_path / "bpe"), tmp_path / "made", "clip", 1000)
    assert TextTokenizer(folder, 77).unreadable(["胸腔积液 🙂"]) == []
