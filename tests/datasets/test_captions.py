"""Captions say what the labels say and nothing else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tier_cli.datasets.captions import known_findings, write_caption
from tier_cli.errors import ManifestError
from tier_cli.findings.load import load_findings

LABELS = st.dictionaries(st.sampled_from(known_findings()), st.booleans(), min_size=1)


@given(LABELS, st.integers(0, 2**32))
def test_claims_agree_with_the_labels(labels, seed):
    caption = write_caption(labels, random.Random(seed))
    assert caption.claims
    assert all(labels[name] == claim for name, claim in caption.claims.items())


@given(st.sampled_from(known_findings()), st.integers(0, 2**32))
def test_an_absent_finding_is_never_worded_as_present(name, seed):
    text = write_caption({name: False}, random.Random(seed)).text.lower()
    denials = (
        "no ",
        "without",
        "not ",
        "absent",
        "negative for",
        "normal",
        "sharp",
        "clear",
        "free of",
        "fully",
    )
    assert any(word in text for word in denials), text


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
def test_no_image_is_said_to_be_of_another_view(view, said):
    assert f"{said} chest radiograph" in headed(view)
    others = {"Lateral", "Oblique", "Frontal", "AP", "PA"} - {said}
    assert not any(f"{other} " in headed(view) for other in others)


@pytest.mark.parametrize("view", ["", "COSTAL"])
def test_of_an_unknown_view_no_direction_is_said(view):
    assert "Chest radiograph of a 61-year-old woman" in headed(view)
    assert not any(word in headed(view) for word in ("Frontal", "Lateral", "view", "projection", "  "))


def test_captions_know_the_findings_of_the_nih_set():
    assert set(known_findings()) == set(load_findings("nih14").ids)


@pytest.mark.parametrize("labels", [{}, {"bunion": True}])
def test_what_cannot_be_described_is_an_error(labels):
    with pytest.raises(ManifestError):
        write_caption(labels, random.Random(0))
