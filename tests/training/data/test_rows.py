"""The choice of training and validation rows: a mistake here falsifies every number of a run."""

from __future__ import annotations

import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import ManifestError, UsageError
from tier_cli.findings.load import load_findings
from tier_cli.training.data.rows import check_contrast, choose_rows, open_training_data
from tier_cli.training.settings import SplitChoice

NIH = load_findings("nih14")


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "manifest.csv").write_text(text)
        return read_manifest(tmp_path / "manifest.csv")

    return write


def chosen(manifest, dataset="csv", **choice):
    data = choose_rows(manifest, dataset, SplitChoice(**choice), NIH)
    names = [path.rsplit("/", 1)[-1] for path in data.manifest.paths]
    rows = dict(zip(names, data.manifest.column("split").tolist(), strict=True))
    return rows, data


def people(count, extra=""):
    return "path,patient,Mass\n" + "".join(f"{n}.png,p{n // 2},{n % 2}\n" for n in range(count)) + extra


def test_without_splits_all_images_of_a_tenth_of_the_patients_are_validated_on(table):
    rows, data = chosen(table(people(40)))
    drawn = {int(name[:-4]) // 2 for name, split in rows.items() if split == "valid"}
    assert len(drawn) == 2
    assert len(rows) == 40
    assert data.record["rows"]["valid"] == {"images": 4, "patients": 2, "texts": 0}
    assert any("2 of 20 patients" in note for note in data.notes)


def test_the_draw_depends_only_on_patient_and_seed(table):
    rows, _ = chosen(table(people(40)), split_seed=7)
    lines = people(40).splitlines()
    mixed = "\n".join([lines[0], *reversed(lines[1:])]) + "\n"
    assert chosen(table(mixed), split_seed=7)[0] == rows
    assert chosen(table(people(40)), split_seed=8)[0] != rows


def test_a_missing_named_split_is_reported(table):
    manifest = table("path,patient,split,Mass\na,1,train,1\nb,2,val,0\n")
    with pytest.raises(ManifestError, match="'holdout'"):
        chosen(manifest, valid_split="holdout")
    with pytest.raises(ManifestError, match="leave out --valid-split"):
        chosen(table(people(4)), valid_split="valid")
    # The usual other names are found.
    assert chosen(manifest)[0] == {"a": "train", "b": "valid"}
    others = table("path,patient,split,Mass\na,1,Training,1\nb,2,dev,0\nc,3,Training,1\n")
    assert chosen(others)[0] == {"a": "train", "b": "valid", "c": "train"}


def test_a_single_study_is_refused(table):
    """Images of one study are not told apart, so that the loss would be 0 from the start."""
    alone = table("path,patient,study,text\na,1,s,Clear.\nb,1,s,Small heart.\n")
    with pytest.raises(ManifestError, match="only one study"):
        check_contrast(chosen(alone, valid_share=0)[1].manifest)


def test_a_custom_test_split_is_never_used_for_validation(table):
    """Its card says that no test image was used."""
    manifest = table("path,patient,split,Mass\na,1,train,1\nb,2,test,0\n")
    for choice in ({"valid_split": "Test"}, {"train_split": "test", "valid_split": "train"}):
        with pytest.raises(UsageError, match="a test split is for evaluation"):
            chosen(manifest, **choice)


@pytest.mark.parametrize(("one", "other"), [("train", "valid"), ("train", "test"), ("valid", "Test_2")])
def test_a_patient_in_two_splits_is_refused(one, other, table):
    rows = f"a,1,train,1\nb,2,valid,0\nc,3,train,0\nd,9,{one},1\ne,9,{other},0\n"
    with pytest.raises(ManifestError, match="1 patients are in both"):
        chosen(table("path,patient,split,Mass\n" + rows))


def test_rows_of_other_splits_are_not_used(table):
    rows, _ = chosen(table("path,patient,split,Mass\na,1,train,1\nb,2,valid,0\nc,3,test,1\nd,1,unused,1\n"))
    assert rows == {"a": "train", "b": "valid"}


def test_where_official_lists_divide_images_their_patients_stay_in_test(table):
    manifest = table("path,patient,split,Mass\na,1,train,1\nb,1,test,0\nc,2,train,0\nd,3,train,1\n")
    rows, data = chosen(manifest, "padchest", valid_share=0)
    assert rows == {"c": "train", "d": "train"}
    assert any("of other splits left out of training: 1" in note for note in data.notes)


def test_lateral_views_train_and_are_not_validated_on(table):
    text = (
        "path,patient,split,view,Mass\na,1,train,LATERAL,1\nb,2,train,PA,0\nc,3,valid,LL,1\nd,4,valid,AP,1\n"
    )
    assert chosen(table(text))[0] == {"a": "train", "b": "train", "d": "valid"}
    assert chosen(table(text), views="frontal")[0] == {"b": "train", "d": "valid"}


def test_empty_texts_are_dropped_and_counted(table):
    text = 'path,patient,split,text\na,1,train,Clear.\nb,2,train," "\nc,3,train,\n'
    # Nobody learns from a hundred images that "nan" is what is written of them.
    rows, data = chosen(table(text + "d,4,train,NaN\ne,5,train,___ ___.\n"))
    assert rows == {"a": "train"}
    assert data.record["images_without_text"] == 4
    assert data.record["rows"]["train"]["texts"] == 1
    assert any("no validation" in note for note in data.notes)


def left_out(data):
    return [note for note in data.notes if "left out" in note]


def test_images_with_labels_are_not_counted_as_images_without(table):
    """Who reads "without a label: 3" of a table full of labels would look for the mistake in the table."""
    rows = "a,1,,,\nb,2,1,,\nc,3,,-1,\nd,4,0,,\ne,5,,,1\n"
    manifest = table("path,patient,No Finding,Edema,Fracture\n" + rows)
    data = choose_rows(manifest, "csv", SplitChoice(valid_share=0), load_findings("chexpert14"))
    assert left_out(data) == [
        "images without a label of a known finding left out: 1",
        "images whose labels give no caption (uncertain, or No Finding 0) left out: 2",
    ]
    assert data.record["images_without_text"] == 3
    assert data.record["rows"]["train"]["images"] == 2


def test_labelled_images_without_reports_are_counted(table):
    manifest = table("path,patient,text,Mass\na,1,Clear.,\nb,2,,1\nc,3,nan,0\nd,4,,\n")
    _, data = chosen(manifest, valid_share=0)
    assert left_out(data) == [
        "images without a text left out: 1",
        "images with labels and no text left out (--text labels trains on labels): 2",
    ]
    assert data.record["images_without_text"] == 3


def test_captions_can_replace_reports(table, tmp_path):
    table("path,patient,text,Mass\na,1,Clear.,1\nb,2,,0\n")
    manifest = open_training_data("csv", tmp_path / "manifest.csv", None, "labels")
    _, data = chosen(manifest, valid_share=0)
    assert data.record["texts"] == "captions written from labels"
    with pytest.raises(UsageError, match="for evaluation only: it was drawn"):
        open_training_data("chexpert-5x200", None, tmp_path, None)


REPORTS = """path,patient,text
a,1,"FINDINGS: The heart, as of ___, is large.

IMPRESSION: Cardiomegaly."
b,2,"IMPRESSION: No change.

NOTIFICATION: told Dr. ___."
c,3,Clear lungs.
d,4,"FINDINGS: Clear."
e,5,
"""


def texts(folder, part):
    return open_training_data("csv", folder / "manifest.csv", None, part).column("text").tolist()


def test_a_section_of_a_manifests_reports_can_be_selected(table, tmp_path):
    """Whoever has whole reports in a table should train on what --text says, as with MIMIC-CXR."""
    whole = table(REPORTS).column("text").tolist()
    assert texts(tmp_path, "impression") == ["Cardiomegaly.", "No change.", "", "", ""]
    assert texts(tmp_path, "findings") == ["The heart, as of, is large.", "", "", "Clear.", ""]
    assert texts(tmp_path, "both")[0] == "The heart, as of, is large. Cardiomegaly."
    assert texts(tmp_path, None) == whole


def test_reports_without_the_section_are_dropped_and_counted(table, tmp_path):
    table(REPORTS)
    manifest = open_training_data("csv", tmp_path / "manifest.csv", None, "impression")
    rows, data = chosen(manifest, valid_share=0)
    assert sorted(rows) == ["a", "b"]
    assert "reports without impression: 2 of 4" in data.notes
    assert "images without a text left out: 3" in data.notes


@pytest.mark.parametrize("content", ["path,text,Mass\na,Clear.,1\n", "path,Mass\na,1\n"])
def test_captions_never_replace_requested_reports(content, table, tmp_path):
    table(content)
    with pytest.raises(ManifestError, match="leave out --text"):
        open_training_data("csv", tmp_path / "manifest.csv", None, "findings")
