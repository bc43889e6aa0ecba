"""List the public data sets: one entry per data set holds every fact about it."""

from __future__ import annotations

from tier_cli.datasets.info import DatasetInfo, Texts

# The order is the one in which help and documentation list them.
ENTRIES = (
    DatasetInfo(
        name="chexpert",
        title="CheXpert",
        findings="chexpert14",
        labels="14 findings from reports; valid and test by radiologists, test with three more readers",
        splits=("train", "valid", "test"),
        default_split="test",
        patient_namespace="chexpert",
        image_sources=("chexpert",),
        evaluation_only=None,
        layout="""CheXpert-v1.0/ (or CheXpert-v1.0-small/, or CheXlocalize's CheXpert/)
  train.csv  valid.csv  test_labels.csv
  train/patient00001/study1/view1_frontal.jpg
  valid/  test/
cheXpert-test-set-labels/ (optional: groundtruth.csv, radiologists/)""",
    ),
    DatasetInfo(
        name="chexpert-5x200",
        title="CheXpert 5x200",
        findings="chexpert5",
        labels="exactly one of 5 findings per image",
        splits=("test",),
        default_split="test",
        exclusive=True,
        patient_namespace="chexpert",
        image_sources=("chexpert",),
        evaluation_only="it was drawn from CheXpert's training images as a benchmark",
        layout="""chexpert_5x200.csv (GLoRIA's list; also chexpert_8x200.csv, chexpert-5x200-meta.csv)
CheXpert-v1.0/ (or CheXpert-v1.0-small/)
  train/patient00001/study1/view1_frontal.jpg""",
    ),
    DatasetInfo(
        name="mimic-cxr",
        title="MIMIC-CXR-JPG",
        findings="chexpert14",
        labels="14 findings from reports; test by radiologists (version 2.1.0)",
        texts=Texts.REPORTS,
        splits=("train", "valid", "test"),
        default_split="test",
        unit="study",
        patient_namespace="mimic-cxr",
        image_sources=("mimic-cxr",),
        evaluation_only=None,
        layout="""mimic-cxr-2.0.0-split.csv.gz
mimic-cxr-2.0.0-metadata.csv.gz
mimic-cxr-2.0.0-chexpert.csv.gz (or -negbio)
mimic-cxr-2.1.0-test-set-labeled.csv (optional)
patients.csv.gz of MIMIC-IV (optional: sex and age)
files/p10/p10000032/s50414267/<dicom_id>.jpg
files/p10/p10000032/s50414267.txt (reports; or mimic-cxr-reports.zip)""",
    ),
    DatasetInfo(
        name="padchest",
        title="PadChest",
        findings="padchest57",
        labels="every PadChest label; test by physicians, train by a network from reports",
        texts=Texts.REPORTS,
        splits=("train", "test"),
        default_split="test",
        patient_namespace="padchest",
        image_sources=("padchest",),
        evaluation_only=None,
        layout="""PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv (or .csv.gz)
<ImageDir>/<ImageID>.png (or all images in one folder, here or in images/)""",
    ),
    DatasetInfo(
        name="openi",
        title="Open-i",
        findings="nih14",
        labels="17 findings from the headings that people gave to reports",
        texts=Texts.REPORTS,
        splits=("all",),
        default_split="all",
        patient_namespace="openi",
        image_sources=("openi",),
        evaluation_only=None,
        layout="""ecgen-radiology/1.xml ... (or indiana_reports.csv and indiana_projections.csv)
NLMCXR_png/CXR1_1_IM-0001-3001.png (or images/images_normalized/1_IM-0001-3001.dcm.png)""",
    ),
    DatasetInfo(
        name="nih14",
        title="NIH ChestX-ray14",
        aliases=("nih",),
        findings="nih14",
        labels="14 findings and No Finding from reports, never blank",
        regions="984 boxes of 8 findings",
        splits=("train", "test"),
        default_split="test",
        patient_namespace="nih14",
        # Patients are numbered to 30805: a date in a private file name does not match.
        patient_in_name=r"(000[0-3]\d{4})_\d{3}",
        image_sources=("nih14",),
        evaluation_only=None,
        layout="""Data_Entry_2017_v2020.csv
train_val_list.txt  test_list.txt
BBox_List_2017.csv (optional)
images_001/images/00000001_000.png ... images_012/images/, or images/00000001_000.png""",
    ),
    DatasetInfo(
        name="nih14-expert",
        title="the expert labels of NIH ChestX-ray14",
        findings="nih14",
        labels="14 findings and No Finding by radiologists, with two more readers",
        splits=("test",),
        default_split="test",
        patient_namespace="nih14",
        image_sources=("nih14",),
        evaluation_only="it relabels test images of ChestX-ray14",
        layout="""all_findings_expert_labels/test_labels.csv
all_findings_expert_labels/test_individual_readers.csv (the radiologists' reads)
images_001/images/00000001_000.png ... of NIH ChestX-ray14""",
    ),
    DatasetInfo(
        name="nih4-expert",
        title="the adjudicated labels of NIH ChestX-ray14",
        findings="nih4",
        labels="4 findings, adjudicated by three radiologists",
        splits=("valid", "test"),
        default_split="test",
        patient_namespace="nih14",
        image_sources=("nih14",),
        evaluation_only="it relabels images of ChestX-ray14 for validation and test",
        layout="""four_findings_expert_labels/test_labels.csv
four_findings_expert_labels/validation_labels.csv
images_001/images/00000001_000.png ... of NIH ChestX-ray14""",
    ),
    DatasetInfo(
        name="vindr",
        title="VinDr-CXR",
        findings="vindr28",
        labels="28 findings by radiologists",
        regions="boxes",
        splits=("train", "test"),
        default_split="test",
        patient_namespace="vindr",
        image_sources=("vindr",),
        evaluation_only="it names no patients, so validation images cannot be drawn by patient",
        layout="""annotations/image_labels_test.csv
annotations/annotations_test.csv  (and both for train)
test/<image_id>.dicom  train/<image_id>.dicom
or Kaggle's train.csv with train/<image_id>.dicom: 14 findings, no test labels""",
    ),
    DatasetInfo(
        name="rsna",
        title="RSNA Pneumonia",
        findings="chexpert14",
        labels="Pneumonia and No Finding by radiologists",
        regions="boxes",
        splits=("train",),
        default_split="train",
        patient_namespace="rsna",
        image_sources=("nih14",),
        evaluation_only="its images are ChestX-ray14's under other names",
        layout="""stage_2_train_labels.csv
stage_2_detailed_class_info.csv (optional)
stage_2_train_images/<patientId>.dcm""",
    ),
    DatasetInfo(
        name="siim",
        title="SIIM-ACR Pneumothorax",
        findings="chexpert14",
        labels="Pneumothorax",
        regions="masks",
        splits=("train",),
        default_split="train",
        patient_namespace="siim",
        image_sources=("nih14",),
        evaluation_only="its images are ChestX-ray14's under other names, without patients",
        layout="""train-rle.csv (or stage_2_train.csv)
dicom-images-train/<study>/<series>/<ImageId>.dcm, or any other folders""",
    ),
    DatasetInfo(
        name="ms-cxr",
        title="MS-CXR",
        findings="chexpert14",
        labels="8 findings, 1 or blank",
        texts=Texts.PHRASES,
        regions="boxes with phrases",
        splits=("train", "valid", "test"),
        default_split="test",
        patient_namespace="mimic-cxr",
        image_sources=("mimic-cxr",),
        evaluation_only="it marks phrases in images of MIMIC-CXR, to evaluate grounding",
        layout="""MS_CXR_Local_Alignment_v1.1.0.csv (or v1.0.0)
files/p10/p10000032/s50414267/<dicom_id>.jpg of MIMIC-CXR-JPG, here or in mimic-cxr/ beside it""",
    ),
    DatasetInfo(
        name="chexlocalize",
        title="CheXlocalize",
        findings="chexpert14",
        labels="14 findings by radiologists",
        regions="masks of 10 findings",
        splits=("valid", "test"),
        default_split="test",
        patient_namespace="chexpert",
        image_sources=("chexpert",),
        evaluation_only="it is CheXpert's valid and test split with masks",
        layout="""CheXlocalize/gt_segmentations_test.json (or gt_annotations_test.json; _val for valid)
CheXpert/test_labels.csv  CheXpert/val_labels.csv
CheXpert/test/patient64741/study1/view1_frontal.jpg  CheXpert/val/...""",
    ),
    DatasetInfo(
        name="chestx-det10",
        title="ChestX-Det10",
        findings="chestxdet10",
        labels="10 findings by radiologists",
        regions="boxes",
        splits=("train", "test"),
        default_split="test",
        patient_namespace="nih14",
        image_sources=("nih14",),
        evaluation_only="its images are ChestX-ray14's under other names, without patients",
        layout="test.json  train.json\ntest_data/36200.png  train_data/36199.png",
    ),
    DatasetInfo(
        name="covid-qu-ex",
        title="COVID-QU-Ex",
        findings="covid",
        labels="COVID-19, Pneumonia, No Finding",
        regions="masks of COVID-19",
        splits=("train", "valid", "test"),
        default_split="test",
        patient_namespace="covid-qu-ex",
        # Its pneumonia and normal images are partly RSNA's, so NIH's, and PadChest's.
        image_sources=("covid-qu-ex", "nih14", "padchest"),
        evaluation_only="it mixes images of other public data sets, most without patients",
        layout="""Lung Segmentation Data/Test/COVID-19/images/covid_1.png
Infection Segmentation Data/Test/COVID-19/images/, .../infection masks/ (fewer images, masks)
with Train, Val, Test and COVID-19, Non-COVID, Normal""",
    ),
)
