"""The finding set and its TOML."""

from __future__ import annotations

import dataclasses
import pickle
import tomllib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tier_cli.findings.check import problems
from tier_cli.findings.load import builtin, builtin_names, parse_findings
from tier_cli.findings.schema import Finding, FindingSet, quote

# TOML is Unicode scalar values: only surrogates cannot be written.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
# What `str.isprintable` accepts, without drawing and refusing the rest.
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=12)


@st.composite
def finding_sets(draw: st.DrawFn) -> FindingSet:
    """Draw a set that is nearly always sound: a number in every text keeps the texts apart."""
    number = 0

    def text() -> str:
        nonlocal number
        number += 1
        return f"x{draw(PRINTABLE)}x{number}"

    def texts(least: int) -> tuple[str, ...]:
        return tuple(text() for _ in range(draw(st.integers(least, 3))))

    ids = draw(
        st.lists(st.from_regex(r"[a-z0-9]{1,5}(_[a-z0-9]{1,5})?", fullmatch=True), min_size=1, max_size=3)
    )
    found = [Finding(f"{name}_{n}", text(), texts(0), texts(1), texts(1)) for n, name in enumerate(ids)]
    return FindingSet(text(), tuple(found))


@given(ANY_TEXT)
def test_any_text_survives_toml(text: str) -> None:
    assert tomllib.loads(f"key = {quote(text)}") == {"key": text}


@settings(max_examples=40)
@given(finding_sets())
def test_sound_sets_survive_toml(fs: FindingSet) -> None:
    assume(not problems(fs))
    again = parse_findings(fs.to_toml(), "another name")
    assert again == fs
    assert again.hash == fs.hash


@pytest.mark.parametrize("name", builtin_names())
def test_builtin_sets_survive_toml(name: str) -> None:
    assert parse_findings(builtin(name).to_toml(), "x") == builtin(name)


def test_an_odd_id_is_written_as_a_quoted_key() -> None:
    fs = FindingSet("x", (Finding("rib fracture", "Rib fracture", (), ("a",), ("b",)),))
    assert list(tomllib.loads(fs.to_toml())["findings"]) == ["rib fracture"]


def test_the_hash_follows_what_changes_scores() -> None:
    fs = builtin("chexpert5")
    first = fs.findings[0]

    def changed(**change: object) -> str:
        finding = dataclasses.replace(first, **change)  # type: ignore[arg-type]
        return dataclasses.replace(fs, findings=(finding, *fs.findings[1:])).hash

    assert len(fs.hash) == 64
    assert changed(label="Another", aliases=("x",)) == fs.hash
    assert dataclasses.replace(fs, name="other").hash == fs.hash
    others = [
        changed(id="another"),
        changed(positive=first.positive[1:]),
        changed(positive=first.negative, negative=first.positive),
        changed(negative=(*first.negative, "x")),
        changed(positive=(first.positive[0].lower(), *first.positive[1:])),
        dataclasses.replace(fs, findings=fs.findings[::-1]).hash,
        fs.hash,
    ]
    assert len(set(others)) == len(others)


def test_moving_a_prompt_to_another_finding_changes_the_hash() -> None:
    one = FindingSet("x", (Finding("a", "A", (), ("p", "q"), ("r",)),))
    two = FindingSet("x", (Finding("a", "A", (), ("p",), ("q", "r")),))
    assert one.hash != two.hash


@pytest.mark.parametrize("column", ["Pleural Effusion", "pleural_effusion", " PLEURAL-EFFUSION ", "effusion"])
def test_columns_match_by_id_or_alias(column: str) -> None:
    found = builtin("chexpert14").match(column)
    assert found is not None
    assert found.id == "pleural_effusion"


@pytest.mark.parametrize("column", ["", "pleural", "Patient ID", "Pleural Effusion 2"])
def test_other_columns_do_not_match(column: str) -> None:
    assert builtin("chexpert14").match(column) is None


def test_a_set_travels_to_worker_processes() -> None:
    fs = builtin("nih14")
    assert fs.match("Hernia")
    assert pickle.loads(pickle.dumps(fs)) == fs  # noqa: S301 -- what multiprocessing does
