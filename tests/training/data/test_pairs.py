"""Which pairs are drawn, and which of them count as negatives."""

from __future__ import annotations

import numpy as np
import pytest

from tier_cli.datasets.manifest import read_manifest
from tier_cli.errors import ManifestError
from tier_cli.findings.load import load_findings
from tier_cli.training.data.labels import label_training_rows
from tier_cli.training.data.pairs import Pairs

NIH = load_findings("nih14")


@pytest.fixture
def manifest(tmp_path):
    def write(text):
        (tmp_path / "manifest.csv").write_text(text)
        return read_manifest(tmp_path / "manifest.csv")

    return write


def pairs_of(manifest, seed, shuffle=False, findings=NIH, batches_from="all"):
    return Pairs(label_training_rows(manifest, findings), seed, shuffle, batches_from)


def test_reports_of_one_study_are_not_each_others_negatives(manifest):
    pairs = pairs_of(
        manifest("path,study,text\na,s1,Clear.\nb,s1,Other words.\nc,s2,Mass.\nd,,Mass.\n"), seed=0
    )
    everything = np.arange(4), np.arange(4)
    excluded = pairs.excluded(*everything)
    assert pairs.texts(*everything) == ["Clear.", "Other words.", "Mass.", "Mass."]
    assert excluded.tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, True],
        [False, False, True, True],
    ]


def test_partners_are_images_that_the_labels_of_a_text_fit(manifest):
    """Otherwise images with the same finding would be pushed away from each other's texts."""
    pairs = pairs_of(manifest("path,Mass,Effusion\na,1,0\nb,1,1\nc,0,0\nd,,\n"), seed=0)
    rows = np.array([0, 1, 2])
    for start in range(0, 60, 3):
        places = np.arange(start, start + 3)
        fit, excluded = pairs.partners(rows, places), pairs.excluded(rows, places)
        assert (np.diag(fit) == 1).all()
        assert ((fit > 0) <= excluded).all(), "a partner is never a negative"
        for image, text in zip(*np.nonzero(~excluded), strict=True):
            assert fit[image, text] == 0
    with_reports = manifest(
        "path,text,Mass,Effusion\na,Mass.,1,0\nb,Both.,1,1\nc,Mass again.,1,0\nd,Clear.,0,0\n"
    )
    fit = pairs_of(with_reports, seed=0).partners(np.arange(4), np.arange(4))
    assert fit[0].tolist() == [1, 0, 1, 0]
    assert fit[3].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("texts", [False, True])
def test_batches_from_one_source_hold_images_of_one_source(manifest, texts):
    """Otherwise the contrast could be won by telling the hospitals apart."""
    cell = "Clear." if texts else "1"
    lines = [f"{name}{i},{name},{cell}" for name in "ab" for i in range(10)]
    rows = manifest("\n".join([f"path,source,{'text' if texts else 'Mass'}", *lines]))
    pairs = pairs_of(rows, seed=0, batches_from="source")
    batches = pairs.draw(0, 40, 4).reshape(40, 4) // 10
    assert (batches == batches[:, :1]).all()
    assert 5 < batches[:, 0].sum() < 35, "both sources are drawn"
    assert pairs.draw(0, 40, 4).tolist() == pairs.draw(0, 40, 4).tolist()


def test_studies_that_are_numbered_within_each_patient_are_studies_of_their_own(manifest):
    """Otherwise first visits of all patients would not be told apart."""
    rows = "path,patient,study,text\na,p1,1,Clear.\nb,p1,1,Small heart.\nc,p2,1,Mass.\n"
    excluded = pairs_of(manifest(rows), seed=0).excluded(np.arange(3), np.arange(3))
    assert excluded.tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_a_caption_is_a_negative_only_where_it_is_false(manifest):
    pairs = pairs_of(manifest("path,Mass,Effusion\na,1,\nb,0,\nc,,1\n"), seed=0)
    for start in range(0, 60, 3):
        excluded = pairs.excluded(np.arange(3), np.arange(start, start + 3))
        # A text about a mass is false of b, and unknown of c, which no label speaks of.
        assert not excluded[1, 0]
        assert not excluded[0, 1]
        assert excluded[2, 0]
        assert excluded[0, 2]


def test_rows_without_text_are_counted_and_never_drawn(manifest):
    pairs = pairs_of(manifest("path,text\na,Clear.\nb,\nc,Mass.\n"), seed=0)
    assert pairs.without_text == 1
    assert set(pairs.draw(0, 1, 50)) == {0, 2}


def test_an_epoch_of_reports_draws_every_row_once(manifest):
    pairs = pairs_of(manifest("path,text\na,One.\nb,Two.\nc,Three.\n"), seed=0)
    assert sorted(pairs.draw(0, 1, 3)) == [0, 1, 2]


def test_a_rare_finding_is_drawn_more_often(manifest):
    rows = "".join(f"n{i},0,0\n" for i in range(90)) + "".join(f"m{i},1,0\n" for i in range(9)) + "h,0,1\n"
    pairs = pairs_of(manifest("path,Mass,Hernia\n" + rows), seed=0)
    drawn = pairs.draw(0, 1, 4000)
    assert np.mean(drawn == 99) > 4 / 100


def test_the_control_permutes_labels_and_keeps_their_numbers(manifest):
    table = "path,Mass\n" + "".join(f"i{i},{int(i < 30)}\n" for i in range(100))
    plain, shuffled = pairs_of(manifest(table), seed=0), pairs_of(manifest(table), seed=0, shuffle=True)
    column = plain._labels.ids.index("mass")
    before, after = plain._labels.values[:, column], shuffled._labels.values[:, column]
    assert before.sum() == after.sum()
    assert (before != after).any()


def test_uncertain_labels_make_no_claim_and_no_negative(manifest):
    pairs = pairs_of(manifest("path,Mass,Effusion\na,-1,1\nb,1,0\n"), seed=0)
    for start in range(0, 40, 2):
        drawn = np.arange(2), np.arange(start, start + 2)
        texts, excluded = pairs.texts(*drawn), pairs.excluded(*drawn)
        assert "mass" not in texts[0].lower()
        # The first caption is of an effusion, which the second image is known not to have.
        assert not excluded[1, 0]


def test_a_manifest_without_texts_and_labels_is_refused(manifest):
    with pytest.raises(ManifestError, match="no row has a text"):
        pairs_of(manifest("path,view\na,PA\n"), seed=0)


def test_images_of_one_study_are_not_negatives_with_captions_either(manifest):
    pairs = pairs_of(manifest("path,study,Mass\na,s1,1\nb,s1,0\nc,s2,0\n"), seed=0)
    for start in range(0, 60, 3):
        excluded = pairs.excluded(np.arange(3), np.arange(start, start + 3))
        assert excluded[0, 1]
        assert excluded[1, 0]
        assert not excluded[2, 0]


def test_every_draw_depends_on_its_place_alone(manifest):
    table = "path,Mass,Effusion\n" + "".join(f"i{i},{i % 2},{i % 3 % 2}\n" for i in range(30))
    first, second = pairs_of(manifest(table), seed=5), pairs_of(manifest(table), seed=5)
    later = second.draw(3, 1, 20)
    rows, places = first.draw(3, 1, 20), np.arange(100, 120)
    assert rows.tolist() == later.tolist()
    assert rows.tolist() != first.draw(4, 1, 20).tolist()
    assert first.texts(rows, places)[7:] == second.texts(rows[7:], places[7:])
    assert first.texts(rows, places) != first.texts(rows, places + 1000)


def test_a_replacement_row_has_a_text(manifest):
    pairs = pairs_of(manifest("path,text\na,Clear.\nb,\nc,Mass.\n"), seed=0)
    assert pairs.after(0) == 2
    assert pairs.after(2) == 0


CHEXPERT = load_findings("chexpert14")


def drawn(pairs, times=60):
    """Texts and what is excluded, of all rows at once and many times."""
    count = len(pairs.weights)
    for start in range(0, count * times, count):
        places = np.arange(start, start + count)
        yield pairs.texts(np.arange(count), places), pairs.excluded(np.arange(count), places)


def test_every_label_of_chexpert_trains(manifest):
    table = "path,No Finding,Lung Opacity,Fracture,Support Devices\n"
    pairs = pairs_of(manifest(table + "a,1,,,\nb,,1,,\nc,,,1,\nd,,,,1\ne,,,,\n"), seed=0, findings=CHEXPERT)
    assert len(pairs) == 4
    assert set(pairs.draw(0, 1, 60)) == {0, 1, 2, 3}
    pairs = pairs_of(manifest(table + "a,1,,,\nb,,1,,\nc,,,1,\nd,,,,1\n"), seed=0, findings=CHEXPERT)
    texts = [row for row, _ in drawn(pairs, 40)]
    for row, words in enumerate((("normal",), ("opacit",), ("fracture",), ("device", "hardware"))):
        assert any(word in text[row].lower() for text in texts for word in words)


def test_normal_is_false_exactly_for_images_with_a_finding(manifest):
    table = "path,No Finding,Fracture,Support Devices,Edema\n"
    rows = "normal,1,,,\nbroken,,1,,\ndevice,,,1,\nill,0,,,0\nboth,1,,1,\n"
    pairs = pairs_of(manifest(table + rows), seed=0, findings=CHEXPERT)
    normal, broken, device, ill, both = range(5)
    for texts, excluded in drawn(pairs):
        # Columns are texts. It is false of a broken rib and of an image that is known not to be normal.
        assert not excluded[broken, normal]
        assert not excluded[ill, normal]
        # Of an image of which only devices are known nobody can tell, and two normal chests are alike.
        assert excluded[device, normal]
        assert excluded[both, normal]
        # A normal chest has no fracture, though nobody wrote down that it has none.
        assert not excluded[normal, broken]
        assert not excluded[both, broken]
        # It may well have devices.
        assert excluded[normal, device]
        if "edema" in texts[ill].lower():
            assert excluded[normal, ill]


def test_a_custom_column_trains_under_its_name(manifest):
    table = manifest("path,tuberculosis\na,1\nb,0\n")
    pairs = pairs_of(table, seed=0, findings=load_findings("tuberculosis"))
    for texts, excluded in drawn(pairs):
        assert all("tuberculosis" in text.lower() for text in texts)
        assert not excluded[0, 1]
        assert not excluded[1, 0]
    with pytest.raises(ManifestError, match="--findings"):
        pairs_of(table, seed=0)


def test_another_finding_set_does_not_change_captions_of_nih_columns(manifest):
    """Of ChestX-ray14's columns, captions are the same whatever set the checkpoint scores."""
    table = "path,Mass,Effusion\n" + "".join(f"i{i},{i % 2},{i % 3 % 2}\n" for i in range(30))
    one, other = pairs_of(manifest(table), seed=5), pairs_of(manifest(table), seed=5, findings=CHEXPERT)
    rows, places = one.draw(1, 1, 20), np.arange(20)
    assert rows.tolist() == other.draw(1, 1, 20).tolist()
    assert one.texts(rows, places) == other.texts(rows, places)


def test_a_contradicted_no_finding_label_is_ignored(manifest):
    rows = "a,1,1,\nb,1,-1,0\nc,,0,\n"
    pairs = pairs_of(manifest("path,No Finding,Edema,Fracture\n" + rows), seed=0, findings=CHEXPERT)
    for texts, excluded in drawn(pairs):
        assert not any("normal" in text.lower() for text in texts[:2])
        # Perhaps it has an edema: a text that it has none is not false of it.
        assert excluded[1, 2]


def test_padchest_mass_is_not_a_lung_mass(manifest):
    table = manifest('path,"mass, site not said",pulmonary mass\na,1,0\nb,1,0\n')
    pairs = pairs_of(table, seed=0, findings=load_findings("padchest192"))
    for texts, _ in drawn(pairs, 200):
        assert not any(text.lower() in ("there is lung mass.", "there is pulmonary mass.") for text in texts)
