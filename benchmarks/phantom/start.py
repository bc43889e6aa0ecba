"""Create starting weights for the phantoms: a random small ResNet and a small BERT trained on captions.

    python benchmarks/phantom/start.py MANIFEST.csv FOLDER [--seed S]

This writes a checkpoint for `tier train --init`. Its image tower is random. Its text tower starts from random
weights and learns from captions alone, without images, which statements a caption makes; the paper's text
encoder was likewise trained on reports before it saw an image.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from tier_cli.datasets.captions import Caption, write_caption
from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.findings.load import load_findings
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.configuration import TierConfig
from tier_cli.model.modeling import TierModel
from tier_cli.model.save import save_checkpoint
from tier_cli.model.tokens import TextTokenizer
from tier_cli.phantom.lesions import FINDINGS

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
}
VOCABULARY = 400
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZE, CROP = 128, 112
STEPS, BATCH, RATE = 250, 64, 2e-3


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_start(given.folder, read_manifest(given.manifest).split("train"), given.seed)


def write_start(folder: Path, training: Manifest, seed: int) -> None:
    """Write weights that depend on the seed, with a WordPiece vocabulary from the training rows' captions."""
    chance = random.Random(seed)
    size = write_tokenizer(folder, [one.text for one in captions(training, chance)])
    torch.manual_seed(seed)
    config = TierConfig(image_tower=IMAGE, text_tower={**TEXT, "vocab_size": size}, max_tokens=80)
    model = TierModel(config)
    _clear_class_token(model.text_tower, start=SPECIAL.index("[CLS]"))
    _train_text(model, TextTokenizer(folder, 80), training, chance)
    save_checkpoint(
        folder,
        model.eval(),
        folder,
        Preprocessing(resize_short=SIZE, crop=CROP),
        load_findings(str(Path(__file__).with_name("findings.toml"))),
        {"data": "captions of synthetic chest phantoms; no image", "seed": seed},
    )


def captions(manifest: Manifest, chance: random.Random) -> list[Caption]:
    """Return one caption per image, as `tier train` writes them from labels."""
    return [_caption({name: row[name] == "1" for name in FINDINGS}, row, chance)
            for row in manifest.frame.to_dict("records")]  # fmt: skip


def _caption(labels: Any, row: Any, chance: random.Random) -> Caption:
    return write_caption(labels, chance, view=row["view"], sex=row["sex"], age=row["age"])


def _clear_class_token(text: Any, start: int) -> None:
    """Start with zeros in [CLS], so that its state is what it attends to: the words.

    Otherwise the state is nearly equal for all texts, and training takes far longer to separate them.
    """
    with torch.no_grad():
        text.embeddings.word_embeddings.weight[start] = 0
        text.embeddings.position_embeddings.weight[0] = 0
        text.embeddings.token_type_embeddings.weight[:] = 0


def _train_text(
    model: TierModel, tokenizer: TextTokenizer, training: Manifest, chance: random.Random
) -> None:
    """Train the text side to encode a caption as the sum of fixed directions, one per statement."""
    weights = [*model.text_tower.parameters(), *model.text_projection.parameters()]
    optimiser = torch.optim.AdamW(weights, RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS + 1, pct_start=0.1)
    statements = torch.linalg.qr(torch.randn(model.config.projection_dim, 2 * len(FINDINGS)))[0].T
    rows = training.frame.to_dict("records")
    model.train()
    for _ in range(STEPS):
        drawn = [
            _caption({name: row[name] == "1" for name in FINDINGS}, row, chance)
            for row in chance.choices(rows, k=BATCH)
        ]
        ids, mask = (torch.from_numpy(part) for part in tokenizer([one.text for one in drawn]))
        claims = [[float(one.claims.get(name) is said) for name in FINDINGS for said in (True, False)]
                  for one in drawn]  # fmt: skip
        wanted = torch.tensor(claims) @ statements
        loss = 1 - functional.cosine_similarity(model.encode_texts(ids, mask).pooled, wanted).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
    logging.getLogger(__name__).warning("text side: mean cosine with its target %.3f", 1 - loss.item())


def write_tokenizer(folder: Path, texts: Iterable[str]) -> int:
    """Write tokenizer.json and its configuration; returns the size of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a word, no secret
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=letters, show_progress=False
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
