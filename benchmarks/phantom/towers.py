"""Starting weights that know nothing: a small ResNet and a small BERT, with a vocabulary from captions.

    python benchmarks/phantom/towers.py MANIFEST.csv FOLDER [--seed S]

writes FOLDER/image and FOLDER/text for `tier train --image-tower --text-tower`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import torch

from tier_cli.datasets.manifest import read_manifest
from tier_cli.model.modeling import build_tower

# 112 px give 7 x 7 patches, as in the paper.
IMAGE = {
    "model_type": "resnet",
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 64],
    "depths": [1, 1, 1],
    "layer_type": "basic",
}
TEXT = {
    "model_type": "bert",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 80,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.125,
}
VOCABULARY = 400


def main() -> None:
    """Write the two folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    training = read_manifest(given.manifest).split("train")
    write_towers(given.folder, [str(text) for text in training.column("text")], given.seed)


def write_towers(folder: Path, texts: Iterable[str], seed: int) -> None:
    """Random weights that depend on the seed, and a WordPiece vocabulary made from the texts."""
    size = write_tokenizer(folder / "text", texts)
    torch.manual_seed(seed)
    build_tower(IMAGE, takes="pixel_values").save_pretrained(folder / "image")
    build_tower({**TEXT, "vocab_size": size}, takes="input_ids").save_pretrained(folder / "text")


def write_tokenizer(folder: Path, texts: Iterable[str]) -> int:
    """Write tokenizer.json and its configuration; returns how many tokens it knows."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a word, no secret
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "BertTokenizer", "pad_token": "[PAD]", "model_max_length": 80}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return int(tokenizer.get_vocab_size())


if __name__ == "__main__":
    main()
