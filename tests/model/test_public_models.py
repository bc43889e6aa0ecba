"""The registry of public models is valid, and agrees with help and documentation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tier_cli.app import main
from tier_cli.errors import UsageError
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.model import registry
from tier_cli.model.convert.detect import FAMILIES, IMAGE_FILES
from tier_cli.model.registry import PublicModel, public_model, public_models

PAGE = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text("utf-8")
MODELS = public_models().values()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_an_entry_is_sound(model: PublicModel) -> None:
    assert model.family in FAMILIES
    Preprocessing(rendering=model.rendering)  # type: ignore[arg-type]
    assert bool(model.repository) != bool(model.by_hand)
    assert bool(model.repository) == bool(model.files)
    # A branch would give other weights one day.
    assert not model.repository or re.fullmatch(r"[0-9a-f]{40}|v\d+\.\d+", model.revision)
    for file in model.files:
        assert Path(file.name).name == file.name
        assert re.fullmatch(r"([0-9a-f]{32})?", file.md5)
        assert re.fullmatch(r"([0-9a-f]{64})?", file.sha256)
    weights = [file for file in model.files if file.name.endswith((".pt", ".bin", ".safetensors"))]
    assert not any(file.optional for file in weights)
    if model.family in IMAGE_FILES.values():
        assert IMAGE_FILES[weights[0].name] == model.family


def _row(model: PublicModel) -> str:
    where = f"{model.repository} at {model.revision[:12]}" if model.repository else "by hand"
    known = [file.name for file in model.files if file.md5 or file.sha256]
    hashes = ", ".join(known) or "none"
    gated = ", gated" if model.gated else ""
    return f"| `{model.name}` | {where} | {model.licence}{gated} | `{model.rendering}` | {hashes} |"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_page_has_its_row(model: PublicModel) -> None:
    assert _row(model) in PAGE


def test_help_is_made_from_the_register(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = public_models()
    other = replace(known["clip"], name="clip-large")
    monkeypatch.setattr(registry, "public_models", lambda: {"clip": known["clip"], "clip-large": other})
    assert main(["model", "pull", "--help"]) == 0
    assert "clip and clip-large; see" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["", "model"])
def test_no_other_help_reads_the_register(command: str) -> None:
    script = (
        "import sys; from tier_cli.app import main; main(sys.argv[1].split() + ['--help']);"
        "sys.exit('tier_cli.model.registry' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, command], capture_output=True, check=True)


def test_help_names_what_can_be_pulled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "pull", "--help"]) == 0
    shown = " ".join(re.sub(r"[│╭╰]", " ", capsys.readouterr().out).split())
    *names, last = [model.name for model in MODELS if model.repository]
    assert f"{', '.join(names)} and {last};" in shown


def test_names_that_cannot_be_pulled() -> None:
    with pytest.raises(UsageError, match=r"unknown public model 'bert'.*biovil, biovil-t"):
        public_model("bert")
    with pytest.raises(UsageError, match=r"cannot be pulled; its authors share the files from"):
        public_model("chexzero")


BY_HAND = [model for model in MODELS if model.by_hand]


@pytest.mark.parametrize("model", BY_HAND, ids=lambda model: model.name)
def test_licences_of_files_to_fetch_are_said_first(
    model: PublicModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "pull", model.name, "--yes"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"Licence: {model.licence}." in said
    assert all(sentence in said for sentence in model.terms)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_list_states_the_licence(model: PublicModel, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (shown,) = (line for line in lines if line["name"] == model.name)
    assert (shown["licence"], shown["title"]) == (model.licence, model.title)


@pytest.mark.parametrize("name", ["xrayclip", "pubmedclip"])
def test_nothing_is_asked_of_the_hub_before_the_licence_is_accepted(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(*given: object) -> None:
        raise SystemExit("downloaded")

    monkeypatch.setattr("tier_cli.model.pull.download", download)
    model = public_models()[name]
    assert main(["model", "pull", name]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"Licence: {model.licence}" in said
    assert "accept licence and terms with --yes" in said
    restricted = model.licence.startswith("CC BY-NC")
    assert ("Not for commercial use" in said) == restricted


def test_restrictive_licences_are_stated() -> None:
    known = public_models()
    for name in ("xrayclip", "xraysiglip", "cxr-clip", "unimed-clip"):
        assert known[name].licence.startswith("CC BY-NC")
    assert known["medclip"].licence == "none stated"
    for name in ("xrayclip", "xraysiglip", "cxr-clip", "medclip", "unimed-clip"):
        assert any("MIMIC-CXR" in sentence for sentence in known[name].terms)
