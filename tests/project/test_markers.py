"""Nothing of a DICOM header comes out of a command, whether it scores or refuses the file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID
from tiny import tiny_checkpoint
from xrays import write_dicom

from tier_cli.app import main

Tier = Callable[..., tuple[int, str, str]]
# A text, a date and a number that nothing else contains.
WORD, DAY, NUMBER = "ZQXMARK", "19470815", 47110815
MARKS = (WORD, DAY, "1947-08-15", str(NUMBER), "47,110,815", f"1.2.{NUMBER}")
# What an image needs to be scored. Each is also marked alone, which most often makes a refusal.
NEEDED = (
    *("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality", "Rows"),
    *("BodyPartExamined", "ViewPosition", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames", "PresentationIntentType"),
    *("AnatomicRegionSequence", "ViewCodeSequence", "PatientOrientation", "PatientSpeciesDescription"),
    *("PatientSpeciesCodeSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "PresentationLUTShape", "PixelAspectRatio"),
    *("PixelSpacing", "ImagerPixelSpacing", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleType"),
    *("PlanarConfiguration", "SmallestImagePixelValue", "LargestImagePixelValue", "PixelData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "FloatPixelData", "DoubleFloatPixelData"),
    *("SpecificCharacterSet", "PixelIntensityRelationship", "PixelIntensityRelationshipSign"),
    *("NominalScannedPixelSpacing", "PatientOrientation", "PresentationLUTSequence", "Columns"),
    *("BitsMappedToColorLookupTable", "FieldOfViewRotation", "FieldOfViewHorizontalFlip"),
)  # fmt: skip
MARKED = (
    *("SOPClassUID", "StudyInstanceUID", "Modality", "BodyPartExamined", "ViewPosition", "NumberOfFrames"),
    *("PhotometricInterpretation", "Rows", "BitsStored", "SamplesPerPixel", "AnatomicRegionSequence"),
    *("PresentationIntentType", "PatientSpeciesDescription", "VOILUTFunction", "WindowCenter", "WindowWidth"),
    *("PixelSpacing", "PresentationLUTShape", "RescaleSlope", "PatientOrientation", "ViewCodeSequence"),
)
_TEXT = {"DA": DAY, "DT": f"{DAY}120000", "TM": "194708", "AS": "047Y", "DS": str(NUMBER), "IS": str(NUMBER)}
_BINARY = {"UL": NUMBER, "SL": NUMBER, "UV": NUMBER, "SV": NUMBER, "FL": float(NUMBER), "FD": float(NUMBER)}


def _marked(vr: str, item: Dataset | None = None) -> Any:
    """Return a marker for a value representation; None where none fits."""
    if vr == "SQ":
        return [item] if item is not None else None
    if vr in ("OB", "OW", "UN", "OD", "OF", "OL", "OV"):
        return (WORD + "_").encode() * 2
    if vr == "UI":
        return f"1.2.{NUMBER}"
    if vr in ("PN", "LO", "SH", "CS", "LT", "ST", "UT", "UC", "UR", "AE"):
        return WORD
    return _TEXT.get(vr) or _BINARY.get(vr)


def _item() -> Dataset:
    item = Dataset()
    item.PatientName, item.CodeMeaning, item.CodeValue, item.PatientBirthDate = WORD, WORD, WORD, DAY
    item.LUTExplanation, item.CodingSchemeDesignator = WORD, WORD
    return item


def write_marked(path: Path, marked: str = "") -> Path:
    """Write a radiograph in which every element of the standard holds a marker, and `marked` too."""
    from pydicom import dcmread

    write_dicom(path)
    dataset = dcmread(path)
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "PatientBirthDate", "StudyDate"):
        delattr(dataset, keyword)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (vr, _, _, _, keyword) in DicomDictionary.items():
            tag = Tag(number)
            if tag.group < 8 or tag.group >= 0x5000 or tag.element == 0 or not keyword:
                continue
            if (keyword in NEEDED and keyword != marked) or (value := _marked(vr, _item())) is None:
                continue
            dataset[tag] = DataElement(tag, vr, value)
        if marked in ("Rows", "BitsStored", "SamplesPerPixel"):
            # A writer that takes numbers for texts: as IS, the marker fits.
            dataset[Tag(marked)] = DataElement(Tag(marked), "IS", str(NUMBER))
        if marked == "AnatomicRegionSequence":
            # It counts where no body part is given.
            del dataset.BodyPartExamined
        if marked == "StudyInstanceUID":
            # UIDs are in results, and a date is none.
            dataset.StudyInstanceUID = DAY
        block = dataset.private_block(0x0009, WORD, create=True)
        block.add_new(0x01, "LO", WORD)
        dataset.file_meta.SourceApplicationEntityTitle = WORD
        dataset.file_meta.ImplementationVersionName = WORD
        dataset.file_meta.PrivateInformationCreatorUID = UID(f"1.2.{NUMBER}")
        dataset.file_meta.PrivateInformation = WORD.encode() + b"_"
        dataset.preamble = (WORD.encode() * 20)[:128]
        dataset.save_as(path, enforce_file_format=True)
    assert WORD.encode() in path.read_bytes()
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two marked files that can be scored, and a manifest of them."""
    folder = tmp_path_factory.mktemp("in")
    for number in range(2):
        write_marked(folder / f"{number}.dcm")
    (folder / "rows.csv").write_text("path,patient,Effusion\n0.dcm,p0,0\n1.dcm,p1,1\n")
    return folder


@pytest.fixture
def some_refused(tmp_path: Path) -> Path:
    """A sample of `refused`: to write all takes some 20 seconds."""
    return _refused(tmp_path, list(MARKED)[::6])


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """A folder of files that are refused or noted, each for another marked element."""
    return _refused(tmp_path, list(MARKED))


def _refused(tmp_path: Path, keywords: list[str]) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for keyword in keywords:
        write_marked(folder / f"{keyword}.dcm", keyword)
    whole = write_marked(folder / "cut_in_header.dcm").read_bytes()
    (folder / "cut_in_header.dcm").write_bytes(whole[: whole.index(b"ZQXMARK", 5000) + 3])
    (folder / "cut_in_pixels.dcm").write_bytes(whole[:-500])
    (folder / "no_pixels.dcm").write_bytes(whole[: -80 * 80 - 12])
    return folder


@pytest.fixture
def tier(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tier:
    """Run a command whose cache and temporary folder lie beside its output."""
    for name, folder in (("TIER_CACHE_DIR", "cache"), ("TMPDIR", "temporary"), ("HOME", "home")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    (tmp_path / "out").mkdir()

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return run


def _leaks(text: str) -> list[str]:
    return [mark for mark in MARKS if mark.lower() in text.lower()]


def _left(folder: Path) -> dict[str, str]:
    """Return what every file of a run holds, as text."""
    return {
        str(file): _text_of(file) for file in folder.rglob("*") if file.is_file() and "in" not in file.parts
    }


def _text_of(file: Path) -> str:
    if file.suffix == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(file)
        return f"{table.to_pylist()} {table.schema.metadata}"
    if file.suffix == ".npz":
        with np.load(file) as arrays:
            return " ".join(str(arrays[name].tolist()) for name in arrays if arrays[name].dtype.kind == "U")
    return file.read_bytes().decode("latin-1")


CLASSIFY = ("classify", "{in}", "--model", "{model}", "--workers", "0")
EMBED = ("embed", "{in}", "--model", "{model}", "--workers", "0")
RUNS = {
    "jsonl": (*CLASSIFY, "--verbose"),
    "table": (*CLASSIFY, "--table"),
    "study": (*CLASSIFY, "--by", "study", "--output", "{out}/x.json"),
    "csv": (*CLASSIFY, "--output", "{out}/x.csv", "--accept-any"),
    "parquet": (*CLASSIFY, "--output", "{out}/x.parquet", "--hash-ids", "--views", "strict"),
    "dry": (*CLASSIFY, "--dry-run"),
    "npz": (*EMBED, "--output", "{out}/x.npz"),
    "parquet embeddings": (*EMBED, "--output", "{out}/x.parquet", "--accept-any"),
}


@pytest.mark.parametrize(
    ("files", "run"),
    [
        *(("scored", run) for run in RUNS),
        ("some_refused", "jsonl"),
        *(pytest.param("refused", run, marks=pytest.mark.slow) for run in RUNS),
    ],
)
def test_no_marker_leaves_a_run_over_files(
    tier: Tier, model: Path, tmp_path: Path, request: pytest.FixtureRequest, run: str, files: str
) -> None:
    given = {"in": request.getfixturevalue(files), "model": model, "out": tmp_path / "out"}
    code, out, err = tier(*(part.format(**given) for part in RUNS[run]))
    assert code in (0, 3), err
    assert _leaks(out + err) == []
    assert {file: leaks for file, text in _left(tmp_path).items() if (leaks := _leaks(text))} == {}
    if run == "jsonl":
        # Otherwise the test would show nothing.
        assert '"score"' in out


@pytest.mark.parametrize(
    "command",
    [
        "eval --data {in}/rows.csv --model {model} --replicates 10 --workers 0 --output {out}/m.json"
        " --report {out}/r.html",
        "inspect {in}/rows.csv",
        "search --index {in}/../index.npz --image {in}/0.dcm --model {model}",
    ],
    ids=["eval", "data inspect", "search"],
)
def test_no_marker_leaves_a_run_over_data(
    tier: Tier, model: Path, scored: Path, tmp_path: Path, command: str
) -> None:
    if command.startswith("search"):
        assert tier("embed", scored, "--model", model, "--output", scored.parent / "index.npz")[0] == 0
    given = {"in": scored, "model": model, "out": tmp_path / "out"}
    words = command.format(**given).split()
    code, out, err = tier(*(["data", *words] if words[0] == "inspect" else words))
    assert code in (0, 3), err
    assert _leaks(out + err) == []
    assert {file: leaks for file, text in _left(tmp_path).items() if (leaks := _leaks(text))} == {}


def test_a_refusal_quotes_the_value_if_patient_data_are_asked_for(
    tier: Tier, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for keyword in ("Modality", "BodyPartExamined", "AnatomicRegionSequence", "NumberOfFrames"):
        write_marked(folder / f"{keyword}.dcm", keyword)
    code, _, err = tier(*CLASSIFY[:1], folder, "--model", model, "--workers", "0", "--include-phi",
                        "--output", tmp_path / "out" / "x.csv")  # fmt: skip
    text = (tmp_path / "out" / "x.csv").read_text()
    assert code == 3, err
    assert text.count(f"'{WORD}'") >= 3
    assert f"holds {NUMBER} frames" in text
    # Only whoever asked for patient data may read them.
    assert (tmp_path / "out" / "x.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("by", ["image", "study"])
def test_only_structured_reports_name_the_patient(
    tier: Tier, model: Path, scored: Path, tmp_path: Path, by: str
) -> None:
    out = tmp_path / "out"
    options = ("--by", by, "--output", out / "x.jsonl", "--journal", out / "x.journal", "--sr", out / "sr")
    code, stdout, err = tier("classify", scored, "--model", model, "--workers", "0", "--verbose", *options)
    assert code == 0, err
    assert _leaks(stdout + err) == []
    left = {Path(file): _leaks(text) for file, text in _left(tmp_path).items()}
    reports = {file for file in left if file.parent == out / "sr"}
    assert len(reports) == 1
    assert {file for file, leaks in left.items() if leaks} == reports
    # Whoever asked for them may read them, and nobody else.
    assert {file.stat().st_mode & 0o777 for file in reports} == {0o600}


def test_a_study_without_a_report_is_refused_without_its_header(
    tier: Tier, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for keyword in ("SOPClassUID", "StudyInstanceUID"):
        write_marked(folder / f"{keyword}.dcm", keyword)
    code, stdout, err = tier("classify", folder, "--model", model, "--workers", "0", "--sr", tmp_path / "sr")
    assert code == 3, err
    assert _leaks(stdout.replace(f"1.2.{NUMBER}", "") + err) == []
