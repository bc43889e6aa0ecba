"""What a report denies is not taken as stated, and the other way round."""

from __future__ import annotations

import pytest

from tier_cli.reports.negation import stance


def said(text: str, name: str) -> str:
    start = text.index(name)
    return stance(text, start, start + len(name))


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        # Chapman et al. 2001 and the sentences of the NegEx project, shortened.
        ("No pericardial effusion is seen.", "pericardial effusion", "negated"),
        ("Denies shortness of breath, stridor, or air hunger.", "air hunger", "negated"),
        ("There was no evidence of ulceration, mass or diverticula.", "diverticula", "negated"),
        ("There is trace mitral regurgitation.", "mitral regurgitation", "affirmed"),
        ("Neck supple, no JVD.", "JVD", "negated"),
        ("Gram negative pneumonia.", "pneumonia", "affirmed"),
        ("No change in the effusion.", "effusion", "affirmed"),
        # Irvin et al. 2019 (CheXpert), figure 2, shortened.
        (
            "reticular pattern, which can be seen with an atypical infection or chronic fibrotic change.",
            "infection",
            "uncertain",
        ),
        ("no focal consolidation.", "consolidation", "negated"),
        ("no pleural effusion or pneumothorax", "pneumothorax", "negated"),
        (
            "mild degenerative changes in the lumbar spine and old right rib fractures.",
            "fracture",
            "affirmed",
        ),
        # Ends of scope, and denials that follow.
        ("No effusion, but there is atelectasis.", "atelectasis", "affirmed"),
        ("No effusion; the heart is enlarged.", "heart", "affirmed"),
        ("No pneumothorax, small left effusion.", "effusion", "affirmed"),
        ("Mild cardiomegaly without edema.", "cardiomegaly", "affirmed"),
        ("Mild cardiomegaly without edema.", "edema", "negated"),
        ("The effusion has resolved.", "effusion", "negated"),
        ("Pneumothorax is no longer seen.", "Pneumothorax", "negated"),
        ("Effusion: none.", "Effusion", "negated"),
        ("Edema is unlikely.", "Edema", "negated"),
        # What is left open is neither.
        ("A small pneumothorax cannot be excluded.", "pneumothorax", "uncertain"),
        ("Cannot exclude a small pneumothorax.", "pneumothorax", "uncertain"),
        ("Opacity may represent atelectasis or pneumonia.", "pneumonia", "uncertain"),
        ("Possible pneumonia.", "pneumonia", "uncertain"),
        ("Atelectasis versus pneumonia.", "Atelectasis", "uncertain"),
        ("NO EFFUSION", "EFFUSION", "negated"),
    ],
)
def test_stances_of_published_and_usual_sentences(text: str, name: str, expected: str) -> None:
    assert said(text, name) == expected
