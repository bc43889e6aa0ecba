"""Sentences name the findings that a reader finds in them, and no others."""

from __future__ import annotations

import random
import time

import pytest

from tier_cli.datasets.captions import known_findings, phrases, write_caption
from tier_cli.datasets.vocabulary import vocabulary_of
from tier_cli.findings.load import builtin, load_findings
from tier_cli.reports.mentions import Vocabulary
from tier_cli.reports.sentences import sentences

STANCES = {True: "affirmed", False: "negated"}


@pytest.fixture(scope="module")
def nih() -> Vocabulary:
    return vocabulary_of(builtin("nih14"))


def named(vocabulary: Vocabulary, text: str) -> set[tuple[str, str]]:
    return {(one.finding, one.stance) for one in vocabulary.mentions(text)}


def test_captions_say_what_their_writer_claims(nih: Vocabulary) -> None:
    rng = random.Random(0)
    for _ in range(150):
        labels = {name: rng.random() < 0.3 for name in known_findings()}
        caption = write_caption(labels, rng)
        found = set().union(*(named(nih, one.text) for one in sentences(caption.text)))
        if len(caption.claims) < len(known_findings()):
            assert found == {(name, STANCES[value]) for name, value in caption.claims.items()}, caption.text


def test_every_phrase_of_a_finding_names_it_alone(nih: Vocabulary) -> None:
    for name in known_findings():
        for value, texts in zip((True, False), phrases(name), strict=True):
            for text in texts:
                assert named(nih, text) == {(name, STANCES[value])}, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heart size is within normal limits.", {("cardiomegaly", "negated")}),
        ("The heart is mildly enlarged.", {("cardiomegaly", "affirmed")}),
        ("Trace pericardial effusion.", set()),
        ("No pleural or pericardial effusion.", {("effusion", "negated")}),
        ("Right lung nodules and a 4 cm mass.", {("nodule", "affirmed"), ("mass", "affirmed")}),
        ("Pulmonary oedema.", {("edema", "affirmed")}),
        ("The lungs are clear.", set()),
        ("No acute cardiopulmonary process.", set()),
        ("Endotracheal tube in place.", set()),
        ("The massive aorta is consolidated with fibrosing tissue.", set()),
    ],
)
def test_words_of_reports(nih: Vocabulary, text: str, expected: set[tuple[str, str]]) -> None:
    assert named(nih, text) == expected


def test_the_place_of_the_words_is_that_in_the_sentence(nih: Vocabulary) -> None:
    text = "There are  bilateral pleural\teffusions."
    (one,) = nih.mentions(text)
    assert text[one.start : one.end] == "pleural\teffusions"


def test_sets_with_other_names_and_findings_of_ones_own() -> None:
    chexpert = vocabulary_of(builtin("chexpert14"))
    assert named(chexpert, "The costophrenic angles are sharp.") == {("pleural_effusion", "negated")}
    # That nothing is found is no finding: "normal" would be one in half of all reports.
    assert named(chexpert, "The heart is normal in size.") == {("cardiomegaly", "negated")}
    own = vocabulary_of(load_findings("sail sign"))
    assert named(own, "Sail sign is present, no effusion.") == {("sail_sign", "affirmed")}


@pytest.mark.parametrize("part", ["effusion edema ", "effusion-"])
def test_a_sentence_of_thousands_of_words_takes_seconds(nih: Vocabulary, part: str) -> None:
    start = time.process_time()
    nih.mentions(part * (25_000 // len(part)))
    # Of quadratic growth, half a minute.
    assert time.process_time() - start < 6
