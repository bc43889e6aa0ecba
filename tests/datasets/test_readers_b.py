"""Readers of data sets with boxes and masks, on small copies of their layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import layouts_b as layouts
import numpy as np
import pytest

from tier_cli.datasets.manifest import Manifest
from tier_cli.datasets.regions import Region, regions
from tier_cli.datasets.registry import DATASETS, read_dataset
from tier_cli.errors import ManifestError
from tier_cli.evaluation.radiologists import reads_of
from tier_cli.findings.load import builtin

NAMES = (
    "nih14",
    "nih14-expert",
    "nih4-expert",
    "vindr",
    "rsna",
    "siim",
    "ms-cxr",
    "chexlocalize",
    "chestx-det10",
    "covid-qu-ex",
)


def labels_of(manifest: Manifest, findings: str, *names: str) -> list[list[float | None]]:
    """Labels of findings, a list a row, None = blank."""
    fs = builtin(findings)
    table = manifest.labels(fs)[:, [fs.ids.index(name) for name in names]]
    return [[None if np.isnan(value) else value for value in row] for row in table.tolist()]


def cells(manifest: Manifest, name: str) -> list[str]:
    return [str(cell) for cell in manifest.column(name)]


def files(manifest: Manifest, root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in manifest.paths]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_root_says_what_was_looked_for_and_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "holiday.jpg").touch()
    for split in (None, DATASETS[name].default_split):
        with pytest.raises(ManifestError, match=r"looked for .+, found .*holiday\.jpg") as caught:
            read_dataset(name, tmp_path, split)
        assert DATASETS[name].layout.splitlines()[0] in str(caught.value)


# ChestX-ray14


@pytest.mark.parametrize("flat", [True, False])
def test_nih14_follows_the_official_lists(tmp_path: Path, flat: bool) -> None:
    root = layouts.nih14(tmp_path, flat=flat)
    manifest = read_dataset("nih14", root, None)
    folders = ("images", "images") if flat else ("images_001/images", "images_012/images")
    assert files(manifest, root) == [
        f"{folders[0]}/00000001_000.png",
        f"{folders[1]}/00000001_001.png",
        "images/00000002_000.png",
    ]
    assert cells(manifest, "split") == ["train", "train", "test"]
    assert cells(manifest, "patient") == ["1", "1", "2"]
    assert len(set(cells(manifest, "study"))) == 3
    assert any("1 of 3 images are not on disk" in note for note in manifest.notes)
    assert read_dataset("nih14", root, "train").column("split").tolist() == ["train", "train"]


def test_nih14_labels_are_whole_and_never_blank(tmp_path: Path) -> None:
    manifest = read_dataset("nih14", layouts.nih14(tmp_path), None)
    found = manifest.labels(builtin("nih14"))
    assert not np.isnan(found).any()
    ids = builtin("nih14").ids
    present = [{ids[i] for i in np.flatnonzero(row)} for row in found]
    assert present == [{"cardiomegaly", "pleural_thickening"}, set(), {"effusion", "infiltration"}]
    assert labels_of(manifest, "chexpert14", "no_finding") == [[0], [1], [0]]


def test_nih14_boxes_are_pixels_of_1024_and_call_infiltration_so(tmp_path: Path) -> None:
    manifest = read_dataset("nih14", layouts.nih14(tmp_path), "test")
    (found,) = regions(manifest)
    assert found[0] == Region("Infiltration", box=(100.5, 200.0, 150.5, 225.25), size=(1024, 1024))
    truth = np.zeros((80, 80), dtype=bool)
    truth[:40, :40] = True
    np.testing.assert_array_equal(found[1].mask(80, 80), truth)


@pytest.mark.parametrize(("year", "ages"), [(2020, ["58", "59", ""]), (2017, ["58", "1", ""])])
def test_nih14_ages_are_years(tmp_path: Path, year: int, ages: list[str]) -> None:
    manifest = read_dataset("nih14", layouts.nih14(tmp_path, year=year), None)
    assert cells(manifest, "age") == ages
    assert "1 ages above 120 or unreadable are left blank" in manifest.notes
    assert cells(manifest, "sex") == ["M", "M", "F"]
    assert cells(manifest, "view") == ["PA", "PA", "AP"]


def test_nih14_refuses_labels_that_it_does_not_know(tmp_path: Path) -> None:
    path = layouts.nih14(tmp_path) / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("Effusion|", "Effusions|"))
    with pytest.raises(ManifestError, match="'Effusions', which is none of the 14"):
        read_dataset("nih14", tmp_path, "test")


def test_nih14_without_a_list_has_no_such_split(tmp_path: Path) -> None:
    (layouts.nih14(tmp_path) / "test_list.txt").unlink()
    with pytest.raises(ManifestError, match="the test split of NIH ChestX-ray14 is not there"):
        read_dataset("nih14", tmp_path, "test")
    manifest = read_dataset("nih14", tmp_path, None)
    assert cells(manifest, "split") == ["train", "train"]


# ChestX-ray14 read by radiologists


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_nih14_expert_labels_are_the_majority_of_three(tmp_path: Path, labels: bool, beside: bool) -> None:
    root = layouts.nih14_expert(tmp_path / "nih14-expert", labels=labels, beside=beside)
    manifest = read_dataset("nih14-expert", root, "test")
    assert [Path(path).name for path in manifest.paths] == [
        "00000002_000.png",
        "00000001_000.png",
        "00000009_000.png",
    ]
    assert Path(manifest.paths[1]).is_file()
    found = manifest.labels(builtin("nih14"))
    ids = builtin("nih14").ids
    present = [{ids[i] for i in np.flatnonzero(row)} for row in found]
    assert present == [{"effusion", "pleural_thickening"}, set(), {"hernia"}]
    assert labels_of(manifest, "chexpert14", "no_finding") == [[0], [1], [0]]
    assert cells(manifest, "patient") == ["2", "1", "9"]
    assert cells(manifest, "sex") == ["F", "M", ""]
    assert any("majority of its three" in note for note in manifest.notes) != labels


def test_nih14_expert_keeps_the_reads_that_made_no_labels(tmp_path: Path) -> None:
    manifest = read_dataset("nih14-expert", layouts.nih14_expert(tmp_path), None)
    found = reads_of(manifest, builtin("nih14"), ("effusion", "mass", "hernia"))
    assert [one.name for one in found] == ["4343880271", "4343882583"]
    np.testing.assert_array_equal(found[0].values, [[1, 0, 0], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(found[1].values, [[0, 1, 0], [0, 0, 0], [0, 0, 1]])
    assert not [name for name in manifest.ignored_columns(builtin("nih14")) if "reader" in name]


def test_nih14_expert_does_not_take_the_four_findings_for_them(tmp_path: Path) -> None:
    layouts.put(tmp_path / "four_findings_expert_labels" / "test_labels.csv", "Image Index,Fracture\na,YES\n")
    layouts.put(tmp_path / "test_labels.csv", "Image Index,Fracture\na,YES\n")
    with pytest.raises(ManifestError, match="looked for all_findings_expert_labels"):
        read_dataset("nih14-expert", tmp_path, "test")


def test_nih14_expert_refuses_a_table_without_its_radiologists(tmp_path: Path) -> None:
    root = layouts.nih14_expert(tmp_path, labels=False)
    (table,) = root.rglob("test_individual_readers.csv")
    table.write_text(table.read_text().replace("4343883996", "1"))
    with pytest.raises(ManifestError, match="4343883996 are not in the table"):
        read_dataset("nih14-expert", root, "test")


def test_nih4_expert_reads_what_was_adjudicated(tmp_path: Path) -> None:
    root = layouts.nih4_expert(tmp_path)
    manifest = read_dataset("nih4-expert", root, None)
    assert cells(manifest, "split") == ["valid", "valid", "test"]
    wanted = ("fracture", "pneumothorax", "lung_opacity", "nodule_mass")
    assert labels_of(manifest, "nih4", *wanted) == [[0, 1, 0, 1], [0, 0, 1, None], [1, 0, 0, 0]]
    assert Path(manifest.paths[1]).is_file()
    assert cells(manifest, "age") == ["58", "59", ""]
    assert cells(read_dataset("nih4-expert", root, "test"), "patient") == ["2"]
    (root / "four_findings_expert_labels" / "validation_labels.csv").unlink()
    with pytest.raises(ManifestError, match="the valid split of the adjudicated labels"):
        read_dataset("nih4-expert", root, "valid")


def test_nih4_expert_refuses_what_is_neither_yes_nor_no(tmp_path: Path) -> None:
    root = layouts.nih4_expert(tmp_path)
    table = root / "four_findings_expert_labels_test_labels.csv"
    table.write_text(table.read_text().replace("YES", "MAYBE"))
    with pytest.raises(ManifestError, match=r"image 00000002_000\.png: 'MAYBE' is neither YES nor NO"):
        read_dataset("nih4-expert", root, "test")


# VinDr-CXR


def test_vindr_takes_the_majority_of_three_and_the_consensus(tmp_path: Path) -> None:
    root = layouts.vindr(tmp_path)
    manifest = read_dataset("vindr", root, None)
    assert files(manifest, root) == ["train/a1.dicom", "test/b1.dicom", "test/b2.dicom"]
    assert not np.isnan(manifest.labels(builtin("vindr28"))).any()
    wanted = ("nodule_mass", "ild", "other_disease", "calcification", "lung_opacity", "no_finding")
    assert labels_of(manifest, "vindr28", *wanted) == [[1, 1, 1, 0, 0, 0], [0, 0, 1, 0, 1, 0], [0] * 5 + [1]]
    assert cells(manifest, "split") == ["train", "test", "test"]
    assert len(set(manifest.patients())) == 3
    assert labels_of(manifest, "chexpert14", "lung_opacity") == [[0], [1], [0]]


def test_vindr_boxes_are_those_of_findings_that_the_majority_saw(tmp_path: Path) -> None:
    train, *test = regions(read_dataset("vindr", layouts.vindr(tmp_path), None))
    assert [region.finding for region in train] == ["nodule_mass", "nodule_mass", "ild"]
    assert train[0].box == (10, 20, 30.5, 40)
    assert test == [(Region("lung_opacity", box=(100, 200, 300, 400)),), ()]


def test_vindr_reads_kaggles_rows_of_boxes(tmp_path: Path) -> None:
    root = layouts.vindr_kaggle(tmp_path)
    manifest = read_dataset("vindr", root, "train")
    assert labels_of(manifest, "vindr28", "cardiomegaly", "ild", "no_finding", "copd") == [
        [1, 0, 0, None],
        [0, 0, 1, None],
    ]
    assert [len(found) for found in regions(manifest)] == [3, 0]
    with pytest.raises(ManifestError, match="has no test labels"):
        read_dataset("vindr", root, "test")


def test_vindr_a_tie_of_readers_is_uncertain(tmp_path: Path) -> None:
    path = layouts.vindr(tmp_path) / "annotations" / "image_labels_train.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3]))
    manifest = read_dataset("vindr", tmp_path, "train")
    assert labels_of(manifest, "vindr28", "nodule_mass", "ild", "copd") == [[1, -1, 0]]


def test_vindr_finds_converted_images(tmp_path: Path) -> None:
    root = layouts.vindr(tmp_path)
    (root / "test" / "b1.dicom").unlink()
    layouts.picture(root / "test" / "b1.png")
    manifest = read_dataset("vindr", root, "test")
    assert files(manifest, root) == ["test/b1.png", "test/b2.dicom"]
    assert any("images with boxes that are no DICOM: 1" in note for note in manifest.notes)


def test_vindr_scales_boxes_where_the_first_size_is_known(tmp_path: Path) -> None:
    root = layouts.vindr_kaggle(tmp_path)
    (root / "train" / "a1.dicom").unlink()
    layouts.picture(root / "train" / "a1.png")
    layouts.put(root / "train_meta.csv", "image_id,dim0,dim1\na1,2400,1600\n")
    manifest = read_dataset("vindr", root, "train")
    assert not any("no DICOM" in note for note in manifest.notes)
    region = regions(manifest)[0][1]
    assert (region.box, region.size) == ((50, 60, 70, 80), (2400, 1600))


def test_vindr_without_the_tables_of_a_split(tmp_path: Path) -> None:
    root = layouts.vindr(tmp_path)
    (root / "annotations" / "image_labels_test.csv").unlink()
    with pytest.raises(ManifestError, match="the test split of VinDr-CXR is not there"):
        read_dataset("vindr", root, "test")


# RSNA


def test_rsna_is_one_row_a_patient_with_all_boxes(tmp_path: Path) -> None:
    root = layouts.rsna(tmp_path)
    manifest = read_dataset("rsna", root, "train")
    assert files(manifest, root) == [f"stage_2_train_images/p{n}.dcm" for n in (1, 2, 3)]
    assert labels_of(manifest, "chexpert14", "pneumonia", "no_finding") == [[1, 0], [0, 1], [0, 0]]
    assert [len(found) for found in regions(manifest)] == [2, 0, 0]
    assert regions(manifest)[0][0] == Region("Pneumonia", box=(264, 152, 477, 531), size=(1024, 1024))
    assert manifest.patients().tolist() == ["p1", "p2", "p3"]


def test_rsna_without_classes_knows_nothing_of_normal_images(tmp_path: Path) -> None:
    manifest = read_dataset("rsna", layouts.rsna(tmp_path, classes=False), None)
    assert labels_of(manifest, "chexpert14", "pneumonia", "no_finding") == [[1, None], [0, None], [0, None]]
    assert any("no finding is blank" in note for note in manifest.notes)


def test_rsna_refuses_targets_that_contradict(tmp_path: Path) -> None:
    path = layouts.rsna(tmp_path) / "stage_2_train_labels.csv"
    path.write_text(path.read_text() + "p1,,,,,0\n")
    with pytest.raises(ManifestError, match="image p1 has the target '0' in row 5"):
        read_dataset("rsna", tmp_path, None)


# SIIM-ACR


@pytest.mark.parametrize(("space", "table"), [(" ", "train-rle.csv"), ("", "stage_2_train.csv")])
def test_siim_reads_masks_of_several_rows(tmp_path: Path, space: str, table: str) -> None:
    root = layouts.siim(tmp_path, space=space, table=table)
    manifest = read_dataset("siim", root, "train")
    place = "siim/dicom-images-train"
    assert files(manifest, root) == [f"{place}/{s}/{s}.1/{s}.1.1.dcm" for s in ("1.2.3", "1.2.4")]
    assert cells(manifest, "study") == ["1.2.3", "1.2.4"]
    assert labels_of(manifest, "chexpert14", "pneumothorax") == [[1], [0]]
    (first, second), none = regions(manifest)
    # Offset 1024 = the top of the second column; then 1019 further on, the third column's top.
    truth = np.zeros((1024, 1024), dtype=bool)
    truth[:5, 1] = truth[:3, 2] = True
    np.testing.assert_array_equal(first.mask(1024, 1024), truth)
    assert second.mask(1024, 1024).sum() == 2
    assert none == ()


def test_siim_does_not_take_pictures_of_masks_for_images(tmp_path: Path) -> None:
    root = layouts.siim(tmp_path)
    (dicom,) = root.rglob("1.2.3.1.1.dcm")
    dicom.unlink()
    for folder in ("a_masks", "png_images"):
        layouts.picture(root / folder / "1.2.3.1.1.png")
    assert files(read_dataset("siim", root, None), root)[0] == "png_images/1.2.3.1.1.png"


def test_siim_names_the_row_of_a_broken_mask(tmp_path: Path) -> None:
    path = layouts.siim(tmp_path) / "train-rle.csv"
    path.write_text(path.read_text() + "1.2.4.1.1,5 9999999\n")
    with pytest.raises(ManifestError, match=r"row 4, column 'EncodedPixels': the runs lead out"):
        read_dataset("siim", tmp_path, None)


# MS-CXR


@pytest.mark.parametrize("beside", [True, False])
def test_ms_cxr_keeps_the_phrase_of_each_box(tmp_path: Path, beside: bool) -> None:
    root = layouts.ms_cxr(tmp_path / "ms-cxr", beside=beside)
    manifest = read_dataset("ms-cxr", root, "test")
    assert len(manifest) == 1
    assert Path(manifest.paths[0]).is_file()
    (found,) = regions(manifest)
    assert [region.text for region in found] == ["Opacities, bibasilar"] * 2 + ["Small effusion"]
    assert found[0].box == (196, 1136, 728, 1451)
    assert found[0].size == (2021, 1767)
    assert (cells(manifest, "patient"), cells(manifest, "study")) == (["10000032"], ["50414267"])
    assert labels_of(manifest, "chexpert14", "pneumonia", "pleural_effusion", "edema") == [[1, 1, None]]


def test_ms_cxr_splits(tmp_path: Path) -> None:
    new, old = layouts.ms_cxr(tmp_path / "new"), layouts.ms_cxr(tmp_path / "old", version="1.0.0")
    assert cells(read_dataset("ms-cxr", new, None), "split") == ["test", "valid"]
    assert cells(read_dataset("ms-cxr", new, "valid"), "instance") == ["cc-dd"]
    assert cells(read_dataset("ms-cxr", old, None), "split") == ["test", "test"]
    with pytest.raises(ManifestError, match="no split 'train'"):
        read_dataset("ms-cxr", old, "train")


@pytest.mark.parametrize(
    "place", ["mimic-cxr-jpg/2.1.0/files", "ms-cxr/mimic-cxr/files", "ms-cxr/1.1.0/files"]
)
def test_ms_cxr_finds_the_images_as_physionet_lays_them_out(tmp_path: Path, place: str) -> None:
    root = layouts.ms_cxr(tmp_path / "ms-cxr" / "1.1.0")
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (root / "files").rename(tmp_path / place)
    for given in (root, root.parent):
        manifest = read_dataset("ms-cxr", given, "test")
        assert Path(manifest.paths[0]).is_file()


def test_ms_cxr_takes_the_dicom_of_an_image(tmp_path: Path) -> None:
    root = layouts.ms_cxr(tmp_path)
    (jpeg,) = root.rglob("*.jpg")
    jpeg.unlink()
    layouts.picture(jpeg.with_suffix(".dcm"))
    assert files(read_dataset("ms-cxr", root, "test"), root) == ["files/p10/p10000032/s50414267/aa-bb.dcm"]


# CheXlocalize

# Of 8 x 6 pixels: 9 zeros, 4 ones down the second column, the rest zeros, in COCO's compressed form.
MASK = {"size": [8, 6], "counts": "94S1"}
EMPTY = {"size": [8, 6], "counts": "`1"}


def test_chexlocalize_reads_compressed_masks_and_labels(tmp_path: Path) -> None:
    root = layouts.chexlocalize(tmp_path, {"Airspace Opacity": MASK, "Edema": EMPTY})
    manifest = read_dataset("chexlocalize", root, "test")
    assert cells(manifest, "instance") == [
        "patient64741_study1_view1_frontal",
        "patient64741_study1_view2_lateral",
        "patient64742_study1_view1_frontal",
    ]
    assert files(manifest, root)[0] == "CheXpert/test/patient64741/study1/view1_frontal.jpg"
    assert cells(manifest, "view") == ["FRONTAL", "LATERAL", "FRONTAL"]
    assert cells(manifest, "patient") == ["patient64741", "patient64741", "patient64742"]
    wanted = ("lung_opacity", "edema", "support_devices")
    assert labels_of(manifest, "chexpert14", *wanted) == [[1, 0, 1], [1, 0, 1], [0, 0, 0]]
    (region,), *rest = regions(manifest)
    assert rest == [(), ()]
    assert region.finding == "Lung Opacity"
    truth = np.zeros((8, 6), dtype=bool)
    truth[1:5, 1] = True
    np.testing.assert_array_equal(region.mask(8, 6), truth)


def test_chexlocalize_fills_polygons_where_there_are_no_masks(tmp_path: Path) -> None:
    root = layouts.chexlocalize(tmp_path)
    manifest = read_dataset("chexlocalize", root / "CheXlocalize", "valid")
    assert Path(manifest.paths[0]).is_file()
    ((region,),) = regions(manifest)
    # x runs to the right: the sizes are height, width, the corners x, y.
    truth = np.zeros((8, 6), dtype=bool)
    truth[1:5, 1:4] = True
    np.testing.assert_array_equal(region.mask(8, 6), truth)


def test_chexlocalize_without_tables_has_no_labels(tmp_path: Path) -> None:
    root = layouts.chexlocalize(tmp_path, {"Edema": MASK}, labels=False)
    manifest = read_dataset("chexlocalize", root, None)
    assert cells(manifest, "split") == ["valid", "test"]
    assert np.isnan(manifest.labels(builtin("chexpert14"))).all()
    assert any("val_labels.csv is not there" in note for note in manifest.notes)


def test_chexlocalize_names_the_image_of_a_broken_mask(tmp_path: Path) -> None:
    root = layouts.chexlocalize(tmp_path, {"Edema": {"size": [8, 6], "counts": "94"}})
    with pytest.raises(ManifestError, match=r"patient64741_study1_view1_frontal: a mask makes no sense"):
        read_dataset("chexlocalize", root, "test")
    (root / "CheXlocalize" / "gt_segmentations_test.json").unlink()
    with pytest.raises(ManifestError, match="the test split of CheXlocalize is not there"):
        read_dataset("chexlocalize", root, "test")


# ChestX-Det10


def test_chestx_det10_labels_follow_from_boxes(tmp_path: Path) -> None:
    root = layouts.chestx_det10(
        tmp_path,
        [
            {"file_name": "36200.png", "syms": ["Mass", "Mass"], "boxes": [[9, 0, 0, 8], [512, 0, 1024, 9]]},
            {"file_name": "00000042_006.png", "syms": ["Fracture"], "boxes": [[5, 5, 5, 9]]},
        ],
    )
    manifest = read_dataset("chestx-det10", root, "test")
    assert files(manifest, root) == ["test_data/test_data/36200.png", "test_data/00000042_006.png"]
    assert cells(manifest, "patient") == ["", "00000042"]
    assert labels_of(manifest, "chestxdet10", "mass", "fracture", "nodule") == [[1, 0, 0], [0, 1, 0]]
    first, second = regions(manifest)
    assert [region.box for region in first] == [(0, 0, 9, 8), (512, 0, 1024, 9)]
    assert first[1].mask(512, 512)[:4, 256:].all()
    assert second == ()
    assert "1 boxes without an area are left out" in manifest.notes
    assert cells(read_dataset("chestx-det10", root, None), "split") == ["train", "test", "test"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file_name": "1.png", "syms": ["Mass"], "boxes": []}, "image 1: makes no sense"),
        ({"file_name": "1.png", "syms": ["Cold"], "boxes": [[1, 2, 3, 4]]}, "'Cold' is none of the 10"),
        ({"syms": [], "boxes": []}, "file_name"),
        ("1.png", "not an object"),
    ],
)
def test_chestx_det10_names_a_broken_entry(tmp_path: Path, entry: object, message: str) -> None:
    (tmp_path / "test.json").write_text(json.dumps([entry]))
    with pytest.raises(ManifestError, match=message):
        read_dataset("chestx-det10", tmp_path, "test")


# COVID-QU-Ex


def test_covid_qu_ex_is_covid_against_other_pneumonia(tmp_path: Path) -> None:
    root = layouts.covid_qu_ex(tmp_path)
    manifest = read_dataset("covid-qu-ex", root, "test")
    assert [Path(path).name for path in manifest.paths] == [
        "covid_1.png",
        "sub-S10880_ses-E18932_run-1.png",
        "non_COVID (1).png",
        "Normal (1).png",
    ]
    assert labels_of(manifest, "covid", "covid_19") == [[1], [1], [0], [None]]
    assert labels_of(manifest, "chexpert14", "pneumonia", "no_finding") == [[1, 0], [1, 0], [1, 0], [0, 1]]
    assert cells(manifest, "patient") == ["", "sub-S10880", "", ""]
    assert cells(read_dataset("covid-qu-ex", root, None), "split") == ["valid"] + ["test"] * 4


def test_covid_qu_ex_takes_masks_from_the_part_that_has_them(tmp_path: Path) -> None:
    found, *rest = regions(read_dataset("covid-qu-ex", layouts.covid_qu_ex(tmp_path), "test"))
    truth = np.zeros((80, 80), dtype=bool)
    truth[10:20, 30:50] = True
    np.testing.assert_array_equal(found[0].mask(80, 80), truth)
    assert rest == [(), (), ()]


def test_covid_qu_ex_does_not_take_the_mask_of_another_image_of_that_name(tmp_path: Path) -> None:
    root = layouts.covid_qu_ex(tmp_path, nested=False)
    other = root / "Infection Segmentation Data" / "Train" / "COVID-19" / "images" / "covid_1.png"
    layouts.picture(other, np.zeros((5, 5), dtype=bool))
    assert regions(read_dataset("covid-qu-ex", root, "test"))[0] == ()


@pytest.mark.parametrize("nested", [True, False])
def test_covid_qu_ex_infection_part_alone(tmp_path: Path, nested: bool) -> None:
    root = layouts.covid_qu_ex(tmp_path, parts=["Infection"], nested=nested)
    inside = root / "Infection Segmentation Data"
    for place in (root, inside / inside.name if nested else inside):
        manifest = read_dataset("covid-qu-ex", place, "train")
        assert [Path(path).name for path in manifest.paths] == ["covid_1.png"]
        assert len(regions(manifest)[0]) == 1


MAKERS: dict[str, Callable[[Path], Path]] = {
    "nih14": layouts.nih14,
    "nih14-expert": layouts.nih14_expert,
    "nih4-expert": layouts.nih4_expert,
    "vindr": layouts.vindr,
    "rsna": layouts.rsna,
    "siim": layouts.siim,
    "ms-cxr": layouts.ms_cxr,
    "chexlocalize": layouts.chexlocalize,
    "chestx-det10": lambda root: layouts.chestx_det10(root, []),
    "covid-qu-ex": layouts.covid_qu_ex,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_fills_what_the_others_count_on(tmp_path: Path, name: str) -> None:
    manifest = read_dataset(name, MAKERS[name](tmp_path), None)
    info = DATASETS[name]
    assert set(cells(manifest, "split")) <= set(info.splits)
    assert all(Path(path).is_absolute() for path in manifest.paths)
    assert manifest.label_columns(builtin(info.findings))
    assert len(regions(manifest)) == len(manifest)
    assert set(cells(manifest, "source")) == {name}
    assert all(isinstance(cell, str) for cell in manifest.frame.to_numpy().ravel())
    known = {finding.id for finding in builtin(info.findings).findings}
    for found in regions(manifest):
        for region in found:
            finding = builtin(info.findings).match(region.finding)
            assert finding is not None
            assert finding.id in known


@pytest.mark.parametrize("name", ["nih14", "nih14-expert", "nih4-expert", "vindr", "rsna", "siim", "ms-cxr"])
def test_tables_may_be_gzipped(tmp_path: Path, name: str) -> None:
    root = MAKERS[name](tmp_path)
    plain = read_dataset(name, root, None)
    for path in root.rglob("*.csv"):
        layouts.put(path.with_name(path.name + ".gz"), path.read_text())
        path.unlink()
    assert read_dataset(name, root, None).frame.equals(plain.frame)


@pytest.mark.parametrize("name", NAMES)
def test_broken_tables_are_errors_of_the_manifest(tmp_path: Path, name: str) -> None:
    root = MAKERS[name](tmp_path)
    tables = [path for path in root.rglob("*") if path.suffix in (".csv", ".json", ".txt")]
    rng = np.random.default_rng(0)
    for path in tables:
        whole = path.read_bytes()
        for _ in range(20):
            broken = bytearray(whole[: rng.integers(len(whole) + 1)])
            for place in rng.integers(0, max(len(broken), 1), 2)[: len(broken)]:
                broken[place] = rng.integers(256)
            path.write_bytes(bytes(broken))
            with suppress(ManifestError):
                regions(read_dataset(name, root, None))
        path.write_bytes(whole)
    assert tables or name == "covid-qu-ex"
