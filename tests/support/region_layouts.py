"""Build miniature downloads of data sets with boxes, masks or expert labels, including their traps."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,"
    "Emphysema,Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,"
    "Pleural effusion,Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,"
    "Lung tumor,Pneumonia,Tuberculosis,{other},No finding"
)
CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,"
    "Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def picture(path: Path, mask: np.ndarray | None = None) -> Path:
    """A picture of 80 x 80 pixels, or of a mask; DICOM by its ending only, which no reader opens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".dcm", ".dicom"):
        path.write_bytes(b"\0" * 128 + b"DICM")
        return path
    ramp = np.linspace(20, 200, 6400).reshape(80, 80).astype(np.uint8)
    Image.fromarray(ramp if mask is None else mask.astype(np.uint8) * 255).save(path)
    return path


def nih14(root: Path, *, year: int = 2020, flat: bool = False) -> Path:
    """Four images of three patients; the last lies in no list, the third not on disk."""
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    header += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    ages = ("58", "59", "414", "70") if year == 2020 else ("058Y", "013M", "414Y", "070Y")
    # The table of 2017 ends each line, and its header, with a comma.
    end = "" if year == 2020 else ","
    rows = [
        f"00000001_000.png,Cardiomegaly|Pleural_Thickening,0,1,{ages[0]},M,PA,2682,2749,0.143,0.143{end}",
        f"00000001_001.png,No Finding,1,1,{ages[1]},M,PA,2894,2729,0.143,0.143{end}",
        f"00000002_000.png,Effusion|Infiltration,0,2,{ages[2]},F,AP,2500,2048,0.168,0.168{end}",
        f"00000003_000.png,Hernia,0,3,{ages[3]},F,PA,2500,2048,0.168,0.168{end}",
    ]
    name = "Data_Entry_2017_v2020.csv" if year == 2020 else "Data_Entry_2017.csv"
    put(root / name, "\n".join([header + end, *rows]) + "\n")
    put(root / "train_val_list.txt", "00000001_000.png\n00000001_001.png\n")
    put(root / "test_list.txt", "00000002_000.png")
    boxes = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    boxes += "00000002_000.png,Infiltrate,100.5,200,50,25.25,,,\n00000002_000.png,Effusion,0,0,512,512\n"
    put(root / "BBox_List_2017.csv", boxes)
    folders = ("images", "images") if flat else ("images_001/images", "images_012/images")
    picture(root / folders[0] / "00000001_000.png")
    picture(root / folders[1] / "00000001_001.png")
    return root


def nih14_expert(root: Path, *, labels: bool = True, beside: bool = False) -> Path:
    """Three images of ChestX-ray14 read by five radiologists, three of whom make the labels."""
    nih14(root.parent / "nih14" if beside else root)
    names = "Atelectasis,Cardiomegaly,Effusion,Infiltration,Mass,Nodule,Pneumonia,Pneumothorax,"
    names += "Consolidation,Edema,Emphysema,Fibrosis,Pleural Thickening,Hernia,Other"
    truth, others = ("4343882785", "4343883593", "4343883996"), ("4343880271", "4343882583")

    def row(*found: str) -> str:
        cells = ["YES" if name in found else "NO" for name in names.split(",")]
        return ",".join([str(int(bool(found))), *cells])

    # Who saw what in the first image; all saw nothing in the second, all a hernia in the third.
    first = dict.fromkeys((*truth, *others), ("Effusion",)) | {
        truth[0]: ("Effusion", "Pleural Thickening"),
        truth[1]: ("Pleural Thickening",),
        others[1]: ("Mass", "Nodule"),
    }
    rows = [f"Image ID,Patient ID,Reader ID,Abnormal,{names}"]
    for reader in (*others, *truth):
        rows += [f"00000002_000.png,2,{reader},{row(*first[reader])}"]
        rows += [f"00000001_000.png,1,{reader},{row()}", f"00000009_000.png,9,{reader},{row('Hernia')}"]
    folder = root / "google-labels" / "all_findings_expert_labels"
    put(folder / "test_individual_readers.csv", "\n".join(rows) + "\n")
    if labels:
        rows = [f"Image ID,Patient ID,Abnormal,{names}"]
        rows += [f"00000002_000.png,2,{row('Effusion', 'Pleural Thickening')}"]
        rows += [f"00000001_000.png,1,{row()}", f"00000009_000.png,9,{row('Hernia')}"]
        put(folder / "test_labels.csv", "\n".join(rows) + "\n")
    return root


def nih4_expert(root: Path) -> Path:
    """Two validation images and one test image; the second was not adjudicated for nodules."""
    nih14(root)
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    header += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    header += "Fracture,Pneumothorax,Airspace opacity,Nodule or mass,Set Id"
    scan = "2682,2749,0.143,0.143"
    rows = [f"00000001_000.png,Cardiomegaly,0,1,58,M,PA,{scan},NO,YES,NO,YES,validation"]
    rows += [f"00000001_001.png,No Finding,1,1,59,M,PA,{scan},NO,NO,YES,,validation"]
    put(root / "four_findings_expert_labels" / "validation_labels.csv", "\r\n".join([header, *rows]))
    row = f"00000002_000.png,Effusion,0,2,414,F,AP,{scan},YES,NO,NO,NO,test"
    put(root / "four_findings_expert_labels_test_labels.csv", f"{header}\n{row}\n")
    return root


def vindr(root: Path) -> Path:
    """PhysioNet: one image of three readers in train, two of consensus in test."""
    label = {name: place for place, name in enumerate(VINDR.split(","))}

    def row(*found: str) -> str:
        cells = ["0"] * len(label)
        for name in found:
            cells[label[name]] = "1"
        return ",".join(cells)

    notes = root / "annotations"
    train = [f"image_id,rad_id,{VINDR.format(other='Other diseases')}"]
    train += [
        f"a1,R8,{row('Nodule/Mass', 'ILD', '{other}')}",
        f"a1,R9,{row('Nodule/Mass')}",
        f"a1,R10,{row('ILD', '{other}')}",
    ]
    put(notes / "image_labels_train.csv", "\n".join(train) + "\n")
    test = [f"image_id,{VINDR.format(other='Other disease')}", f"b1,{row('Lung Opacity', '{other}')}"]
    put(notes / "image_labels_test.csv", "\n".join([*test, f"b2,{row('No finding')}"]) + "\n")
    corners = "class_name,x_min,y_min,x_max,y_max"
    put(
        notes / "annotations_train.csv",
        f"image_id,rad_id,{corners}\na1,R8,Nodule/Mass,10,20,30.5,40\na1,R9,Nodule/Mass,11,20,31,40\n"
        "a1,R10,ILD,0,0,100,100\na1,R9,Calcification,1,1,2,2\na1,R8,No finding,,,,\n",
    )
    put(
        notes / "annotations_test.csv",
        f"image_id,{corners}\nb1,Lung Opacity,100,200,300,400\nb2,No finding,,,,\n",
    )
    picture(root / "train" / "a1.dicom")
    picture(root / "test" / "b1.dicom")
    return root


def vindr_kaggle(root: Path) -> Path:
    """Three readers: of a1 two saw cardiomegaly, one of them with two boxes; a2 is normal to all."""
    rows = ["image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"]
    rows += ["a1,Cardiomegaly,3,R8,10,20,30,40", "a1,Cardiomegaly,3,R8,50,60,70,80"]
    rows += ["a1,Cardiomegaly,3,R9,11,21,31,41", "a1,No finding,14,R10,,,,", "a1,ILD,5,R9,1,1,2,2"]
    rows += [f"a2,No finding,14,{reader},,,," for reader in ("R8", "R9", "R10")]
    put(root / "train.csv", "\n".join(rows) + "\n")
    picture(root / "train" / "a1.dicom")
    picture(root / "train" / "a2.dicom")
    return root


def rsna(root: Path, *, classes: bool = True) -> Path:
    """One patient with two boxes, one normal, one abnormal without opacity."""
    rows = ["patientId,x,y,width,height,Target", "p1,264.0,152.0,213.0,379.0,1", "p2,,,,,0"]
    rows += ["p1,562.0,152.0,256.0,453.0,1", "p3,,,,,0"]
    put(root / "stage_2_train_labels.csv", "\n".join(rows) + "\n")
    if classes:
        rows = ["patientId,class", "p1,Lung Opacity", "p1,Lung Opacity", "p2,Normal"]
        rows += ["p3,No Lung Opacity / Not Normal"]
        put(root / "stage_2_detailed_class_info.csv", "\n".join(rows) + "\n")
    for name in ("p1", "p2", "p3"):
        picture(root / "stage_2_train_images" / f"{name}.dcm")
    return root


def siim(root: Path, *, space: str = " ", table: str = "train-rle.csv") -> Path:
    """One image with two masks, one without; the header's second name starts with a space."""
    rows = [f"ImageId,{space}EncodedPixels", "1.2.3.1.1,1024 5 1019 3", f"1.2.4.1.1,{space}-1"]
    rows += ["1.2.3.1.1,0 2"]
    put(root / table, "\n".join(rows) + "\n")
    for study in ("1.2.3", "1.2.4"):
        picture(root / "siim" / "dicom-images-train" / study / f"{study}.1" / f"{study}.1.1.dcm")
    return root


def ms_cxr(root: Path, *, version: str = "1.1.0", beside: bool = False) -> Path:
    """Two phrases on one image, one of two boxes; a second image in another split."""
    last = ",split" if version == "1.1.0" else ""
    path = "files/p10/p10000032/s50414267/aa-bb.jpg"
    rows = [f"dicom_id,category_name,label_text,path,x,y,w,h,image_width,image_height{last}"]
    first = [
        f'aa-bb,Pneumonia,"Opacities, bibasilar",{path},196,1136,532,315,1767,2021',
        f'aa-bb,Pneumonia,"Opacities, bibasilar",{path},1009,1134,491,350,1767,2021',
        f"aa-bb,Pleural Effusion,Small effusion,{path},0,0,100,50,1767,2021",
    ]
    other = "files/p11/p11000033/s50000001/cc-dd.jpg"
    rows += [row + (",test" if last else "") for row in first]
    rows += [f"cc-dd,Lung Opacity,Opacity,{other},1,2,3,4,2544,3056" + (",val" if last else "")]
    put(root / f"MS_CXR_Local_Alignment_v{version}.csv", "\n".join(rows) + "\n")
    images = root.parent / "mimic-cxr" if beside else root
    picture(images / path)
    return root


def chexlocalize(root: Path, masks: Mapping[str, Any] | None = None, *, labels: bool = True) -> Path:
    """The download's two folders; three test images of two patients, one marked, one valid image."""
    document = {"patient64741_study1_view1_frontal": masks or {}}
    put(root / "CheXlocalize" / "gt_segmentations_test.json", json.dumps(document))
    polygons = {"img_size": [8, 6], "Airspace Opacity": [[[1, 1], [3, 1], [3, 4], [1, 4]]]}
    val = {"patient64541_study1_view1_frontal": polygons}
    put(root / "CheXlocalize" / "gt_annotations_val.json", json.dumps(val))
    if labels:
        cells = "0.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0"
        rows = [f"Path,{CHEXPERT}", f"test/patient64741/study1/view1_frontal.jpg,{cells}"]
        rows += [f"test/patient64741/study1/view2_lateral.jpg,{cells}"]
        rows += [f"test/patient64742/study1/view1_frontal.jpg,{cells.replace('1.0', '0.0')}"]
        put(root / "CheXpert" / "test_labels.csv", "\n".join(rows) + "\n")
        rows = [f"Path,{CHEXPERT}", f"CheXpert-v1.0/valid/patient64541/study1/view1_frontal.jpg,{cells}"]
        put(root / "CheXpert" / "val_labels.csv", "\n".join(rows) + "\n")
    picture(root / "CheXpert" / "test" / "patient64741" / "study1" / "view1_frontal.jpg")
    picture(root / "CheXpert" / "val" / "patient64541" / "study1" / "view1_frontal.jpg")
    return root


def chestx_det10(root: Path, test: Sequence[Mapping[str, Any]]) -> Path:
    put(root / "test.json", json.dumps(list(test)))
    put(root / "train.json", json.dumps([{"file_name": "36199.png", "syms": [], "boxes": []}]))
    picture(root / "test_data" / "test_data" / "36200.png")
    picture(root / "train_data" / "36199.png")
    return root


def covid_qu_ex(root: Path, *, parts: Sequence[str] = ("Lung", "Infection"), nested: bool = True) -> Path:
    """Both parts, split differently: covid_1 is test in the one, train in the other, which has its mask."""
    mask = np.zeros((80, 80), dtype=bool)
    mask[10:20, 30:50] = True
    for part in parts:
        name = f"{part} Segmentation Data"
        base = root / name / name if nested else root / name
        where = "Test" if part == "Lung" else "Train"
        picture(base / where / "COVID-19" / "images" / "covid_1.png")
        picture(base / "Test" / "COVID-19" / "images" / "sub-S10880_ses-E18932_run-1.png")
        picture(base / "Test" / "Non-COVID" / "images" / "non_COVID (1).png")
        picture(base / "Test" / "Normal" / "images" / "Normal (1).png")
        picture(base / "Val" / "Normal" / "images" / "Normal (2).png")
        picture(base / "Test" / "Normal" / "lung masks" / "Normal (1).png", mask)
        if part == "Infection":
            picture(base / where / "COVID-19" / "infection masks" / "covid_1.png", mask)
            picture(base / "Test" / "Normal" / "infection masks" / "Normal (1).png", ~mask & mask)
    return root
