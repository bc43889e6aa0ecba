"""A published number is shown only for the same images and findings."""

import pytest

from tier_cli.evaluation.yardsticks import comparable, yardsticks
from tier_cli.findings.load import builtin

FIVE = builtin("chexpert5").ids


def test_the_same_images_and_findings_show_the_published_numbers():
    found = comparable("chexpert", "test", "image", 668, FIVE)
    assert [one.auc for one in found] == [0.903, 0.897, 0.894]
    assert "MLHC 2023" in found[0].source


@pytest.mark.parametrize(
    "other",
    [
        ("chexpert", "valid", "image", 668, FIVE),
        ("chexpert", "test", "study", 668, FIVE),
        ("chexpert", "test", "image", 667, FIVE),
        ("chexpert", "test", "image", 668, FIVE[:4]),
        ("csv", "test", "image", 668, FIVE),
    ],
)
def test_other_images_or_findings_show_none(other):
    assert comparable(*other) == ()


def test_every_number_says_what_chose_the_model_and_which_prompts_were_used():
    for one in yardsticks():
        assert one.selection
        assert one.prompts
        assert 0.5 < one.auc < 1


def test_padchest_is_measured_over_all_57_labels():
    found = comparable("padchest", "test", "image", 39053, builtin("padchest57").ids)
    assert [one.auc for one in found] == [0.755, 0.743, 0.726]
