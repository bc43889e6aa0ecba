"""What is sent of a study: reports, captures, presentation states and segmentations."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from xrays import write_dicom, write_png

from tier_cli.app import main
from tier_cli.errors import CheckpointError, InputError
from tier_cli.imaging.discover import Source
from tier_cli.pacs.objects import KINDS, object_maker
from tier_cli.pipeline.scoring_job import ScoringJob
from tier_cli.pipeline.stream import StreamOptions, stream_options
from tier_cli.results.record import Result

EXAMPLES = Path(__file__).parents[2] / "examples"
STREAM = stream_options(views="all", workers=0)


def _results(job: ScoringJob, paths: list[Path]) -> list[Result]:
    return list(job.classify([Source(str(path)) for path in paths], STREAM))


def _read(content: bytes | InputError) -> Dataset:
    assert isinstance(content, bytes)
    return dcmread(BytesIO(content))


def test_each_kind_belongs_to_the_study_of_its_images(job: ScoringJob, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    drawing = EXAMPLES / "02-effusion-pa.dcm"
    made = [_read(one) for one in object_maker(job, STREAM, KINDS)(_results(job, [drawing]))]
    assert [one.Modality for one in made] == ["SR", "PR", "OT", "SEG"]
    assert {one.StudyInstanceUID for one in made} == {dcmread(drawing).StudyInstanceUID}
    assert len({one.SOPInstanceUID for one in made}) == len(made)


def test_an_object_that_cannot_be_made_keeps_the_others(job: ScoringJob, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    path = Path(write_dicom(tmp_path / "a.dcm", 0, "1.2.3"))
    results = _results(job, [path])
    # The file is another one by now: no study can be named.
    write_png(tmp_path / "a.png", 0).replace(path)
    made = list(object_maker(job, STREAM, ("sr", "sc"))(results))
    assert made
    assert all(isinstance(one, InputError) for one in made)


def test_maps_need_a_model_that_has_them(job: ScoringJob, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highdicom")

    def refuse(job: ScoringJob) -> None:
        raise CheckpointError("its image tower has no grid of patches")

    monkeypatch.setattr("tier_cli.pipeline.map_files.check_patches", refuse)
    object_maker(job, StreamOptions(), ("sr",))
    with pytest.raises(CheckpointError, match="no grid"):
        object_maker(job, StreamOptions(), ("sc",))


def test_an_unknown_kind_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pynetdicom")
    given = ["listen", "--output", str(tmp_path / "out"), "--allow", "A@127.0.0.1", "--send", "sr,gsp"]
    assert main(given) == 2
    assert "did you mean gsps" in " ".join(capsys.readouterr().err.split())
