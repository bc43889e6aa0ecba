"""Parse TOML text into a finding set and report every problem by file, table and key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from tier_cli.errors import FindingSetError
from tier_cli.findings.check import problems
from tier_cli.findings.schema import Code, Finding, FindingSet

DEFAULT_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "positive": ("{finding} is present.", "Evidence of {finding}.", "Findings consistent with {finding}."),
    "negative": ("No {finding}.", "No evidence of {finding}.", "{finding} is absent."),
}
_SET_KEYS = ("name", "source", "templates", "findings")
_FINDING_KEYS = ("label", "aliases", "code", "positive", "negative", "templates")
_CODE_KEYS = ("scheme", "value", "meaning")
_SIDES = ("positive", "negative")


def read_toml(text: str, name: str, where: str) -> tuple[FindingSet, list[FindingSetError]]:
    """Parse a finding set and list its problems; raise only if the text is not valid TOML.

    Parameters
    ----------
    text
        The TOML text.
    name
        Name of the set if the text has no ``name`` key.
    where
        Place named in the messages, such as a file.

    Examples
    --------
    >>> fs, problems = read_toml('[findings.mass]\\npositive = ["A mass."]', "mine", "mine.toml")
    >>> fs.ids
    ('mass',)
    >>> problems[0].where, problems[0].what
    ('mine.toml [findings.mass] negative', 'no negative prompts')
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        remedy = "`tier findings show chexpert5` prints a set to copy"
        raise FindingSetError(f"not valid TOML: {error}", where=where, remedy=remedy) from error
    reader = _Reader(where)
    fs = reader.finding_set(document, name)
    # A value of the wrong type gives an empty list; reporting "no prompts" as well would be noise.
    reported = {problem.where for problem in reader.found}
    return fs, reader.found + [p for p in problems(fs, where) if p.where not in reported]


def fill(template: str, label: str) -> str:
    """Insert a label into a template: lower case within the sentence, capitalised at its start.

    A first word with capitals after its first letter, such as COPD, is kept.

    Examples
    --------
    >>> fill("No {finding}.", "Pleural effusion")
    'No pleural effusion.'
    >>> fill("{finding} is present.", "COPD")
    'COPD is present.'
    """
    first, *rest = label.split(" ")
    if first[1:] == first[1:].lower():
        first = first[:1].lower() + first[1:]
    text = template.replace("{finding}", " ".join([first, *rest]))
    return text[:1].upper() + text[1:]


class _Reader:
    """Reads one TOML document and collects its problems."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[FindingSetError] = []

    def wrong(self, what: str, place: str, remedy: str) -> None:
        self.found.append(FindingSetError(what, where=f"{self.where} {place}".rstrip(), remedy=remedy))

    def finding_set(self, document: dict[str, Any], name: str) -> FindingSet:
        self.unknown(document, _SET_KEYS, "", "at the top of the file")
        if "name" in document:
            name = self.text(document["name"], "name") or name
        source = self.text(document["source"], "source") if "source" in document else ""
        shared = self.templates(document.get("templates", {}), "[templates]")
        tables = document.get("findings", {})
        if not isinstance(tables, dict):
            self.wrong("findings must be tables", "findings", "write [findings.<id>] for each finding")
            tables = {}
        findings = tuple(self.finding(key, table, shared) for key, table in tables.items())
        return FindingSet(name, findings, source=source)

    def finding(self, key: str, table: Any, shared: Mapping[str, tuple[str, ...]]) -> Finding:
        place = f"[findings.{key}]"
        if not isinstance(table, dict):
            remedy = f"write [findings.{key}] on its own line, with its keys below"
            self.wrong(f"{key} is not a table", place, remedy)
            return Finding(key, key, (), (), ())
        self.unknown(table, _FINDING_KEYS, place, "in a finding")
        label = key.replace("_", " ").capitalize()
        if "label" in table:
            label = self.text(table["label"], f"{place} label")
        templates = shared
        if "templates" in table:
            templates = self.templates(table["templates"], f"{place} templates")
        prompts = {
            side: self.texts(table.get(side), f"{place} {side}")
            + tuple(fill(template, label) for template in templates.get(side, ()))
            for side in _SIDES
        }
        aliases = self.texts(table.get("aliases"), f"{place} aliases")
        code = self.code(table["code"], f"{place} code") if "code" in table else None
        return Finding(key, label, aliases, **prompts, code=code)

    def code(self, table: Any, place: str) -> Code | None:
        if not isinstance(table, dict) or not all(isinstance(table.get(key), str) for key in _CODE_KEYS):
            remedy = 'write code = { scheme = "SCT", value = "36118008", meaning = "Pneumothorax" }'
            self.wrong("not a code: scheme, value and meaning, as quoted strings", place, remedy)
            return None
        self.unknown(table, _CODE_KEYS, place, "in a code")
        return Code(*(table[key] for key in _CODE_KEYS))

    def templates(self, table: Any, place: str) -> dict[str, tuple[str, ...]]:
        if not isinstance(table, dict):
            remedy = 'write templates = { negative = ["No {finding}."] }'
            self.wrong("templates must be a table", place, remedy)
            return {}
        self.unknown(table, _SIDES, place, "in templates")
        filled = {side: self.texts(table.get(side), f"{place} {side}") for side in _SIDES}
        for side, texts in filled.items():
            for text in texts:
                if "{finding}" not in text:
                    remedy = f"insert {{finding}}, or move the text to {side} of a finding"
                    self.wrong(f"{text!r} has no {{finding}}", f"{place} {side}", remedy)
        return filled

    def texts(self, value: Any, place: str) -> tuple[str, ...]:
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            self.wrong("not a list of strings", place, 'write a list of quoted strings: ["...", "..."]')
            return ()
        if not value:
            self.wrong("an empty list", place, "add a string or remove the key")
        return tuple(value)

    def text(self, value: Any, place: str) -> str:
        if not isinstance(value, str) or not value.strip():
            self.wrong("not a string", place, "write a quoted string")
            return ""
        return value

    def unknown(self, table: dict[str, Any], known: tuple[str, ...], place: str, context: str) -> None:
        for key in table:
            if key not in known:
                remedy = f"{context}, use {', '.join(known)}"
                self.wrong(f"unknown key {key!r}", f"{place} {key}".strip(), remedy)
