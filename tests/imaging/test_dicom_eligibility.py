"""Which DICOM files are scored and which are refused, with which reason."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_maker import SECRETS, codes_of, dataset_of, save, write
from pydicom.dataset import Dataset

from tier_cli.errors import InputError
from tier_cli.imaging.radiograph import Radiograph, ReadOptions
from tier_cli.imaging.read import read_radiograph

REAL_FILES = {
    "CT_small.dcm": "modality",
    "MR_small_bigendian.dcm": "modality",
    "NM1_J2KI.dcm": "modality",
    "RG1_J2KI.dcm": "",
    "RG2_J2KI.dcm": "body_part",
    "RG2_JLSL": "body_part",
    "RG2_JPLL.dcm": "body_part",
    "RG2_RLE.dcm": "body_part",
    "RG3_J2KR": "body_part",
    "RG3_JPLY.dcm": "body_part",
    "SC_rgb_16bit_2frame.dcm": "modality",
    "US1_J2KI.dcm": "modality",
    "cxr_jpeg_mono1.dcm": "",
    "cxr_jpeg_mono2.dcm": "",
    "nih_test1.dcm": "",
    "nih_test2.dcm": "",
    "nih_test3.dcm": "",
    # Named RIBCAGE: the same bones, exposed for the bones. A person may insist, the file does not.
    "nih_test4.dcm": "body_part",
    "nih_test5.dcm": "modality",
    "nih_test6.dcm": "",
}


def refusal(path: str, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read_radiograph(path, ReadOptions(**options))
    error = caught.value
    assert error.remedy
    assert error.where == path
    return error


def test_every_real_file(shared: Path) -> None:
    folder = shared / "data" / "dicom"
    assert sorted(path.name for path in folder.iterdir()) == sorted(REAL_FILES)
    for name, kind in REAL_FILES.items():
        if kind:
            assert refusal(str(folder / name)).kind == kind, name
        else:
            assert isinstance(read_radiograph(str(folder / name)), Radiograph)
        # What is refused for what it is can be insisted on.
        assert read_radiograph(str(folder / name), ReadOptions(accept_any=True)).pixels.max() > 0.5


def test_the_same_pixels_with_the_other_polarity_are_inverted(shared: Path) -> None:
    first, second = (
        read_radiograph(str(shared / "data" / "dicom" / f"cxr_jpeg_mono{number}.dcm")).pixels
        for number in (1, 2)
    )
    np.testing.assert_allclose(first, 1 - second, atol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({}, ""),
        ({"Modality": "CR"}, ""),
        ({"Modality": "RG"}, ""),
        ({"Modality": "OT"}, ""),
        ({"Modality": "OT", "BodyPartExamined": None}, "modality"),
        ({"Modality": "SC", "BodyPartExamined": ""}, "modality"),
        ({"Modality": "SC", "BodyPartExamined": "THORAX"}, ""),
        ({"Modality": "MG"}, "modality"),
        ({"Modality": None}, "modality"),
        ({"BodyPartExamined": None}, ""),
        ({"BodyPartExamined": "lung"}, ""),
        ({"BodyPartExamined": "CHEST PA"}, ""),
        ({"BodyPartExamined": "ABDOMEN"}, "body_part"),
        ({"BodyPartExamined": "CHESTABDOMEN"}, "body_part"),
        *(
            ({"BodyPartExamined": words}, "")
            for words in (
                *("NON GRID CHEST", "PORTABLE CHEST", "CHEST ERECT", "CHEST SUPINE", "CHEST 2 VIEWS"),
                *("CHEST PA", "CHEST_PA", "CHESTPA", "CXR", "INFANT CHEST", "TORAX", "Torace", "RX THORAX"),
                *("poumons", "Pulmones", "Lunge"),
            )
        ),
        *(
            ({"BodyPartExamined": words}, "body_part")
            for words in (
                *("THORACIC SPINE", "CHEST/ABDOMEN", "RIBS CHEST", "TEETH", "HWS", "rodilla"),
                *("PORTABLE", "THORAX BECKEN", "NECKCHEST", "HAND"),
            )
        ),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, "presentation_intent"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.3"}, "body_part"),
        ({"PatientSpeciesDescription": "Canine"}, "body_part"),
        ({"PatientSpeciesDescription": "Homo sapiens"}, ""),
        ({"PatientSpeciesDescription": "HUMAN"}, ""),
        ({"PatientSpeciesDescription": ""}, ""),
        ({"PresentationIntentType": "FOR PRESENTATION"}, ""),
        ({"PresentationIntentType": "FOR PROCESSING"}, "presentation_intent"),
        ({"NumberOfFrames": 1}, ""),
        ({"ViewPosition": "LL"}, "view"),
        ({"ViewPosition": "LATERAL"}, "view"),
        ({"ViewPosition": "RAO"}, "view"),
        ({"ViewPosition": "AP"}, ""),
        ({"ViewPosition": "AP LLD"}, "view"),
        ({"ViewPosition": "SUPINE"}, ""),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric"),
        ({"BitsStored": 0}, "photometric"),
        ({"Rows": 65535, "Columns": 65535}, "too_large"),
        ({"Rows": 128}, "damaged"),
        ({"PixelData": None}, "not_an_image"),
    ],
)
def test_attributes(tmp_path: Path, attributes: dict[str, Any], kind: str) -> None:
    path = write(tmp_path / "chest", **attributes)
    if kind:
        assert refusal(path).kind == kind
    else:
        read_radiograph(path)


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        *(("TÓRAX", "latin-1"), ("TÓRAX", "utf-8"), ("Röntgen-Thorax", "utf-8"), ("ОГК", "utf-8")),
        *(("ГРУДНАЯ", "utf-8"), ("胸部", "utf-8")),
    ],
)
def test_the_chest_in_other_scripts(tmp_path: Path, words: str, encoding: str) -> None:
    # A code string should be ASCII, and pydicom reads it as Latin-1; files hold what their writers speak.
    content = Path(write(tmp_path / "x", BodyPartExamined="X" * 16)).read_bytes()
    (tmp_path / "x").write_bytes(content.replace(b"X" * 16, words.encode(encoding).ljust(16)))
    assert read_radiograph(str(tmp_path / "x")).notes == ()


def test_body_part_by_code(tmp_path: Path) -> None:
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "T-D3000", "SRT", "Chest"
    path = write(tmp_path / "code", Modality="OT", BodyPartExamined=None, AnatomicRegionSequence=[region])
    read_radiograph(path)
    path = write(tmp_path / "contradicted", BodyPartExamined="ABDOMEN", AnatomicRegionSequence=[region])
    assert refusal(path).what == "the body part is ABDOMEN"
    region.CodeValue, region.CodeMeaning = "T-D2800", "Hip joint"
    path = write(tmp_path / "hip", BodyPartExamined=None, AnatomicRegionSequence=[region])
    error = refusal(path)
    assert (error.kind, error.what) == ("body_part", "the body part is HIP JOINT")


@pytest.mark.parametrize(
    ("code", "meaning", "view"),
    [
        ("R-10214", "", "PA"),
        ("399348003", "antero-posterior", "AP"),
        ("local", "postero-anterior", "PA"),
        ("R-10236", "left lateral", "LATERAL"),
        ("local", "left anterior oblique", "OBLIQUE"),
        ("local", "of the chest", ""),
    ],
)
def test_view_by_code_where_there_is_no_position(tmp_path: Path, code: str, meaning: str, view: str) -> None:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = code, meaning
    path = write(tmp_path / "view", ViewPosition="", ViewCodeSequence=[item])
    found = read_radiograph(path, ReadOptions(views="all"))
    assert found.view == view
    assert ("view unknown, assumed frontal" in found.notes) == (view == "")


@pytest.mark.parametrize("modality", ["CR", "DX", "RG"])
def test_a_body_part_that_is_not_given_is_noted(tmp_path: Path, modality: str) -> None:
    found = read_radiograph(write(tmp_path / "x", Modality=modality, BodyPartExamined=None))
    assert found.notes == ("body part not given, assumed chest",)
    path = write(tmp_path / "y", Modality=modality, BodyPartExamined="", SeriesDescription="CHEST ERECT")
    assert read_radiograph(path).notes == ("body part not given: SeriesDescription names the chest",)


@pytest.mark.parametrize("words", ["TEETH", "KNEE", "Abdomen liegend", "GENOU", "Hüfte", "rodilla", "膝関節"])
@pytest.mark.parametrize("keyword", ["SeriesDescription", "StudyDescription", "ProtocolName"])
def test_descriptions_of_another_part(tmp_path: Path, keyword: str, words: str) -> None:
    language: dict[str, Any] = {"SpecificCharacterSet": "ISO_IR 192", keyword: words}
    error = refusal(write(tmp_path / "x", BodyPartExamined=None, **language))
    assert (error.kind, error.what) == (
        "body_part",
        f"the body part is not given, and {keyword} names another part",
    )
    # Where the body part is given, it decides.
    assert read_radiograph(write(tmp_path / "y", **language)).notes == (
        f"the body part is the chest, but {keyword} names another part",
    )


def test_a_species_by_code(tmp_path: Path) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = "448771007", "SCT"
    path = write(tmp_path / "dog", PatientSpeciesCodeSequence=[item])
    assert refusal(path).what == "the patient is not human according to PatientSpeciesDescription"
    assert read_radiograph(path, ReadOptions(accept_any=True)).notes[0].startswith("accepted although")
    item.CodeValue = "337915000"
    read_radiograph(write(tmp_path / "human", PatientSpeciesCodeSequence=[item]))


@pytest.mark.parametrize(
    "keyword", ["Modality", "BodyPartExamined", "PhotometricInterpretation", "ViewPosition"]
)
def test_free_text_in_the_place_of_a_defined_term_is_not_quoted(tmp_path: Path, keyword: str) -> None:
    tags: dict[str, Any] = {keyword: "DOE JANE 4711"}
    error = refusal(write(tmp_path / "x", **tags))
    assert "defined term" in error.what or keyword == "PhotometricInterpretation"
    assert not {"DOE", "JANE", "4711"} & set(error.what.upper().split())


def test_several_frames(tmp_path: Path) -> None:
    frames = np.concatenate([codes_of(12, signed=False), codes_of(12, signed=False)[::-1]])
    path = write(tmp_path / "cine", pixels=frames, Rows=64, NumberOfFrames=2)
    assert refusal(path).kind == "frames"
    first = read_radiograph(path, ReadOptions(accept_any=True))
    assert any("first is scored" in note for note in first.notes)
    np.testing.assert_array_equal(first.pixels, read_radiograph(write(tmp_path / "one")).pixels)


def test_small_and_blank_images(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "small", pixels=codes_of(12, signed=False, side=63))).kind == "too_small"
    flat = np.full((64, 64), 7, np.uint16)
    assert refusal(write(tmp_path / "flat", pixels=flat)).kind == "blank"
    flat[:2, :10] = 4000
    assert refusal(write(tmp_path / "caption", pixels=flat)).kind == "blank"
    assert refusal(write(tmp_path / "window", WindowCenter=60000, WindowWidth=10)).kind == "blank"


def test_overridden_refusals_are_noted(tmp_path: Path) -> None:
    path = write(
        tmp_path / "any", Modality="MG", BodyPartExamined="BREAST", PresentationIntentType="FOR PROCESSING"
    )
    notes = read_radiograph(path, ReadOptions(accept_any=True)).notes
    assert sum(note.startswith("accepted although") for note in notes) == 3


def test_keys_and_patient_data(tmp_path: Path) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12)
    path = save(dataset, tmp_path / "chest")
    found = read_radiograph(path)
    assert found.study == dataset.StudyInstanceUID
    assert found.series == dataset.SeriesInstanceUID
    assert found.instance == dataset.SOPInstanceUID
    assert (found.view, found.modality, found.path, found.notes, found.phi) == ("PA", "DX", path, (), {})
    assert set(SECRETS.values()) <= set(read_radiograph(path, ReadOptions(include_phi=True)).phi.values())


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_name_in_place_of_a_uid_is_omitted(tmp_path: Path) -> None:
    dataset = dataset_of(codes_of(12, signed=False), 12)
    dataset.StudyInstanceUID = "DOE^JANE"
    found = read_radiograph(save(dataset, tmp_path / "chest"))
    assert found.study == ""
    assert found.notes == ("StudyInstanceUID is not a valid UID and was omitted",)


def test_no_patient_data_in_messages_and_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    odd: list[dict[str, Any]] = [
        {"Modality": "MG"},
        {"Rows": 128},
        {"WindowWidth": 0, "WindowCenter": 0},
        {"BodyPartExamined": "Doe^Jane"},
    ]
    paths = [write(tmp_path / str(index), **attributes) for index, attributes in enumerate(odd)]
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    for path in paths:
        try:
            told += read_radiograph(path).notes
        except InputError as error:
            told.append(str(error))
    captured = capfd.readouterr()
    everything = "\n".join([*told, caplog.text, captured.out, captured.err])
    assert len(told) >= 4
    assert not [secret for secret in SECRETS.values() if secret.lower() in everything.lower()]
