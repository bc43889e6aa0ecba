"""The cohort of a report: who was evaluated and how they were selected."""

from __future__ import annotations

from pathlib import Path

from tier_cli.datasets.manifest import read_manifest
from tier_cli.evaluation.cohort import describe_cohort
from tier_cli.evaluation.selection import select
from tier_cli.evaluation.truth import labelled
from tier_cli.findings.load import load_findings

FINDINGS = load_findings("pneumothorax")
TABLE = """path,patient,sex,age,view,split,source,pneumothorax
a.png,one,F,61,PA,test,x,1
b.png,one,F,63,AP,test,x,0
c.png,one,F,61,LATERAL,test,x,0
d.png,two,,018M,PA,test,x,0
e.png,three,M,040Y,,test,y,0
f.png,four,M,414,PA,test,x,
g.png,five,M,30,PA,train,x,1
"""


def test_the_flow_says_how_many_images_and_patients_each_step_left(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(TABLE)
    chosen = select(read_manifest(tmp_path / "m.csv"), "test", [("source", "y")], True)
    chosen, _ = labelled(chosen, FINDINGS, "ignore")
    found = describe_cohort(chosen, 1, 1).to_dict()
    assert [(one["step"], one["left_out"], one["images"], one["patients"]) for one in found["flow"]] == [
        ("all rows", 0, 7, 5),
        ("split test", 1, 6, 4),
        ("without source=y", 1, 5, 3),
        ("frontal views", 1, 4, 3),
        ("with a label", 1, 3, 2),
        ("with a score", 1, 2, 1),
    ]
    assert (found["images"], found["patients"]) == (3, 2)


def test_patients_count_once_by_sex_and_age(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(TABLE)
    chosen, _ = labelled(select(read_manifest(tmp_path / "m.csv"), "all", [], False), FINDINGS, "ignore")
    found = describe_cohort(chosen, 0, 4).to_dict()
    assert found["sex"] == {"F": 1, "M": 2, "unknown": 1}
    assert found["view"] == {"AP": 1, "LATERAL": 1, "PA": 3, "unknown": 1}
    age = found["age"]
    assert (age["known"], age["youngest"], age["median"], age["oldest"]) == (4, 1.5, 35.0, 61.0)


def test_a_table_without_sex_age_and_view_has_a_cohort_and_many_views_end_nothing(tmp_path: Path) -> None:
    rows = "\n".join(f"{n}.png,p{n},view {n},{n % 2}" for n in range(60))
    (tmp_path / "m.csv").write_text(f"path,patient,view,pneumothorax\n{rows}\n")
    chosen, _ = labelled(select(read_manifest(tmp_path / "m.csv"), None, [], False), FINDINGS, "ignore")
    found = describe_cohort(chosen, 0, 60).to_dict()
    assert found["age"] is None
    assert found["sex"] == {"unknown": 60}
    assert found["view"]["other"] == 30
