"""Score images with CheXzero or BioViL as their authors publish them, as a baseline for `foreign.py`.

Images pass one by one through plain torch modules; CheXzero uses a DataLoader without workers. The script
does less work than the authors' code: an image passes through the model once (not once per template or text),
modules are not initialised before their weights are loaded, and grey levels are fp32. It writes one JSON line
per image.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

DIM = 128
IMAGE_FILE = "biovil_image_resnet50_proj_size_128.pt"


class Block(nn.Module):
    """Define a residual attention block of OpenAI's CLIP."""

    def __init__(self, width: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.ModuleDict(layers)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, L, C) -> (N, L, C)."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = self.mlp["c_fc"](self.ln_2(x))
        x += self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))
        return x


class Transformer(nn.Module):
    """Stack twelve blocks."""

    def __init__(self, width: int):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width) for _ in range(12))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, L, C) -> (N, L, C)."""
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Clip(nn.Module):
    """Define OpenAI's CLIP ViT-B/32."""

    def __init__(self, vocabulary: int = 49408):
        super().__init__()
        self.visual = visual = nn.Module()
        visual.conv1 = nn.Conv2d(3, 768, 32, 32, bias=False)
        visual.class_embedding = nn.Parameter(torch.empty(768))
        visual.positional_embedding = nn.Parameter(torch.empty(50, 768))
        visual.ln_pre, visual.ln_post = nn.LayerNorm(768), nn.LayerNorm(768)
        visual.transformer = Transformer(768)
        visual.proj = nn.Parameter(torch.empty(768, 512))
        self.transformer = Transformer(512)
        self.token_embedding = nn.Embedding(vocabulary, 512)
        self.positional_embedding = nn.Parameter(torch.empty(77, 512))
        self.ln_final = nn.LayerNorm(512)
        self.text_projection = nn.Parameter(torch.empty(512, 512))
        self.logit_scale = nn.Parameter(torch.empty(()))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(N, 3, 224, 224) -> (N, 512)."""
        visual: Any = self.visual
        x = visual.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1)
        x = visual.transformer(visual.ln_pre(x + visual.positional_embedding))
        return torch.mm(visual.ln_post(x[:, 0]), visual.proj)

    def encode_text(self, ids: Tensor) -> Tensor:
        """(N, 77) -> (N, 512)."""
        mask = torch.full((77, 77), float("-inf")).triu(1)
        x = self.transformer(self.token_embedding(ids) + self.positional_embedding, mask)
        ends = self.ln_final(x)[torch.arange(len(x)), ids.argmax(dim=-1)]
        return torch.mm(ends, self.text_projection)


class Bottleneck(nn.Module):
    """Define a block of torchvision's ResNet-50."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        short = (nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.downsample = nn.Sequential(*(short if channels != out else ()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    """Define torchvision's ResNet-50 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        channels = 64
        for stage, count in enumerate((3, 4, 6, 3)):
            width = 64 << stage
            first = Bottleneck(channels, width, 2 if stage else 1)
            more = (Bottleneck(4 * width, width, 1) for _ in range(count - 1))
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, *more))
            channels = 4 * width

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 2048, H / 32, W / 32)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return x


class BioVil(nn.Module):
    """Define BioViL's image model, which averages its projected patches."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.projector = nn.Module(), nn.Module()
        self.encoder.encoder = ResNet()
        self.projector.model = nn.Sequential(
            nn.Conv2d(2048, DIM, 1, bias=False), nn.BatchNorm2d(DIM), nn.ReLU(), nn.Conv2d(DIM, DIM, 1)
        )

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(N, 3, 480, 480) -> (N, 128)."""
        model: Any = self.projector.model
        return torch.mean(model(self.encoder.encoder(pixels)), dim=(2, 3))  # type: ignore[operator]


class Head(nn.Module):
    """Define CXR-BERT's projection."""

    def __init__(self) -> None:
        super().__init__()
        self.dense_to_hidden, self.dense_to_output = nn.Linear(768, DIM), nn.Linear(DIM, DIM)
        self.LayerNorm = nn.LayerNorm(DIM, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 768) -> (N, 128)."""
        projected: Tensor = self.dense_to_output(self.LayerNorm(F.gelu(self.dense_to_hidden(x))))
        return projected


def grey(path: Path) -> Image.Image:
    """Stretch a DICOM file's values from the lowest to the highest to 8 bits."""
    import pydicom

    dataset = pydicom.dcmread(path)
    values = dataset.pixel_array.astype(np.float32)
    values -= values.min()
    values *= 255 / max(values.max(), 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = 255 - values
    return Image.fromarray(values.astype(np.uint8))


def equalised(image: Image.Image) -> Image.Image:
    """Equalise the histogram as OpenCV does, which made the images that CheXzero was trained on."""
    counts = np.array(image.histogram())
    above = np.cumsum(counts) - counts[counts > 0][0]
    return image.point(np.rint(above.clip(0) * (255 / max(above[-1], 1))).astype(np.uint8).tolist())


class Radiographs(Dataset[Tensor]):
    """Prepare DICOM files for CheXzero, one at a time."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Tensor:
        image = equalised(grey(self.paths[number]))
        ratio = 320 / max(image.size)
        width, height = (int(side * ratio) for side in image.size)
        square = Image.new("L", (320, 320))
        resized = image.resize((width, height), Image.Resampling.LANCZOS)
        square.paste(resized, ((320 - width) // 2, (320 - height) // 2))
        x = torch.from_numpy(np.asarray(square, np.float32))
        x = ((x - 101.48761) / 83.43944).expand(1, 3, -1, -1)
        return F.interpolate(x, (224, 224), mode="bicubic", align_corners=False)[0]


def crops(paths: list[Path]) -> Iterator[Tensor]:
    """Prepare DICOM files for BioViL, (1, 3, 480, 480)."""
    for path in paths:
        image = grey(path)
        scale = 512 / min(image.size)
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (round((side - 480) / 2) for side in image.size)
        levels = np.asarray(image.crop((left, top, left + 480, top + 480)), np.float32)
        yield torch.from_numpy(levels / 255).expand(1, 3, -1, -1)


def loaded(model: Callable[[], Any], weights: dict[str, Tensor]) -> Any:
    """Build a module and give it its weights."""
    with torch.device("meta"):
        built = model()
    built.load_state_dict(weights, assign=True)
    return built.eval()


def chexzero(folder: Path) -> tuple[Any, Callable[[list[str]], Tensor]]:
    """Return the model and a function that encodes the positive or negative prompts of a finding."""
    from tokenizers import CharBPETokenizer

    names = (str(folder / name) for name in ("vocab.json", "merges.txt"))
    tokenizer = CharBPETokenizer(*names, unk_token="<|endoftext|>", lowercase=True)  # noqa: S106
    model = loaded(Clip, torch.load(folder / "chexzero.pt"))
    start, end = (tokenizer.token_to_id(f"<|{word}oftext|>") for word in ("start", "end"))

    def encode(texts: list[str]) -> Tensor:
        ids = torch.zeros(len(texts), 77, dtype=torch.long)
        for row, text in zip(ids, texts, strict=True):
            pieces = torch.tensor([start, *tokenizer.encode(text).ids, end])
            row[: len(pieces)] = pieces
        return F.normalize(model.encode_text(ids), dim=-1)

    return model, encode


def biovil(folder: Path) -> tuple[Any, Callable[[list[str]], Tensor]]:
    """Return the same for BioViL, which averages projected prompts without normalising them."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel

    tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"))
    tokenizer.enable_padding()
    weights = torch.load(folder / "pytorch_model.bin")
    parts: dict[str, dict[str, Tensor]] = {"bert": {}, "cls_projection_head": {}}
    for name, tensor in weights.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    words = {"state_dict": parts["bert"], "add_pooling_layer": False}
    bert = BertModel.from_pretrained(None, config=BertConfig(), **words).eval()
    head = loaded(Head, parts["cls_projection_head"])

    def encode(texts: list[str]) -> Tensor:
        cut = tokenizer.encode_batch([text.rstrip("!?.") for text in texts])
        ids, mask = (torch.tensor([getattr(one, of) for one in cut]) for of in ("ids", "attention_mask"))
        projected: Tensor = head(bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0])
        return projected

    return loaded(BioVil, torch.load(folder / IMAGE_FILE)), encode


def main() -> None:
    """Score a folder of DICOM files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=("chexzero", "biovil"))
    parser.add_argument("folder", type=Path, help="model files, and findings.json: id, positive, negative")
    parser.add_argument("images", type=Path)
    given = parser.parse_args()
    of_chexzero = given.family == "chexzero"
    findings = json.loads((given.folder / "findings.json").read_text(encoding="utf-8"))
    paths = sorted(given.images.iterdir())
    with torch.inference_mode():
        model, encode = (chexzero if of_chexzero else biovil)(given.folder)
        sides = [(encode(positive).mean(0), encode(negative).mean(0)) for _, positive, negative in findings]
        pairs = F.normalize(torch.stack([torch.stack(pair) for pair in sides]), dim=-1)
        images = DataLoader(Radiographs(paths)) if of_chexzero else crops(paths)
        for path, pixels in zip(paths, images, strict=True):
            cosines = pairs @ F.normalize(model.encode_image(pixels)[0], dim=0)
            scores = cosines.softmax(dim=-1)[:, 0] if of_chexzero else cosines[:, 0] - cosines[:, 1]
            line = dict(zip((name for name, _, _ in findings), scores.tolist(), strict=True))
            sys.stdout.write(json.dumps({"path": str(path), "scores": line}) + "\n")


if __name__ == "__main__":
    main()
