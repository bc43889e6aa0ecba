"""`tier train --init` starts from a converted checkpoint of each family."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import (
    BiomedClip,
    OpenAIClip,
    bert_tokenizer,
    clip_tokenizer,
    randomise,
    siglip_tokenizer,
    vocabulary_size,
)
from foreign_biovil import ImageModel, TierAuthors, random_weights, save_text_tower, save_training
from foreign_medical import save_cxr_clip, save_medclip, save_unimed_clip
from safetensors.numpy import load_file
from tiny import tiny_config, tiny_tokenizer

from tier_cli.app import main
from tier_cli.findings.load import builtin
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.configuration import TierConfig
from tier_cli.model.convert import convert
from tier_cli.model.modeling import TierModel
from tier_cli.model.save import save_checkpoint

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}


def _biovil(folder: Path, temporal: bool = False) -> tuple[Path, Path | None]:
    name = "biovil_t_image_model_proj_size_128.pt" if temporal else "biovil_image_resnet50_proj_size_128.pt"
    save_text_tower(folder)
    torch.save(random_weights(ImageModel(temporal)).state_dict(), folder / name)
    return folder, None


def _biovil_t(folder: Path) -> tuple[Path, Path | None]:
    return _biovil(folder, temporal=True)


def _tier(folder: Path) -> tuple[Path, Path | None]:
    model: TierAuthors = random_weights(TierAuthors(bert_tokenizer(folder)))
    return save_training(folder / "best_model.pt", model), folder


def _chexzero(folder: Path) -> tuple[Path, Path | None]:
    model = randomise(OpenAIClip(vocabulary_size(clip_tokenizer(folder))))
    torch.save(model.state_dict(), folder / "best.pt")
    return folder / "best.pt", folder


def _open_clip(folder: Path) -> tuple[Path, Path | None]:
    text = {"hf_model_name": "bert", "proj": "mlp", "pooler_type": "cls_last_hidden_state_pooler"}
    said = {"model_cfg": {"vision_cfg": {"timm_model_name": "vit_b"}, "text_cfg": text}, "preprocess_cfg": {}}
    torch.save(
        randomise(BiomedClip(bert_tokenizer(folder))).state_dict(), folder / "open_clip_pytorch_model.bin"
    )
    (folder / "open_clip_config.json").write_text(json.dumps(said))
    return folder, None


def _clip(folder: Path) -> tuple[Path, Path | None]:
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    size = vocabulary_size(clip_tokenizer(folder))
    ids = {"bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}
    text = {**SMALL, **ids, "hidden_size": 16, "vocab_size": size, "max_position_embeddings": 77}
    vision = {**SMALL, "hidden_size": 24, "image_size": 48, "patch_size": 16}
    randomise(
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=20))
    ).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 51}, "crop_size": {"height": 48, "width": 48}}
    CLIPImageProcessorPil(**sizes).save_pretrained(folder)
    return folder, None


def _siglip(folder: Path) -> tuple[Path, Path | None]:
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    text = {**SMALL, "hidden_size": 24, "vocab_size": siglip_tokenizer(folder), "max_position_embeddings": 64}
    text |= {"pad_token_id": 0, "eos_token_id": 0, "projection_size": 24}
    vision = {**SMALL, "hidden_size": 24, "image_size": 48, "patch_size": 16}
    randomise(SiglipModel(SiglipConfig(text_config=text, vision_config=vision))).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 48, "width": 48}).save_pretrained(folder)
    return folder, None


def _cxr_clip(folder: Path) -> tuple[Path, Path | None]:
    save_cxr_clip(folder, bert_tokenizer(folder), swin_tower=True)
    return folder / "model-best.tar", folder


def _medclip(folder: Path) -> tuple[Path, Path | None]:
    save_medclip(folder, bert_tokenizer(folder), swin_tower=True)
    return folder / "pytorch_model.bin", folder


def _unimed_clip(folder: Path) -> tuple[Path, Path | None]:
    save_unimed_clip(folder, bert_tokenizer(folder))
    return folder / "unimed.pt", folder


@pytest.fixture(scope="module")
def few(manifest: Path) -> Path:
    """Sixteen of the images, without validation."""
    head, *rows = manifest.read_text().splitlines()
    path = manifest.with_name("few.csv")
    path.write_text("\n".join([head, *rows[:16]]) + "\n")
    return path


def _train(manifest: Path, init: Path, output: Path) -> int:
    given = ["--data", str(manifest), "--output", str(output), "--init", str(init), "--reg-weight", "0.1"]
    small = ["--epochs", "1", "--batch-size", "8", "--freeze-text-layers", "0", "--device", "cpu"]
    return main(["train", *given, *small, "--seed", "1"])


@pytest.mark.parametrize(
    "written",
    [_biovil, _biovil_t, _tier, _chexzero, _open_clip, _clip, _siglip, _cxr_clip, _medclip, _unimed_clip],
    ids=lambda f: f.__name__[1:],
)
def test_training_starts_from_each_family(
    written: Callable[[Path], tuple[Path, Path | None]], few: Path, tmp_path: Path, without_graphs: None
) -> None:
    (tmp_path / "source").mkdir()
    source, tokenizer = written(tmp_path / "source")
    family = "chexzero" if source.name == "best.pt" else None
    convert(source, tmp_path / "init", family, tokenizer)
    assert _train(few, tmp_path / "init", tmp_path / "trained") == 0
    before, after = open_checkpoint(tmp_path / "init"), open_checkpoint(tmp_path / "trained")
    # Pixels, pooling, padding and scoring stay those of the family.
    assert after.preprocessing == before.preprocessing
    assert {k: v for k, v in after.config.items() if "token" not in k} == {
        k: v for k, v in before.config.items() if "token" not in k
    } | {k: after.config[k] for k in ("dtype", "transformers_version", "entropy") if k in after.config}
    log = [json.loads(line) for line in (tmp_path / "trained" / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([log[0][name] for name in ("contrastive", "patch_entropy", "token_entropy")]).all()
    old, new = (load_file(folder / "model.safetensors") for folder in (before.path, after.path))
    towers = {
        name.split(".")[0] for name in old if not np.array_equal(old[name], new[name].astype(np.float32))
    }
    assert {"image_tower", "text_tower"} <= towers


def test_a_tower_without_patches_is_refused(
    few: Path, tmp_path: Path, without_graphs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    levit = {"model_type": "levit", "image_size": 32, "patch_size": 16, "hidden_sizes": [16, 24, 32]}
    levit |= {"num_attention_heads": [2, 2, 2], "depths": [1, 1, 1], "key_dim": [4, 4, 4]}
    levit |= {"mlp_ratio": [1, 1, 1], "attention_ratio": [1, 1, 1]}
    text = tiny_config().text_tower
    config = TierConfig(
        levit, text, projection_dim=12, max_tokens=48, image_pooling="pooler", image_head="linear"
    )
    save_checkpoint(
        tmp_path / "init",
        TierModel(config),
        tiny_tokenizer(tmp_path / "tokenizer"),
        Preprocessing(resize_short=36, crop=32),
        builtin("chexpert5"),
        {},
    )
    assert _train(few, tmp_path / "init", tmp_path / "trained") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "'levit'" in said
    assert "no grid of patches" in said
    assert not list((tmp_path / "trained").iterdir())
