"""Convert the tokenizer of a foreign checkpoint into tokenizer.json and tokenizer_config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError
from tier_cli.model.convert.files import read_json
from tier_cli.model.convert.sentencepiece import siglip_tokenizer

if TYPE_CHECKING:
    from tier_cli.model.configuration import TierConfig

_FILE, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_CLIP_PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def tokenizer_folder(source: Path, made: Path, kind: str, vocabulary: int) -> Path:
    """Write tokenizer.json and tokenizer_config.json, which names the padding token.

    Parameters
    ----------
    source
        A folder with tokenizer.json or, for ``clip``, vocab.json and merges.txt; for ``bert``, vocab.txt; for
        ``siglip``, spiece.model, which takes precedence.
    made
        The folder to write to.
    kind
        ``clip``, ``bert`` or ``siglip``.
    vocabulary
        Number of rows of the text tower's embedding, which every id must be below.

    Raises
    ------
    CheckpointError
        If the folder has no tokenizer of this kind, or its ids do not fit the text tower.
    """
    from tokenizers import Tokenizer, normalizers

    if kind == "siglip" and (source / "spiece.model").is_file():
        # First, because transformers reads this file for this family.
        tokenizer = siglip_tokenizer(source / "spiece.model")
    elif (source / _FILE).is_file():
        try:
            tokenizer = Tokenizer.from_file(str(source / _FILE))
        except Exception as error:
            raise CheckpointError(
                f"cannot be read: {error}", where=str(source / _FILE), remedy="download it again"
            ) from error
    elif kind == "clip" and (source / "vocab.json").is_file() and (source / "merges.txt").is_file():
        tokenizer = _clip(source)
    elif kind == "bert" and (source / "vocab.txt").is_file():
        tokenizer = _bert(source)
    else:
        raise _missing(source, kind)
    if kind == "siglip" and _is_gemma(source):
        # SigLIP 2 was trained on lower-cased texts, which its tokenizer file does not say.
        steps = [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
        tokenizer.normalizer = normalizers.Sequence(steps)
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= vocabulary:
        raise CheckpointError(
            f"its largest id is {largest}, but that of the text tower is {vocabulary - 1}",
            where=str(source),
            remedy="give the tokenizer of this model with --tokenizer",
        )
    made.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(made / _FILE))
    config = {"pad_token": _pad_token(source, tokenizer, kind)}
    (made / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return made


def token_id(folder: Path, token: str) -> int:
    """Return the id of a token of a folder that `tokenizer_folder` wrote.

    Raises
    ------
    CheckpointError
        If the vocabulary lacks it.
    """
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(folder / _FILE)).token_to_id(token)
    if found is None:
        raise CheckpointError(
            f"the vocabulary has no token '{token}'",
            where=str(folder / _FILE),
            remedy="give the tokenizer of this model with --tokenizer",
        )
    return int(found)


def check_end(folder: Path, config: TierConfig) -> None:
    """Refuse a tokenizer whose texts do not end with the token at which the text tower pools."""
    if config.text_pooling != "end":
        return
    from tier_cli.model.tokens import TextTokenizer

    (ids,), _ = TextTokenizer(folder, config.max_tokens)(["no effusion"])
    wanted = config.end_token
    place = ids.argmax() if wanted is None else (ids == wanted).argmax()
    if place != len(ids) - 1:
        raise CheckpointError(
            f"its texts end with the id {ids[-1]}, but the text tower expects"
            f" {'the greatest id' if wanted is None else wanted}",
            where=str(folder / _FILE),
            remedy="give the tokenizer of this model with --tokenizer",
        )


def _is_gemma(folder: Path) -> bool:
    """Return whether a SigLIP folder has the tokenizer of Gemma, as SigLIP 2 does."""
    if (folder / "spiece.model").is_file() or not (folder / _CONFIG).is_file():
        return False
    return str(read_json(folder / _CONFIG).get("tokenizer_class", "")).startswith(("Gemma", "Siglip2"))


def _missing(source: Path, kind: str) -> CheckpointError:
    files = {"clip": f"{_FILE}, or vocab.json and merges.txt", "bert": f"{_FILE} or vocab.txt"}
    files |= {"siglip": f"spiece.model or {_FILE}"}
    return CheckpointError(
        f"no tokenizer: looked for {files.get(kind, _FILE)}",
        where=str(source),
        remedy="name the folder of the tokenizer with --tokenizer",
    )


def _clip(source: Path) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    start, end = "<|startoftext|>", "<|endoftext|>"
    model = models.BPE.from_file(
        str(source / "vocab.json"),
        str(source / "merges.txt"),
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
        unk_token=end,
    )
    tokenizer: Any = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([start, end])
    ids = {token: tokenizer.token_to_id(token) for token in (start, end)}
    tokenizer.post_processor = processors.RobertaProcessing(
        (end, ids[end]), (start, ids[start]), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def _bert(source: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    config = read_json(source / _CONFIG) if (source / _CONFIG).is_file() else {}
    tokenizer: Any = Tokenizer(models.WordPiece.from_file(str(source / "vocab.txt"), unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=bool(config.get("do_lower_case", True)))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def _pad_token(source: Path, tokenizer: Any, kind: str) -> str:
    usual = {"clip": "<|endoftext|>", "bert": "[PAD]", "siglip": "</s>"}[kind]
    named = None
    for name in (_CONFIG, "special_tokens_map.json"):
        if named is None and (source / name).is_file():
            named = read_json(source / name).get("pad_token")
    token = named["content"] if isinstance(named, dict) else named or usual
    if tokenizer.token_to_id(token) is None:
        raise CheckpointError(
            f"the vocabulary has no padding token '{token}'",
            where=str(source),
            remedy="give the tokenizer of this model with --tokenizer",
        )
    return str(token)
