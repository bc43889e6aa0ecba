"""Build a complete small checkpoint with random weights, for tests of all packages."""

from __future__ import annotations

import atexit
import json
import shutil
import string
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tier_cli.model.configuration import TierConfig
    from tier_cli.model.modeling import TierModel

SIZE = 32
WORDS = ("no", "the", "is", "present", "effusion", "pneumothorax", "lungs", "are", "clear", "of", "evidence")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# An image tower whose tokens are no patches: it halves their number on the way.
LEVIT = {
    "model_type": "levit",
    "image_size": 32,
    "patch_size": 16,
    "hidden_sizes": [16, 24, 32],
    "num_attention_heads": [2, 2, 2],
    "depths": [1, 1, 1],
    "key_dim": [4, 4, 4],
    "mlp_ratio": [1, 1, 1],
    "attention_ratio": [1, 1, 1],
}


def tiny_config() -> TierConfig:
    """Return the configuration of two towers of a few thousand parameters; 32 px images give a 4x4 grid."""
    from tier_cli.model.configuration import TierConfig

    image = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    text = {
        "model_type": "bert",
        "vocab_size": len(_vocabulary()),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        # Enough for every prompt of the built-in sets.
        "max_position_embeddings": 96,
    }
    return TierConfig(
        image_tower={**image, "layer_type": "basic"}, text_tower=text, projection_dim=12, max_tokens=80
    )


def tiny_model(seed: int = 0) -> TierModel:
    """Return a model whose weights depend on the seed alone."""
    import torch

    from tier_cli.model.modeling import TierModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TierModel(tiny_config())
        for name, tensor in model.state_dict().items():
            # Normalisation layers start as the identity, which would hide mistakes in them.
            if "norm" in name.lower() and tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.2)
            elif tensor.ndim > 1:
                # Larger than transformers' initialisation: different inputs get clearly different embeddings.
                torch.nn.init.normal_(tensor, std=tensor[0].numel() ** -0.5)
    model.eval()
    return model


def tiny_tokenizer(folder: Path) -> Path:
    """Write a WordPiece tokenizer of letters, digits and a few words."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocabulary = _vocabulary()
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a word, no secret
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "BertTokenizer", "pad_token": "[PAD]", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Write a complete checkpoint into `folder`: weights, graphs, tokenizer, finding vectors, checksums."""
    shutil.copytree(_built(seed), folder, dirs_exist_ok=True)
    return folder


@cache
def _built(seed: int) -> Path:
    # Built once per process and copied, because tracing graphs takes seconds.
    folder = Path(tempfile.mkdtemp(prefix="tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    from tier_cli.findings.load import builtin
    from tier_cli.imaging.preprocess import Preprocessing
    from tier_cli.model.save import save_checkpoint

    save_checkpoint(
        folder,
        tiny_model(seed),
        tiny_tokenizer(folder),
        Preprocessing(resize_short=36, crop=SIZE),
        builtin("chexpert5"),
        {"data": "none: random weights for tests", "seed": seed},
    )
    return folder


def _vocabulary() -> dict[str, int]:
    characters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*SPECIAL, *characters, *(f"##{c}" for c in string.ascii_lowercase + string.digits), *WORDS]
    return {piece: number for number, piece in enumerate(pieces)}
