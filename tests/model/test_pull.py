"""`tier model pull` against a mirror on this machine."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import xrays
from foreign_biovil import ImageModel, random_weights, save_text_tower
from hub import COMMIT, Mirror, mirror
from huggingface_hub import constants

from tier_cli.app import main
from tier_cli.commands import model_pull
from tier_cli.errors import CheckpointError
from tier_cli.model import registry
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.pull import download, downloads, fetch
from tier_cli.model.registry import PublicFile, PublicModel, public_models

_IMAGE = "biovil_image_resnet50_proj_size_128.pt"
pytestmark = pytest.mark.usefixtures("without_graphs")


@pytest.fixture
def without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tier_cli.model.export.export_graphs", lambda folder: {})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror with BioViL's files, and caches of this test's own."""
    folder = tmp_path / "repository"
    save_text_tower(folder)
    torch.save(random_weights(ImageModel()).state_dict(), folder / _IMAGE)
    monkeypatch.setenv("TIER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TIER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    with mirror(folder) as state:
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        yield state


def _known(hub: Mirror, monkeypatch: pytest.MonkeyPatch, md5: str | None = None) -> PublicModel:
    """Let BioViL's file of images have the hash of the mirror's."""
    model = public_models()["biovil"]
    first, *others = model.files
    digest = md5 or hashlib.md5((hub.folder / _IMAGE).read_bytes(), usedforsecurity=False).hexdigest()
    changed = PublicModel(**{**vars(model), "files": (PublicFile(first.name, md5=digest), *others)})
    monkeypatch.setattr(registry, "public_models", lambda: {"biovil": changed})
    return changed


def test_a_pulled_model_is_used_by_its_name(
    hub: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _known(hub, monkeypatch)
    assert main(["model", "pull", "biovil", "--yes"]) == 0
    said = capsys.readouterr()
    facts = json.loads(said.out)
    text = " ".join(said.err.split())
    assert f"From {hub.address}/microsoft/BiomedVLP-CXR-BERT-specialized, revision v1.1" in text
    # Nothing but files was asked for.
    assert all("/resolve/v1.1/" in path for path in hub.asked)
    assert (
        text.index("Licence: MIT") < text.index("MIMIC-CXR") < text.index("no public hash to check against")
    )
    assert facts["path"] == str(downloads("biovil"))
    origin = facts["origin"]
    assert (origin["revision"], origin["commit"]) == ("v1.1", COMMIT)
    assert {name: file["checked"] for name, file in origin["files"].items()} == {
        _IMAGE: True,
        "pytorch_model.bin": False,
        "vocab.txt": False,
    }
    assert "MIMIC-CXR" in (downloads("biovil") / "README.md").read_text()
    image = xrays.write_png(tmp_path / "a.png")
    assert main(["classify", str(image), "--model", "biovil", "--device", "cpu", "--workers", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["scoring"] == "cosine_difference"
    assert main(["model", "list"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (row,) = (row for row in rows if row["name"] == "biovil")
    assert (row["installed"], row["licence"], row["family"], row["rendering"]) == (
        True,
        "MIT",
        "biovil",
        "minmax",
    )
    assert row["source"] == "microsoft/BiomedVLP-CXR-BERT-specialized@v1.1"
    assert row["hashes"][_IMAGE] == f"sha256:{origin['files'][_IMAGE]['sha256']}"
    assert (row["title"], row["pixels"]) == (
        public_models()["biovil"].title,
        public_models()["biovil"].pixels,
    )
    assert main(["model", "pull", "biovil", "--yes"]) == 2
    assert "use it with --model biovil" in " ".join(capsys.readouterr().err.split())


def test_a_file_that_is_not_the_published_one_is_refused(
    hub: Mirror, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _known(hub, monkeypatch, md5="0" * 32)
    assert main(["model", "pull", "biovil", "--yes"]) == 2
    assert f"not {'0' * 32}; the file is not the published one" in " ".join(capsys.readouterr().err.split())
    assert not downloads("biovil").exists()
    assert list(downloads("biovil").parent.iterdir()) == []


def test_nothing_is_downloaded_before_the_terms_are_accepted(
    hub: Mirror, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "pull", "biovil"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.index("Licence: MIT") < said.index("accept licence and terms with --yes")
    monkeypatch.setattr(model_pull, "is_terminal", lambda name: name == "stdin")
    monkeypatch.setattr("typer.confirm", lambda *args, **more: False)
    assert main(["model", "pull", "biovil"]) == 1
    assert hub.asked == []


def test_an_interrupted_download_is_continued(hub: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _known(hub, monkeypatch)
    # Parts of this size are kept.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.breaks_after = 5500
    found = fetch(model, model.files[0])
    assert hub.ranges == ["bytes=5000-"]
    assert found is not None
    assert found.checked


def test_without_a_network(hub: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _known(hub, monkeypatch)
    first = fetch(model, model.files[0])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    # What was downloaded before is enough.
    assert fetch(model, model.files[0]) == first
    assert fetch(model, PublicFile("merges.txt", optional=True)) is None
    with pytest.raises(CheckpointError, match=r"HF_HUB_OFFLINE is set.*from https://huggingface.co"):
        fetch(model, model.files[1])


def test_a_hub_that_does_not_answer_is_one_line_at_once(
    hub: Mirror, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = _known(hub, monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    # The hub's library would wait between its attempts.
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waited"))
    capfd.readouterr()
    assert main(["model", "pull", "biovil", "--yes"]) == 2
    said = capfd.readouterr().err.splitlines()
    assert [line for line in said if "Retry" in line or "thrown" in line] == []
    (error,) = (line for line in said if line.startswith("Error:"))
    assert error == said[-1]
    assert "http://127.0.0.1:9 cannot be reached" in error
    files = "biovil_image_resnet50_proj_size_128.pt, pytorch_model.bin (and, if there, vocab.txt,"
    " tokenizer.json"
    assert f"download {files}" in error
    assert (
        "huggingface.co/microsoft/BiomedVLP-CXR-BERT-specialized/tree/v1.1 into a folder biovil-files"
        in error
    )
    line = f"tier model convert biovil-files {downloads('biovil')} --family biovil"
    assert error.endswith(line)
    # The line works, and the model is then found by its name.
    (hub.folder.parent / "biovil-files").symlink_to(hub.folder)
    monkeypatch.chdir(hub.folder.parent)
    assert main(shlex.split(line)[1:]) == 0
    assert open_checkpoint("biovil").path == downloads("biovil")
    assert model.name == "biovil"


def test_what_the_cache_of_the_hub_has_needs_no_network(hub: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _known(hub, monkeypatch)
    first = download(model, downloads("biovil"))
    # The cache does not depend on the address.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert download(model, downloads("biovil")) == first


def test_files_are_downloaded_for_a_machine_without_a_network(
    hub: Mirror, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _known(hub, monkeypatch)
    folder = hub.folder.parent / "usb stick" / "biovil"
    assert main(["model", "pull", "biovil", "--yes", "--download-only", "--output", str(folder)]) == 0
    said = capsys.readouterr()
    names = [_IMAGE, "pytorch_model.bin", "vocab.txt"]
    assert json.loads(said.out) == {"files": {name: str(folder / name) for name in names}}
    assert f"tier model convert '{folder}' biovil --family biovil" in said.err
    assert sorted(file.name for file in folder.iterdir()) == names
    assert not any(file.is_symlink() for file in folder.iterdir())
    assert not downloads("biovil").exists()
    assert main(["model", "pull", "biovil", "--yes", "--download-only"]) == 0
    assert "tier model pull biovil" in capsys.readouterr().err


def test_a_gated_model_explains_how_to_get_access(hub: Mirror) -> None:
    hub.gated = True
    model = public_models()["medsiglip"]
    with pytest.raises(CheckpointError, match=r"accepting its terms.*google/medsiglip-448.*hf auth login"):
        fetch(model, model.files[0])


def test_a_mirror_that_lacks_a_file(hub: Mirror) -> None:
    model = public_models()["biovil"]
    assert fetch(model, PublicFile("none.json", optional=True)) is None
    with pytest.raises(CheckpointError, match=r"v1\.1/none\.json: file not found"):
        fetch(model, PublicFile("none.json"))


def test_a_pulled_model_records_its_origin(hub: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    _known(hub, monkeypatch)
    assert main(["model", "pull", "biovil", "--yes", "--output", str(hub.folder.parent / "mine")]) == 0
    checkpoint = open_checkpoint(hub.folder.parent / "mine")
    training = json.loads((checkpoint.path / "training.json").read_text())
    assert training["converted"]["origin"]["repository"] == "microsoft/BiomedVLP-CXR-BERT-specialized"
