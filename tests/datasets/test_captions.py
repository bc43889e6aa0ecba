"""Captions state what the labels state and nothing else."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tier_cli.datasets.captions import known_findings, write_caption
from tier_cli.errors import ManifestError
from tier_cli.findings.load import load_findings

CHEXPERT = {finding.id: finding.label for finding in load_findings("chexpert14").findings}
OTHERS = {
    name: label for name, label in CHEXPERT.items() if name not in (*known_findings(), "no_finding")
} | {"tuberculosis": "Tuberculosis", "copd": "COPD", "kerley_lines": "Kerley lines"}
DENIALS = ("no ", "without", "not ", "absent", "negative for", "normal", "sharp", "clear", "free of", "fully")
LABELS = st.dictionaries(st.sampled_from(known_findings()), st.booleans(), min_size=1)


@given(LABELS, st.integers(0, 2**32))
def test_claims_agree_with_the_labels(labels, seed):
    caption = write_caption(labels, random.Random(seed))
    assert caption.claims
    assert all(labels[name] == claim for name, claim in caption.claims.items())


@given(st.sampled_from(known_findings()), st.integers(0, 2**32))
def test_an_absent_finding_is_never_worded_as_present(name, seed):
    text = write_caption({name: False}, random.Random(seed)).text.lower()
    assert any(word in text for word in DENIALS), text


@given(st.sampled_from(known_findings()), st.integers(0, 2**32))
def test_a_present_finding_is_never_denied(name, seed):
    text = write_caption({name: True}, random.Random(seed)).text.lower()
    assert not any(word in text for word in ("no ", "without", " not ", "negative for", "no evidence")), text


def test_a_normal_sentence_needs_every_finding_absent():
    labels = dict.fromkeys(known_findings()[:-1], False)
    texts = {write_caption(labels, random.Random(seed)).text for seed in range(300)}
    assert not any("lungs are clear" in text or "Unremarkable" in text for text in texts)


def test_the_same_state_gives_the_same_caption():
    labels = dict.fromkeys(known_findings(), False) | {"mass": True}
    assert write_caption(labels, random.Random(5)) == write_caption(labels, random.Random(5))


def test_headers_hold_no_empty_slots():
    labels = {"mass": True}
    texts = [
        write_caption(labels, random.Random(seed), view="PA", sex="", age="").text for seed in range(200)
    ]
    assert any(text.startswith("PA") for text in texts)
    assert not any("-year-old" in text or "  " in text for text in texts)


def headed(view):
    seeds = (random.Random(seed) for seed in range(400))
    texts = [write_caption({"mass": True}, rng, view=view, sex="F", age="61").text for rng in seeds]
    return " | ".join(texts)


@pytest.mark.parametrize(
    ("view", "said"),
    [("LATERAL", "Lateral"), ("LL", "Lateral"), ("LAO", "Oblique"), ("FRONTAL", "Frontal"), ("AP", "AP")],
)
def test_no_caption_states_another_view(view, said):
    assert f"{said} chest radiograph" in headed(view)
    others = {"Lateral", "Oblique", "Frontal", "AP", "PA"} - {said}
    assert not any(f"{other} " in headed(view) for other in others)


@pytest.mark.parametrize("view", ["", "COSTAL"])
def test_an_unknown_view_is_not_mentioned(view):
    assert "Chest radiograph of a 61-year-old woman" in headed(view)
    assert not any(word in headed(view) for word in ("Frontal", "Lateral", "view", "projection", "  "))


def test_captions_know_the_findings_of_the_nih_set():
    assert set(known_findings()) == set(load_findings("nih14").ids)


def written(labels, others=OTHERS, times=300):
    return [write_caption(labels, random.Random(seed), others=others) for seed in range(times)]


@pytest.mark.parametrize("name", OTHERS)
def test_other_findings_of_the_set_become_text(name):
    said = [caption.text.lower() for caption in written({name: True})]
    denied = [caption.text.lower() for caption in written({name: False})]
    assert len(set(said)) > 5
    assert not any(word in text for text in said for word in ("no ", "without", " not ", "negative for"))
    assert all(any(word in text for word in DENIALS) for text in denied)


def test_a_custom_finding_is_named_in_plain_words():
    texts = {caption.text for caption in written({"tuberculosis": True})}
    assert {"There is tuberculosis.", "Tuberculosis is present."} <= texts
    assert "No tuberculosis." in {caption.text for caption in written({"tuberculosis": False})}
    assert "There is COPD." in {caption.text for caption in written({"copd": True})}
    assert "There are kerley lines." in {caption.text for caption in written({"kerley_lines": True})}


def test_an_image_labelled_normal_is_called_normal():
    captions = written({"no_finding": True})
    assert "Normal chest radiograph." in {caption.text for caption in captions}
    assert all(caption.claims == {"no_finding": True} for caption in captions)


def test_a_normal_chest_with_devices_mentions_both():
    captions = written({"no_finding": True, "support_devices": True})
    claims = {tuple(sorted(caption.claims)) for caption in captions}
    assert claims == {("no_finding", "support_devices"), ("support_devices",)}
    assert "Normal chest apart from support devices." in {caption.text for caption in captions}
    # A chest with tubes in it is not said to be a normal one and nothing else.
    assert not any(caption.text == "Normal chest radiograph." for caption in captions)


@pytest.mark.parametrize(
    "labels",
    [
        {"no_finding": False, "mass": True},
        {"no_finding": True, "mass": True},
        dict.fromkeys((*known_findings(), *OTHERS, "no_finding"), False),
        # A rib is broken, or nobody said whether: the chest is not called normal for want of NIH's findings.
        dict.fromkeys((*known_findings(), *OTHERS), False) | {"fracture": True},
        dict.fromkeys((*known_findings(), *OTHERS, "no_finding"), False) | {"support_devices": True},
        {name: False for name in (*known_findings(), *OTHERS) if name != "fracture"},
    ],
)
def test_no_other_image_is_called_normal(labels):
    normal = ("Normal chest", "Unremarkable", "No finding", "No abnormal", "The chest is", "No significant")
    assert not any(caption.text.startswith(normal) for caption in written(labels, times=600))


def test_captions_of_nihs_findings_stay_as_they_were():
    """Whoever trains again on a manifest with the same seed gets the same texts, byte for byte."""
    digest = hashlib.sha256()
    for seed in range(4000):
        chance = random.Random(seed)
        names = [name for name in known_findings() if chance.random() < 0.9] or ["mass"]
        labels = {name: chance.random() < 0.15 for name in names}
        if seed % 5 == 0:
            labels = dict.fromkeys(known_findings(), False)
        caption = write_caption(
            labels, random.Random(seed), view=("PA", "AP", "FRONTAL")[seed % 3], sex="MF"[seed % 2],
            age=str(seed % 90) if seed % 4 else "",
        )  # fmt: skip
        digest.update(f"{caption.text}|{sorted(caption.claims.items())}\n".encode())
    assert digest.hexdigest() == "9caf7198da1f122c199c3f704d4ecfa39cc7376562ca9d6048d14a09f20ea1d8"


@pytest.mark.parametrize("labels", [{}, {"bunion": True}, {"no_finding": False}])
def test_labels_without_phrases_are_an_error(labels):
    with pytest.raises(ManifestError):
        write_caption(labels, random.Random(0))
