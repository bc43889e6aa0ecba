"""Build miniature downloads of data sets with reports or reads from their headers, including their traps."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from xrays import write_png

_CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,"
    "Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,"
    "Fracture,Support Devices"
)
CHEXPERT_HEADER = _CHEXPERT.split(",")
STUDY_HEADER = ["Study", *CHEXPERT_HEADER[5:]]
# The radiologists' own files have these two the other way round.
READER_HEADER = [
    {"Lung Opacity": "Lung Lesion", "Lung Lesion": "Lung Opacity"}.get(name, name) for name in STUDY_HEADER
]
_MIMIC = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
MIMIC_LABELS = _MIMIC.split(",")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    """Write a CSV file, gzipped where its name says so."""
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([header, *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    data = stream.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_image(path: Path, seed: int = 0) -> Path:
    """Write a small picture, of the kind that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_png(path, seed)


def chexpert_row(path: str, person: str, marks: dict[str, str], rest: str) -> list[str]:
    """One line of a CheXpert table: `person` = sex,age,side,projection; `rest` = the other labels."""
    return [path, *person.split(","), *(marks.get(name, rest) for name in CHEXPERT_HEADER[5:])]


def chexpert(parent: Path, name: str = "CheXpert-v1.0-small", kind: str = ".csv") -> Path:
    """Train with blanks, -1, age 0, a lateral and a lateral decubitus; valid without blanks."""
    root = parent / name
    train = [
        (
            "patient00001/study1/view1_frontal.jpg",
            "Female,68,Frontal,AP",
            {"Edema": "1.0", "Fracture": "-1.0"},
        ),
        ("patient00001/study1/view2_lateral.jpg", "Female,68,Lateral,", {"Edema": "1.0"}),
        ("patient00002/study2/view1_frontal.jpg", "Unknown,0,Frontal,LL", {"Atelectasis": "0.0"}),
        ("patient00003/study1/view1_frontal.jpg", "Male,41,Frontal,PA", {"Cardiomegaly": "1.0"}),
    ]
    valid = [
        ("patient64541/study1/view1_frontal.jpg", "Male,73,Frontal,AP", {"Cardiomegaly": "1.0"}),
        ("patient64542/study1/view1_frontal.jpg", "Male,70,Frontal,PA", {"Edema": "1.0"}),
    ]
    for split, rows, rest in (("train", train, ""), ("valid", valid, "0.0")):
        lines = [chexpert_row(f"{name}/{split}/{path}", who, marks, rest) for path, who, marks in rows]
        write_table(root / f"{split}{kind}", CHEXPERT_HEADER, lines)
        for number, (path, *_) in enumerate(rows):
            write_image(root / split / path, number)
    return root


def chexlocalize(parent: Path) -> Path:
    """CheXlocalize's CheXpert folder: other table names, another prefix, the folder `val`; no sex, no age."""
    root = parent / "CheXpert"
    header = ["Path", *CHEXPERT_HEADER[5:]]
    rows = []
    for number, path in enumerate(TEST_IMAGES):
        marks = {"Lung Opacity": "1.0"} if "64741" in path else {"Lung Lesion": "1.0", "Edema": "1.0"}
        rows.append([f"test/{path}", *(marks.get(name, "0.0") for name in header[1:])])
        write_image(root / "test" / path, number)
    write_table(root / "test_labels.csv", header, rows)
    valid = "patient64541/study1/view1_frontal.jpg"
    line = chexpert_row(f"CheXpert-v1.0/valid/{valid}", "Male,73,Frontal,AP", {"Edema": "1.0"}, "0.0")
    write_table(root / "val_labels.csv", CHEXPERT_HEADER, [line])
    write_image(root / "val" / valid)
    return root


TEST_IMAGES = (
    "patient64741/study1/view1_frontal.jpg",
    "patient64741/study1/view2_lateral.jpg",
    "patient64742/study1/view1_frontal.jpg",
)


def chexpert_reads(root: Path, truth: bool = True) -> Path:
    """The repository of test labels: the majority, and three radiologists whose columns are swapped."""
    folder = root / "cheXpert-test-set-labels"
    marks = {"64741": {"Lung Opacity": "1"}, "64742": {"Lung Lesion": "1", "Edema": "1"}}

    def rows(header: Sequence[str], patients: Sequence[str]) -> list[list[str]]:
        return [
            [f"CheXpert-v1.0/test/patient{p}/study1", *(marks[p].get(name, "0") for name in header[1:])]
            for p in patients
        ]

    if truth:
        write_table(folder / "groundtruth.csv", STUDY_HEADER, rows(STUDY_HEADER, ["64741", "64742"]))
    for name in ("bc4", "bc6", "bc8"):
        table = folder / "radiologists" / "benchmark_radiologists" / f"{name}.csv"
        # One radiologist did not read one of the studies.
        write_table(
            table, READER_HEADER, rows(READER_HEADER, ["64741"] if name == "bc8" else ["64742", "64741"])
        )
    return folder


def chexpert_5x200(root: Path, name: str = "chexpert_8x200.csv") -> Path:
    """The list of single findings, drawn from train: an index without a name, blanks for absent findings."""
    header = ["", *CHEXPERT_HEADER, "Report Impression"]
    line = chexpert_row(
        "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg",
        "Female,68,Frontal,AP",
        {"Edema": "1.0"},
        "",
    )
    other = chexpert_row(
        "CheXpert-v1.0/train/patient00003/study1/view1_frontal.jpg",
        "Male,41,Frontal,PA",
        {"Cardiomegaly": "1.0"},
        "0.0",
    )
    return write_table(root / name, header, [["17", *line, "1. EDEMA."], ["4", *other, "BIG HEART, STABLE."]])


MIMIC_IMAGES = (
    # dicom, study, subject, split, ViewPosition, view code
    ("aa-1", "50000001", "10000032", "train", "PA", "postero-anterior"),
    ("aa-2", "50000001", "10000032", "train", "LATERAL", "lateral"),
    ("bb-1", "50000002", "11000033", "validate", "", "antero-posterior"),
    ("cc-1", "50000003", "12000034", "test", "AP", "antero-posterior"),
    ("cc-2", "50000004", "12000034", "test", "", ""),
)
REPORT = " FINAL REPORT\n FINDINGS: Heart {0}.\n \n IMPRESSION: Study {0} of ___.\n"


def mimic(root: Path, kind: str = ".csv.gz", labeled: bool = True, reports: str = "beside") -> Path:
    """MIMIC-CXR-JPG: `validate`, blank views, labels of studies, a test table with other names."""
    write_table(
        root / f"mimic-cxr-2.0.0-split{kind}",
        ["dicom_id", "study_id", "subject_id", "split"],
        [image[:4] for image in MIMIC_IMAGES],
    )
    write_table(
        root / f"mimic-cxr-2.0.0-metadata{kind}",
        ["dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "ViewCodeSequence_CodeMeaning"],
        [[i[0], i[2], i[1], i[4], "21820506", i[5]] for i in reversed(MIMIC_IMAGES)],
    )
    labels = {"50000001": {"Edema": "1.0", "Pneumonia": "-1.0"}, "50000003": {"Lung Opacity": "0.0"}}
    rows = [["10000032", study, *(labels[study].get(n, "") for n in MIMIC_LABELS)] for study in labels]
    write_table(root / f"mimic-cxr-2.0.0-chexpert{kind}", ["subject_id", "study_id", *MIMIC_LABELS], rows)
    if labeled:
        names = ["Airspace Opacity" if n == "Lung Opacity" else n for n in MIMIC_LABELS if n != "No Finding"]
        cells = ["1" if name == "Airspace Opacity" else "0" for name in names]
        write_table(
            root / "mimic-cxr-2.1.0-test-set-labeled.csv", ["study_id", *names], [["50000003", *cells]]
        )
    for number, (dicom, study, subject, *_) in enumerate(MIMIC_IMAGES):
        folder = root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        write_image(folder / f"{dicom}.jpg", number)
        name = {"beside": f"{folder}.txt", "inside": f"{folder}/s{study}.txt"}.get(reports)
        if name and study != "50000004":
            Path(name).write_text(REPORT.format(study), encoding="utf-8")
    return root


_PADCHEST = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,"
    "ViewPosition_DICOM,Projection,Rows_DICOM,ReportID,Report,MethodLabel,Labels,labelCUIS"
)
PADCHEST_HEADER = _PADCHEST.split(",")
PADCHEST_ROWS = (
    # image, folder, study date, study, patient, birth, sex, view, projection, method, labels
    ("1_a.png,0,20140915,st1,pt1,1930.0,F,POSTEROANTERIOR,PA,Physician", "['pseudonodule', ' normal ']"),
    ("1_b.png,0,20140915,st1,pt1,1930.0,F,LATERAL,L,Physician", "['pseudonodule', ' normal ']"),
    ("2_a.png,54,20100101,st2,pt2,,M,,AP_horizontal,Physician", "['COPD signs', 'nodule', '', 'mass']"),
    ("3_a.png,54,20100101,st3,pt3,2010,M,,PA,Physician", "['pulmonary mass', 'copd  signs']"),
    ("4_a.png,54,20100101,st4,pt4,2009,M,,PA,Physician", "nan"),
    ("5_a.png,54,20100101,st5,pt5,2009,M,,PA,Physician", "['']"),
    ("6_a.png,54,20100101,st6,pt6,1950,F,,PA,RNN_model", "['pneumonia']"),
)


def padchest(root: Path, flat: bool = False, kind: str = ".csv") -> Path:
    """PadChest: an index without a name, labels as text of lists, labels inside labels."""
    lines = []
    for number, (cells, labels) in enumerate(PADCHEST_ROWS):
        image, folder, date, study, patient, birth, sex, coded, view, method = cells.split(",")
        line = [str(number), image, folder, date, study, patient, birth, sex, coded, view, "3000"]
        lines.append([*line, f"r{number}", f"sin cambi . hallazg {number} .", method, labels, "['C1']"])
        write_image(root / image if flat else root / folder / image, number)
    write_table(root / f"PADCHEST_chest_x_ray_images_labels_160K_01.02.19{kind}", PADCHEST_HEADER, lines)
    return root


OPENI_XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION">XXXX</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH>{headings}<automatic>edema</automatic></MeSH>
{images}</eCitation>"""
OPENI_REPORTS: tuple[tuple[int, str, str, list[str], list[str]], ...] = (
    # number, findings, impression, headings, images
    (1, "Heart &lt; normal XXXX.", "No XXXX disease.", ["normal"], ["1_IM-0001-3001", "1_IM-0001-4001"]),
    (2, "", "Effusion.", ["Pleural Effusion/left", "Thickening/pleura/apex"], ["2_IM-0652-1001"]),
    (10, "XXXX.", "", ["No Indexing"], ["10_IM-0002-1001"]),
    (11, "Clear.", "Clear.", ["normal"], []),
)


def _xml_id(image: str) -> str:
    # The first report's images alone have a number more.
    return f"CXR1_{image}" if image.startswith("1_") else f"CXR{image}"


def openi_xml(root: Path) -> Path:
    """Open-i as published: one XML a report, empty sections, a report without images."""
    folder = root / "ecgen-radiology"
    folder.mkdir(parents=True)
    for number, findings, impression, headings, images in OPENI_REPORTS:
        document = OPENI_XML.format(
            number=number,
            findings=findings,
            impression=impression,
            headings="".join(f"<major>{heading}</major>" for heading in headings),
            images="".join(f'<parentImage id="{_xml_id(image)}"/>' for image in images),
        )
        (folder / f"{number}.xml").write_text(document, encoding="utf-8")
        for image in images:
            write_image(root / "NLMCXR_png" / f"{_xml_id(image)}.png", number)
    return root


def openi_tables(root: Path) -> Path:
    """The re-pack of Open-i in two tables; only here is it said which image is lateral."""
    reports, projections = [], []
    for number, findings, impression, headings, images in OPENI_REPORTS:
        findings = findings.replace("&lt;", "<")
        reports.append([str(number), ";".join(headings), "x", "Xray", "", "None.", findings, impression])
        for image in images:
            view = "Lateral" if image.endswith("3001") else "Frontal"
            projections.append([str(number), f"{image}.dcm.png", view])
            write_image(root / "images" / "images_normalized" / f"{image}.dcm.png", number)
    header = ["uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression"]
    write_table(root / "indiana_reports.csv", header, reports)
    write_table(root / "indiana_projections.csv", ["uid", "filename", "projection"], projections)
    return root
