"""Codes of findings: those of the built-in sets are real, and no score depends on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts

from tier_cli.findings.check import problems
from tier_cli.findings.codes import code_fault
from tier_cli.findings.load import builtin, builtin_names, parse_findings
from tier_cli.findings.schema import Code, Finding, FindingSet

CODED = {
    (name, finding.id): finding.code
    for name in builtin_names()
    for finding in builtin(name).findings
    if finding.code is not None
}
SCHEMES: dict[str, Any] = dict(concepts)
MASS = Finding("mass", "Mass", (), ("A mass.",), ("No mass.",), Code("SCT", "4147007", "Mass"))


def test_codes_that_dicom_has_mean_there_what_they_mean_here() -> None:
    known = {
        (scheme, value): meaning
        for scheme, terms in SCHEMES.items()
        for values in terms.values()
        for value, (meaning, _) in values.items()
    }
    compared = 0
    for code in set(CODED.values()):
        meaning = known.get((code.scheme, code.value))
        # The dictionary has one of several texts of a SNOMED CT code: here "No status change".
        if meaning is not None and code.value != "260388006":
            assert meaning.startswith(code.meaning), code
            compared += 1
    assert compared > 30
    assert all((code.scheme, code.value) in known for code in CODED.values() if code.scheme == "DCM")


def test_one_code_means_one_thing_and_one_finding_has_one_code() -> None:
    meanings = {(code.scheme, code.value, code.meaning) for code in CODED.values()}
    assert len({meaning[:2] for meaning in meanings}) == len(meanings)
    by_label: dict[tuple[str, str], set[Code]] = {}
    for (name, key), code in CODED.items():
        label = next(one.label for one in builtin(name).findings if one.id == key)
        by_label.setdefault((key, label), set()).add(code)
    assert {pair for pair, codes in by_label.items() if len(codes) > 1} == set()


def test_no_hash_depends_on_a_code() -> None:
    with_code, without = FindingSet("a", (MASS,)), FindingSet("a", (replace(MASS, code=None),))
    assert with_code.hash == without.hash
    assert with_code == without
    # Stored before findings had codes: calibrations in the field hold them.
    assert builtin("chexpert5").hash == "8bd65055ddad2ad3aaaf9de59d5ad2c864766dff1373943296d0c58cca74d746"
    assert builtin("chexpert14").hash == "d904e53dee8112da34562a7b6187d882ef37c55402d4eb6a8fbceb345186d687"


def test_code_survives_toml_and_can_be_left_out() -> None:
    text = FindingSet("a", (MASS,)).to_toml()
    assert parse_findings(text, "a").findings[0].code == MASS.code
    assert (
        FindingSet("a", (MASS,)).to_toml(codes=False)
        == FindingSet("a", (replace(MASS, code=None),)).to_toml()
    )


@pytest.mark.parametrize(
    "code",
    [
        Code("SCT", "4147008", "Mass"),
        Code("SCT", "RID1", "Mass"),
        Code("RADLEX", "4147007", "Mass"),
        Code("SNOMED", "4147007", "Mass"),
        Code("99", "mass", "Mass"),
        Code("99WARD", "ma\\ss", "Mass"),
        Code("99WARD", "m" * 65, "Mass"),
        Code("99WARD", "mass", ""),
        Code("99WARD", "mass", "a\nb"),
        Code("99WARD", "mass", "m" * 65),
    ],
)
def test_code_that_dicom_could_not_hold_is_a_problem(code: Code) -> None:
    (problem,) = problems(FindingSet("a", (replace(MASS, code=code),)))
    assert str(problem).startswith("a [findings.mass] code: ")


@pytest.mark.parametrize("code", [Code("99WARD", "mass.1", "Mass"), Code("RADLEX", "RID5352", "x")])
def test_codes_of_other_schemes_are_accepted(code: Code) -> None:
    assert code_fault(code) is None
