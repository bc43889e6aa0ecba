"""Sentences of reports: a sentence cut in two, or two taken as one, gets a verdict on the wrong words."""

from __future__ import annotations

import time

import pytest

from tier_cli.reports.sentences import sentences


def texts(report: str) -> list[str]:
    return [one.text for one in sentences(report)]


MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough  // ?pneumonia

 COMPARISON:  Chest radiograph from ___.

 FINDINGS:

 Compared to ___, the heart is enlarged (1.5 cm increase). There is no focal consolidation,
 pleural effusion, or
 pneumothorax.  Dr. ___ has seen
 the film.

 IMPRESSION:

 1.  No acute process at ___.
 2.  Cardiomegaly vs. pericardial effusion, approx. unchanged
 3. Old fracture of T1.

 RECOMMENDATION(S):  Follow-up.
"""


def test_sections_lists_and_wrapped_lines_of_a_whole_report() -> None:
    found = [(one.section, one.text) for one in sentences(MIMIC)]
    assert found == [
        ("examination", "CHEST (PA AND LAT)"),
        ("indication", "___ year old woman with cough  // ?pneumonia"),
        ("comparison", "Chest radiograph from ___."),
        ("findings", "Compared to ___, the heart is enlarged (1.5 cm increase)."),
        ("findings", "There is no focal consolidation,  pleural effusion, or  pneumothorax."),
        ("findings", "Dr. ___ has seen  the film."),
        ("impression", "No acute process at ___."),
        ("impression", "Cardiomegaly vs. pericardial effusion, approx. unchanged"),
        ("impression", "Old fracture of T1."),
        ("recommendation", "Follow-up."),
    ]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ("No effusion. No pneumothorax.", ["No effusion.", "No pneumothorax."]),
        ("no effusion. no pneumothorax", ["no effusion.", "no pneumothorax"]),
        ("No effusion", ["No effusion"]),
        ("- No effusion\n- Heart is\n  enlarged\n* XXXX", ["No effusion", "Heart is   enlarged"]),
        ("• Clear lungs\n• Nodule", ["Clear lungs", "Nodule"]),
        ("1) Clear lungs 2) Nodule", ["Clear lungs 2) Nodule"]),
        ("1. Clear lungs. 2. A 3.5 cm nodule. 3. Scar", ["Clear lungs.", "A 3.5 cm nodule.", "Scar"]),
        ("IMPRESSION: 1. Clear lungs. 2. Nodule.", ["Clear lungs.", "Nodule."]),
        ("Chest film. IMPRESSION: Normal.", ["Chest film.", "Normal."]),
        ("**Findings**\nClear lungs.\n\n## Impression\nNormal.", ["Clear lungs.", "Normal."]),
        ("LUNGS: Clear.\nHEART: Normal size.", ["LUNGS: Clear.", "HEART: Normal size."]),
        ("Heart normal\nNo effusion\nLungs clear", ["Heart normal", "No effusion", "Lungs clear"]),
        ("No findings", ["No findings"]),
        ("XXXX. XXXX opacity in the left base. ___", ["XXXX opacity in the left base."]),
        ("Seen on [**Name. (NI) 12**] film. Stable.", ["Seen on [**Name. (NI) 12**] film.", "Stable."]),
        ("Is there a nodule? No. The heart is big.", ["Is there a nodule?", "No.", "The heart is big."]),
        ("As on Jan. 12 in size. Read by J. Smith.", ["As on Jan. 12 in size.", "Read by J. Smith."]),
        ("Fractures of T1. and T2 are old.", ["Fractures of T1. and T2 are old."]),
        ("The tube ends at T4. The heart is large.", ["The tube ends at T4.", "The heart is large."]),
        ("Measures 2.5 cm. No effusion.", ["Measures 2.5 cm.", "No effusion."]),
        ('The report said "normal." It was.', ['The report said "normal."', "It was."]),
        ("", []),
        (" \n\n ", []),
        ("___", []),
        ("FINDINGS:\n\nIMPRESSION:\n", []),
    ],
)  # fmt: skip
def test_sentences_as_a_reader_counts_them(report: str, expected: list[str]) -> None:
    assert texts(report) == expected


def test_spans_lead_back_to_the_report() -> None:
    report = MIMIC.replace("\n", "\r\n")
    found = sentences(report)
    assert len(found) == 10
    for one in found:
        # Character by character, so that a word can be marked where it stands.
        assert one.text.split() == report[one.start : one.end].split()
        assert len(one.text) == one.end - one.start
    assert [one.start for one in found] == sorted(one.start for one in found)


def test_a_line_break_before_a_capital_in_wrapped_text_does_not_end_a_sentence() -> None:
    report = "There is a small apical pneumothorax on the left side, where the\nPICC line ends."
    assert len(texts(report)) == 1


HOSTILE = {
    **{
        part: part * (100_000 // len(part))
        for part in ("[**", "No. ", "1. a\n", " \n", "FINDINGS: ", "___. ", "Findings:\n")
    },
    "a run of stops": "." * 100_000 + "x",
    "spaces after a stop": "A." + " " * 100_000 + "x",
    "spaces after a word": "a" + " " * 100_000 + ".",
}


@pytest.mark.parametrize("report", HOSTILE.values(), ids=HOSTILE)
def test_a_long_text_of_marks_takes_no_time(report: str) -> None:
    start = time.process_time()
    sentences(report)
    # Of quadratic growth, minutes.
    assert time.process_time() - start < 8
