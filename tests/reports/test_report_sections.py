"""Sections of reports that training reads."""

from __future__ import annotations

import pytest

from tier_cli.reports.sections import clean, section, sections

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough  // ?pneumonia

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  ___

 FINDINGS:{space}

 The lungs are clear.  Compared to ___, the heart
 is enlarged (1.5 cm).
{space}
 IMPRESSION:{space}
{space}
 1.  No acute process at ___.
 2.  Cardiomegaly.

 RECOMMENDATION(S):  Follow-up by Dr. ___.

 NOTIFICATION:  discussed with Dr. ___ by phone.
""".replace("{space}", " ")


def test_impression_findings_and_both_of_a_report() -> None:
    impression = "1. No acute process at. 2. Cardiomegaly."
    findings = "The lungs are clear. Compared to, the heart is enlarged (1.5 cm)."
    assert section(MIMIC, "impression") == impression
    assert section(MIMIC, "findings") == findings
    assert section(MIMIC, "both") == f"{findings} {impression}"


def test_advice_inside_the_impression_is_cut() -> None:
    text = " IMPRESSION: No effusion. NOTIFICATION: Dr. ___ was told.\n"
    assert section(text, "impression") == "No effusion."
    assert section(" IMPRESSION: Clear.  RECOMMENDATIONS: CT.", "impression") == "Clear."


def test_the_last_impression_counts_and_an_empty_one_does_not() -> None:
    text = " IMPRESSION: Clear.\n\n ADDENDUM: x\n\n IMPRESSION: Nodule.\n\n FINDINGS:\n\n IMPRESSION:\n"
    assert section(text, "impression") == "Nodule."


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("IMPRESSON", "impression"),
        ("CONCLUSION", "impression"),
        ("FINDINGS AND IMPRESSION", "impression"),
        ("Impression", "impression"),
        ("FINDINS", "findings"),
        ("CHEST, TWO VIEWS", "findings"),
        ("PA AND LATERAL VIEWS OF THE CHEST", "findings"),
        ("REASON FOR EXAMINATION", "reason for examination"),
        ("CLINICAL HISTORY", "history"),
        ("COMPARISON", "comparison"),
    ],
)
def test_headers_under_their_many_names(header: str, name: str) -> None:
    assert sections(f" {header}: There is oedema.\n")[name].strip() == "There is oedema."


def test_without_either_section_the_last_paragraph_is_read() -> None:
    text = "  FINAL REPORT\n HISTORY:  Fever.\n \n Lungs clear.\n \n No effusion.\n"
    assert section(text, "impression") == section(text, "findings") == "Lungs clear. No effusion."


def test_headers_without_content_give_no_text() -> None:
    text = "  FINAL REPORT\n HISTORY: Fever.\n \n Clear lungs.\n \n IMPRESSION:\n \n EXAMINATION: ___\n"
    assert section(text, "impression") == ""
    # An empty impression at the end does not hide the paragraph before it.
    text = "  FINAL REPORT\n HISTORY: Fever.\n \n Clear lungs.\n \n IMPRESSION:\n"
    assert section(text, "impression") == "Clear lungs."
    assert section("  FINAL REPORT\n FINDINGS:\n \n CONCLUSION:\n", "both") == ""


def test_a_report_with_findings_alone_has_no_impression() -> None:
    # The last paragraph of the findings would pass for an impression otherwise.
    text = " FINDINGS: Lungs clear.\n\n No effusion.\n"
    assert section(text, "impression") == ""
    assert section(text, "both") == "Lungs clear. No effusion."


def test_an_impression_in_the_middle_of_a_line_is_found() -> None:
    assert section("Chest film. IMPRESSION: Normal.", "impression") == "Normal."


@pytest.mark.parametrize(
    "text", ["", "   \n", " IMPRESSION: ___.\n", " IMPRESSION: XXXX. XXXX\n", "no header here"]
)
def test_a_report_without_content_gives_no_text(text: str) -> None:
    assert section(text, "impression") == ""


def test_deidentification_blanks_are_removed() -> None:
    assert clean("XXXX-year-old. Seen on  XXXX , unchanged .\n No XXXX. ") == (
        "year-old. Seen on, unchanged. No."
    )
    assert clean("Dated [**2101-1-1**]; stable") == "Dated; stable"
    assert clean("Axxxxis kept, MAXXX too") == "Axxxxis kept, MAXXX too"
