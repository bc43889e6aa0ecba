"""`tier doctor`: versions, devices, decoders and the bundled model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tier_cli import __version__
from tier_cli.commands import doctor

Tier = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bundled(model: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take the small checkpoint for the bundled one."""
    monkeypatch.setattr("tier_cli.model.checkpoint.DEFAULT_MODEL", model)
    return model


def test_reports_versions_devices_and_cache(tier: Tier, bundled: str, own_cache: Path) -> None:
    import torch

    code, out, err = tier("doctor")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert facts["versions"]["tier-cli"] == __version__
    torch_extra = facts["extras"]["torch"]
    assert (torch_extra["versions"]["torch"], torch_extra["remedy"]) == (torch.__version__, None)
    assert facts["model"]["problems"] == []
    assert facts["cache"] == {"folder": str(own_cache), "writable": True}
    assert len(facts["devices"]["cuda"]) == torch.cuda.device_count()


def test_says_where_downloaded_models_are(
    tier: Tier, bundled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user whose disk is full, or who moves to another machine, looks for them."""
    from huggingface_hub.constants import HF_HUB_CACHE

    monkeypatch.setenv("TIER_DATA_DIR", str(tmp_path / "data"))
    facts = json.loads(tier("doctor")[1])
    assert facts["data"] == {"folder": str(tmp_path / "data"), "writable": True, "models": []}
    assert facts["hub_cache"] == {"folder": HF_HUB_CACHE}
    pulled = tmp_path / "data" / "models" / "biovil"
    pulled.mkdir(parents=True)
    (pulled / "config.json").write_text("{}")
    assert json.loads(tier("doctor")[1])["data"]["models"] == ["biovil"]


def test_every_promised_transfer_syntax_is_decodable(tier: Tier, bundled: str) -> None:
    from pydicom import uid

    syntaxes = {s["uid"]: s for s in json.loads(tier("doctor")[1])["transfer_syntaxes"]}
    promised = (
        uid.ExplicitVRBigEndian,
        uid.RLELossless,
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
        uid.JPEG2000,
    )
    for syntax in promised:
        assert syntaxes[syntax]["decoders"], syntax.name
        assert syntaxes[syntax]["remedy"] is None


def test_missing_decoders_come_with_what_to_install(
    tier: Tier, bundled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydicom.pixels import decoders

    for decoder in (decoders.base.JPEG2000Decoder, decoders.base.JPEGLSLosslessDecoder):
        monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "imagecodecs" else object())
    syntaxes = {s["name"]: s for s in json.loads(tier("doctor")[1])["transfer_syntaxes"]}
    remedies = {name: s["remedy"] for name, s in syntaxes.items() if not s["decoders"]}
    assert remedies == {
        "JPEG 2000 Image Compression": "pip install pylibjpeg pylibjpeg-openjpeg",
        "JPEG-LS Lossless Image Compression": "pip install pyjpegls",
        "JPEG Extended, 12 bits": "pip install 'tier-cli[codecs]'",
    }


def test_altered_model_is_a_problem(
    tier: Tier, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "config.json").write_text("{}")
    monkeypatch.setattr("tier_cli.model.checkpoint.DEFAULT_MODEL", str(copy))
    code, out, _ = tier("doctor")
    assert code == 2
    assert "config.json: altered" in json.loads(out)["model"]["problems"]


def test_missing_model_is_a_problem(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tier_cli.model.checkpoint.DEFAULT_MODEL", "no-such-model")
    code, out, _ = tier("doctor")
    assert code == 2
    assert "no-such-model" in json.loads(out)["model"]["problems"][0]


def test_tables_fit_a_terminal(
    bundled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "is_terminal", lambda name: True)
    monkeypatch.setenv("COLUMNS", "80")
    doctor.doctor()
    out = capsys.readouterr().out
    assert "DICOM transfer syntaxes" in out
    assert all(name in out for name in ("data folder", "downloaded models", "Hugging Face cache"))
    assert "checksums.json)" in "".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines())
    assert sys.version.split()[0] in out
