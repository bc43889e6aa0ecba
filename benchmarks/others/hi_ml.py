"""Score DICOM files with hi-ml-multimodal's engine: python hi_ml.py MODEL_FOLDER IMAGE_FOLDER

The package `hi-ml-multimodal` itself (github.com/microsoft/hi-ml) reads, prepares and embeds each image:
`ImageInferenceEngine.get_projected_global_embedding`. The same as there: the whole image side. Different:
weights are random; prompts are embedded once, where `get_similarity_score_from_raw_data` would embed image
and text again for each prompt.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from health_multimodal.image.data.transforms import create_chest_xray_transform_for_inference
from health_multimodal.image.inference_engine import ImageInferenceEngine
from health_multimodal.image.model.model import ImageModel
from tokenizers import BertWordPieceTokenizer
from torch.nn import functional as F
from transformers import BertConfig, BertModel


def text_side(folder: Path) -> Any:
    """Return a function that projects prompts as CXR-BERT does, not normalised."""
    tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"))
    tokenizer.enable_padding()
    weights = torch.load(folder / "pytorch_model.bin")
    bert = BertModel(BertConfig(), add_pooling_layer=False).eval()
    bert.load_state_dict(
        {name.removeprefix("bert."): one for name, one in weights.items() if name.startswith("bert.")}
    )
    of = {name.removeprefix("cls_projection_head."): one for name, one in weights.items()}

    def encode(texts: list[str]) -> Any:
        cut = tokenizer.encode_batch([text.rstrip("!?.") for text in texts])
        ids, mask = (torch.tensor([getattr(one, name) for one in cut]) for name in ("ids", "attention_mask"))
        x = bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        x = F.gelu(F.linear(x, of["dense_to_hidden.weight"], of["dense_to_hidden.bias"]))
        x = F.layer_norm(x, x.shape[-1:], of["LayerNorm.weight"], of["LayerNorm.bias"], 1e-12)
        return F.linear(x, of["dense_to_output.weight"], of["dense_to_output.bias"])

    return encode


def main() -> None:
    """Score a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the authors' files and findings.json")
    parser.add_argument("images", type=Path)
    given = parser.parse_args()
    weights = given.model / "biovil_image_resnet50_proj_size_128.pt"
    model = ImageModel("resnet50", 128, pretrained_model_path=weights)
    engine = ImageInferenceEngine(model, create_chest_xray_transform_for_inference(512, 480))
    findings = json.loads((given.model / "findings.json").read_text(encoding="utf-8"))
    names = [name for name, _, _ in findings]
    with torch.no_grad():
        encode = text_side(given.model)
        sides = [torch.stack([encode(one[side]).mean(dim=0) for one in findings]) for side in (1, 2)]
        positive, negative = (F.normalize(side, dim=-1) for side in sides)
        for path in sorted(given.images.iterdir()):
            image = engine.get_projected_global_embedding(path)
            scores = (positive @ image - negative @ image).tolist()
            line = {"path": str(path), "scores": dict(zip(names, scores, strict=True))}
            sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
