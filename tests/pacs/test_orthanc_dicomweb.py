"""Studies come from a DICOMweb server, and reports go there: Orthanc with its plug-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes import Listen, wait_for
from orthanc import Orthanc, orthanc
from pydicom import dcmread
from xrays import write_dicom

from tier_cli.app import main
from tier_cli.pacs.dicomweb import Server, WebStore
from tier_cli.pacs.objects import object_maker
from tier_cli.pacs.outbox import Sent
from tier_cli.pipeline.scoring_job import ScoringJob
from tier_cli.pipeline.stream import StreamOptions

PLUGINS = [
    f"{folder}/libOrthancDicomWeb.so"
    for folder in (
        "/usr/share/orthanc/plugins",
        "/usr/lib/orthanc/plugins",
        "/usr/local/share/orthanc/plugins",
    )
]

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Orthanc]:
    found = [path for path in PLUGINS if Path(path).exists()]
    if not found:
        pytest.skip("Orthanc's DICOMweb plug-in is not installed")
    folder = tmp_path / "orthanc"
    folder.mkdir()
    settings = {"Plugins": found[:1], "DicomWeb": {"Enable": True, "Root": "/rs/"}}
    with orthanc(folder, **settings) as running:
        yield running


def test_a_study_is_scored_as_its_files_are(
    server: Orthanc, model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images = [write_dicom(tmp_path / f"{number}.dcm", number, "1.2.3") for number in range(2)]
    for image in images:
        server.store(image)
    url = f"dicomweb://127.0.0.1:{server.http}/rs/studies/1.2.3"
    options = ["--model", model, "--device", "cpu"]
    assert main(["classify", url, *options]) == 0
    retrieved = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert main(["classify", *map(str, images), *options]) == 0
    direct = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    by_uid = {line["instance"]: line["findings"] for line in direct}
    assert {line["instance"]: line["findings"] for line in retrieved} == by_uid
    # Results name the image, not the temporary file.
    assert {line["path"] for line in retrieved} == {
        f"{url}/series/1.2.3.1/instances/1.2.3.1.{number}" for number in range(2)
    }
    one = f"{url}/series/1.2.3.1/instances/1.2.3.1.1"
    output = tmp_path / "one.json"
    assert main(["classify", one, *options, "--output", str(output)]) == 0
    assert [line["path"] for line in json.loads(output.read_text())] == [one]


def test_a_study_that_is_not_there_becomes_a_row(
    server: Orthanc, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"dicomweb://127.0.0.1:{server.http}/rs/studies/9.9.9"
    assert main(["classify", url, "--model", model]) == 3
    assert "no such study" in json.loads(capfd.readouterr().out)["error"]["message"]


def test_an_object_is_stored_as_it_is(server: Orthanc, tmp_path: Path) -> None:
    store = WebStore(Server(f"dicomweb://127.0.0.1:{server.http}/rs"))
    image, broken = write_dicom(tmp_path / "a.dcm"), tmp_path / "b.dcm"
    broken.write_bytes(b"no DICOM")
    assert store.send([image, broken]) == {image: Sent.DONE, broken: Sent.REFUSED}
    (stored,) = json.loads(server.get("/instances"))
    (tmp_path / "back.dcm").write_bytes(server.get(f"/instances/{stored}/file"))
    assert dcmread(tmp_path / "back.dcm") == dcmread(image)


def test_a_received_study_ends_as_a_report_beside_its_images(
    server: Orthanc, listen: Listen, job: ScoringJob, tmp_path: Path
) -> None:
    """Orthanc sends the study by C-STORE, and gets the report by STOW-RS."""
    import urllib.request

    image = write_dicom(tmp_path / "a.dcm", 0, "1.2.3")
    parent = server.store(image)["ParentStudy"]
    store = WebStore(Server(f"dicomweb://127.0.0.1:{server.http}/rs"))
    node = listen(destinations=[store], make=object_maker(job, StreamOptions()))
    modality = {"AET": "TIER", "Host": "127.0.0.1", "Port": node.port, "LocalAet": "SENDER"}
    for path, body, method in (
        ("/modalities/tier", modality, "PUT"),
        ("/modalities/tier/store", {"Resources": [parent], "LocalAet": "SENDER"}, "POST"),
    ):
        address = f"http://127.0.0.1:{server.http}{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), method=method)
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - loopback
    wait_for(lambda: len(json.loads(server.get(f"/studies/{parent}/instances"))) == 2)
    instances = json.loads(server.get(f"/studies/{parent}/instances"))
    classes = [
        json.loads(server.get(f"/instances/{one['ID']}/simplified-tags"))["Modality"] for one in instances
    ]
    assert sorted(classes) == ["DX", "SR"]
