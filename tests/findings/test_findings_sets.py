"""The built-in sets against the data sets they are named after."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest

from tier_cli.findings.check import problems
from tier_cli.findings.load import builtin, builtin_names, load_findings
from tier_cli.findings.schema import FindingSet

CHEXPERT = [
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", "Support Devices"),
]
NIH = [
    *(
        "Atelectasis",
        "Cardiomegaly",
        "Effusion",
        "Infiltration",
        "Mass",
        "Nodule",
        "Pneumonia",
        "Pneumothorax",
    ),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
]
VINDR = [
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion", "COPD"),
    *("Lung tumor", "Pneumonia", "Tuberculosis", "Other disease", "No finding"),
]
DET10 = [
    *("Atelectasis", "Calcification", "Consolidation", "Effusion", "Emphysema", "Fibrosis", "Fracture"),
    *("Mass", "Nodule", "Pneumothorax"),
]
COMPETITION = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]


def matched(name: str, columns: list[str]) -> list[str]:
    return [finding.id for column in columns if (finding := builtin(name).match(column))]


def test_the_sets_follow_their_data_sets_columns() -> None:
    assert matched("chexpert14", CHEXPERT) == list(builtin("chexpert14").ids)
    assert matched("chexpert5", COMPETITION) == list(builtin("chexpert5").ids)
    assert matched("nih14", NIH) == list(builtin("nih14").ids)
    assert matched("vindr28", VINDR) == list(builtin("vindr28").ids)
    assert matched("chestxdet10", DET10) == list(builtin("chestxdet10").ids)
    assert [column.lower() for column in NIH] == list(builtin("nih14").ids)


@pytest.mark.parametrize(
    ("name", "column", "finding"),
    [
        ("chexpert14", "Airspace Opacity", "lung_opacity"),
        ("chexpert14", "Effusion", "pleural_effusion"),
        ("nih14", "Pleural Effusion", "effusion"),
        ("nih14", "Infiltrate", "infiltration"),
        ("nih14", "pleural thickening", "pleural_thickening"),
        ("vindr28", "Other diseases", "other_disease"),
        ("nih4", "Airspace opacity", "lung_opacity"),
        ("nih4", "Nodule or mass", "nodule_mass"),
        ("covid", "COVID-19", "covid_19"),
    ],
)
def test_aliases_cover_other_data_sets(name: str, column: str, finding: str) -> None:
    assert matched(name, [column]) == [finding]


def test_padchest57_is_the_papers_list(shared: Path) -> None:
    page = (shared / "dataset-layouts.md").read_text("utf-8")
    listed = re.search(r"57 PadChest labels that the TIER paper evaluates\n(.+?)\.\n", page)
    assert listed is not None
    labels = listed.group(1).split(", ")
    assert len(labels) == 57
    assert [label.lower().replace(" ", "_") for label in labels] == list(builtin("padchest57").ids)


def test_padchest57_holds_the_papers_prompts() -> None:
    fs = builtin("padchest57")
    assert len(fs.ids) == len(set(fs.ids)) == 57
    for finding in fs.findings:
        if finding.id not in ("normal", "unchanged"):
            assert f"{finding.label} is present." in finding.positive
    rib = fs.match("rib fracture")
    normal = fs.match("normal")
    assert rib is not None
    assert normal is not None
    assert "No rib fracture." in rib.negative
    assert "Abnormal findings." in normal.negative


def test_padchest55_is_padchest57_without_labels_that_are_not_findings() -> None:
    whole, fs = builtin("padchest57"), load_findings("padchest55")
    assert len(fs.ids) == 55
    assert set(whole.ids) - set(fs.ids) == {"normal", "unchanged"}
    assert fs.findings == tuple(one for one in whole.findings if one.id in fs.ids)


def test_padchest192_contains_padchest57_and_distinguishes_similar_names() -> None:
    fs = builtin("padchest192")
    assert len(fs.ids) == 192
    assert set(builtin("padchest57").ids) < set(fs.ids)
    # The reader of PadChest calls its label "mass" so, for a mass anywhere is no pulmonary mass.
    columns = ["mass, site not said", "pulmonary mass", "NSG tube", "Chilaiditi sign", "nipple shadow"]
    assert matched("padchest192", columns) == [
        *("mass", "pulmonary_mass", "nsg_tube", "chilaiditi_sign", "nipple_shadow")
    ]


@pytest.mark.parametrize("name", builtin_names())
def test_sets_are_sound_and_have_several_phrasings(name: str) -> None:
    fs = builtin(name)
    assert fs.name == name
    assert problems(fs) == []
    for finding in fs.findings:
        assert min(len(finding.positive), len(finding.negative)) >= 3
        for prompt in chain(finding.positive, finding.negative):
            assert re.fullmatch(r"[A-Z0-9][^.]*\.|[A-Z].*\d cm\.", prompt), prompt


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("chexpert5", "chexpert14"),
        ("nih14", "chexpert14"),
        ("vindr28", "chexpert14"),
        ("vindr28", "nih14"),
        ("chestxdet10", "chexpert14"),
        ("chestxdet10", "nih14"),
        ("chestxdet10", "vindr28"),
        ("nih4", "chexpert14"),
        ("nih4", "vindr28"),
        ("padchest57", "padchest192"),
    ],
)
def test_one_finding_has_one_wording(small: str, large: str) -> None:
    for finding in builtin(small).findings:
        other = builtin(large).match(finding.id)
        if other is not None:
            assert (finding.positive, finding.negative) == (other.positive, other.negative)


@pytest.mark.parametrize("default", [None, *builtin_names()])
def test_any_findings_of_the_sets_go_together(default: str | None) -> None:
    own = builtin(default) if default else None
    names = [
        name for fs in map(builtin, builtin_names()) for finding in fs.findings for name in finding.names
    ]
    taken = {(finding := load_findings(name, own).findings[0]).id: finding for name in names}
    assert problems(FindingSet("all", tuple(taken.values()))) == []
