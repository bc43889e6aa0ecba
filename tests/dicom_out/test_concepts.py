"""The code that a finding has in a report."""

from __future__ import annotations

from dataclasses import replace

from tier_cli.dicom_out.concepts import code_of
from tier_cli.findings.codes import code_fault
from tier_cli.findings.load import builtin, builtin_names, load_findings
from tier_cli.findings.schema import Code


def test_checkpoint_s_own_set_without_codes_has_those_of_the_built_in_findings() -> None:
    stored = replace(builtin("chexpert14").findings[9], code=None, positive=("Another prompt.",))
    assert code_of(stored) == Code("SCT", "36118008", "Pneumothorax")
    # Another label may mean another finding.
    assert code_of(replace(stored, label="Traumatic pneumothorax")).scheme == "99TIER"


def test_findings_of_two_users_with_one_id_have_different_private_codes() -> None:
    one, other = load_findings("sail sign").findings[0], load_findings("sail sign").findings[0]
    assert code_of(one) == code_of(other)
    assert code_of(one).value != code_of(replace(other, positive=("A sail.",))).value


def test_every_private_code_of_a_built_in_finding_is_its_id() -> None:
    for name in builtin_names():
        for finding in builtin(name).findings:
            code = code_of(finding)
            assert code_fault(code) is None
            assert code.scheme != "99TIER" or code.value == finding.id
