"""Nothing that an image or a caller says comes out of the service, except UIDs in its results."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from dcmtk import send
from half_sent import associate
from nodes import Listen
from pydicom import dcmread
from pydicom.uid import UID


@pytest.fixture(scope="module")
def markers() -> ModuleType:
    """The markers that other commands are tested with."""
    path = Path(__file__).parents[1] / "project" / "test_markers.py"
    spec = importlib.util.spec_from_file_location("markers_of_listen", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_marker_leaves_the_folder_of_the_images(
    listen: Listen, markers: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    status = tmp_path / "status.json"
    node = listen(status_file=status)
    good = markers.write_marked(tmp_path / "in" / "a.dcm")
    other = markers.write_marked(tmp_path / "in" / "b.dcm", "Modality")
    dataset = dcmread(good)
    association = associate(node.port, good)
    assert association.send_c_store(dataset).Status == 0x0000
    dataset = dcmread(other)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.9")
    assert association.send_c_store(dataset).Status == 0x0000
    del dataset.StudyInstanceUID
    assert association.send_c_store(dataset).Status == 0xC000
    association.release()
    assert send(node.port, [good], markers.WORD) != 0
    node.wait_for("scored", 1)
    node.wait_for("failed", 1)
    node.wait_for("studies", 1)
    node.listener.stop()
    texts = {"stderr": node.said.getvalue(), "status": status.read_text()}
    for path in node.root.rglob("*"):
        texts[str(path.relative_to(node.root))] = path.name
        if path.is_file() and "spool" not in path.parts:
            texts[f"{path.relative_to(node.root)} itself"] = path.read_text("latin-1")
    assert {name: leaks for name, text in texts.items() if (leaks := markers._leaks(text))} == {}
    assert '"scores"' in texts["scores.journal itself"]
