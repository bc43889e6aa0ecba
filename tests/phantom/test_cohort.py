"""Cohorts of synthetic chests: correct reports and boxes, splits by patient, reproducible files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.errors import UsageError
from tier_cli.findings.load import builtin
from tier_cli.phantom.cohort import Case, cases
from tier_cli.phantom.folder import write_folder
from tier_cli.phantom.lesions import FINDINGS, Lesion

SIZE = 64
WORDS = {
    "cardiomegaly": ("cardiomegaly", "heart", "cardiac silhouette"),
    "consolidation": ("consolidation",),
    "effusion": ("effusion", "costophrenic"),
    "nodule": ("nodule",),
    "pneumothorax": ("pneumothorax",),
}
DENIALS = ("no ", "neither", "normal", "not enlarged", "sharp", "clear")


def lesions(case: Case) -> list[Lesion]:
    return [one for one in case.phantom.findings if isinstance(one, Lesion)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("cohort")
    return read_manifest(write_folder(folder, 40, 3, size=SIZE).manifest)


def test_a_picture_depends_on_seed_and_index_alone() -> None:
    few, many = list(cases(5, 9, SIZE)), list(cases(12, 9, SIZE))
    assert few == many[:5]
    np.testing.assert_array_equal(few[4].render().pixels, many[4].render().pixels)
    assert [case.text for case in cases(12, 10, SIZE)] != [case.text for case in many]


def test_patients_stay_in_their_split_and_studies_share_their_report() -> None:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    texts: defaultdict[str, set[str]] = defaultdict(set)
    people: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    drawn = list(cases(400, 0, SIZE))
    for case in drawn:
        splits[case.patient].add(case.split)
        people[case.patient].add((case.sex, case.age))
        texts[case.study].add(case.text)
    assert {len(seen) for seen in splits.values()} == {len(seen) for seen in texts.values()} == {1}
    assert {len(seen) for seen in people.values()} == {1}
    assert {case.split for case in drawn} == {"train", "valid", "test"}
    assert len(splits) < len(texts) < len(drawn), "some have several studies, some studies several pictures"


def test_view_sex_and_age_do_not_predict_the_findings() -> None:
    drawn = list(cases(4000, 5, SIZE))
    about = np.array([(case.view == "AP", case.sex == "F", case.age) for case in drawn], dtype=np.float64)
    there = np.array(
        [[name in {one.finding for one in lesions(case)} for name in FINDINGS] for case in drawn],
        dtype=np.float64,
    )
    correlation = np.corrcoef(about.T, there.T)[:3, 3:]
    assert np.abs(correlation).max() < 0.08
    assert np.all((there.mean(axis=0) > 0.2) & (there.mean(axis=0) < 0.4))


def test_reports_are_true_and_complete() -> None:
    for case in cases(600, 1, SIZE):
        there = {one.finding for one in lesions(case)}
        for sentence in case.text.split(". "):
            named = {name for name, words in WORDS.items() if any(word in sentence.lower() for word in words)}
            denied = any(word in f"{sentence.lower()} " for word in DENIALS)
            assert named.isdisjoint(there) if denied else named <= there, case.text
            sides = {one.side for one in lesions(case) if one.finding in named}
            for side in ("left", "right"):
                assert side not in sentence.lower() or side in sides, case.text


def test_reports_vary_in_wording() -> None:
    texts = {case.text for case in cases(300, 2, SIZE)}
    assert len(texts) > 120


def test_the_manifest_is_one_that_training_and_evaluation_read(written: Manifest) -> None:
    assert len(written) == 40
    assert set(written.column("source")) == {"synthetic"}
    assert written.ignored_columns(builtin("nih14")) == []
    labels = written.labels(builtin("nih14"))
    assert np.isfinite(labels).any(axis=0).sum() == len(FINDINGS)
    assert all(Path(path).is_file() for path in written.paths)


def test_boxes_lie_in_the_picture_and_name_what_the_labels_say(written: Manifest) -> None:
    for row in range(len(written)):
        boxes = json.loads(written.column("boxes")[row])
        assert {box["finding"] for box in boxes} <= {n for n in FINDINGS if written.frame[n][row] == "1"}
        for x0, y0, x1, y1 in (box["box"] for box in boxes):
            assert 0 <= x0 < x1 <= SIZE
            assert 0 <= y0 < y1 <= SIZE


def test_processes_write_the_same_files_in_the_same_order(tmp_path: Path, written: Manifest) -> None:
    again = write_folder(tmp_path, 40, 3, size=SIZE, workers=2)
    assert again.manifest.read_text() == Path(written.origin).read_text()
    for path in ("images/000000.png", "images/000017.png", "images/000039.png"):
        assert (tmp_path / path).read_bytes() == (Path(written.root) / path).read_bytes()


def test_every_picture_is_labelled_as_synthetic(tmp_path: Path, written: Manifest) -> None:
    import pydicom
    from PIL import Image

    for path in written.paths:
        with Image.open(path) as picture:
            assert picture.text["Description"].startswith("SYNTHETIC")  # type: ignore[attr-defined]
    write_folder(tmp_path, 2, 3, size=SIZE, kind="dicom")
    for file in (tmp_path / "images").iterdir():
        dataset = pydicom.dcmread(file)
        assert str(dataset.PatientName) == "SYNTHETIC^PHANTOM"
        assert dataset.PatientID.startswith("synthetic-")
        assert dataset.ImageType[0] == "DERIVED"


def test_pictures_of_one_study_share_its_uid_in_dicom(tmp_path: Path) -> None:
    import pydicom

    write_folder(tmp_path, 12, 3, size=SIZE, kind="dicom")
    manifest = read_manifest(tmp_path / "manifest.csv")
    uids = defaultdict(set)
    for path, study in zip(manifest.paths, manifest.column("study"), strict=True):
        uids[study].add(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)
    assert all(len(found) == 1 for found in uids.values())
    assert len({uid for found in uids.values() for uid in found}) == len(uids)


def test_a_manifest_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("mine\n")
    with pytest.raises(UsageError, match="already contains a manifest"):
        write_folder(tmp_path, 1, 0, size=SIZE)
    assert (tmp_path / "manifest.csv").read_text() == "mine\n"


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_folder(tmp_path / "file" / "folder", 1, 0, size=SIZE)


def test_an_interrupted_run_leaves_no_manifest(tmp_path: Path) -> None:
    @contextmanager
    def interrupted(count: int | None, title: str) -> Iterator[Callable[[], object]]:
        def stop() -> None:
            raise KeyboardInterrupt

        yield stop

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path, 5, 0, size=SIZE, progress=interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
