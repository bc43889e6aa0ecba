"""Define a finding and a finding set: names with positive and negative prompts."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Code:
    """A coded concept, as DICOM writes it (PS3.3 section 8).

    Parameters
    ----------
    scheme
        The designator of its coding scheme: ``SCT``, ``RADLEX``, ``DCM``, or ``99...`` for a private one.
    value
        The code.
    meaning
        The code's text in its scheme.
    """

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Finding:
    """A finding that images are scored for.

    Parameters
    ----------
    id
        snake_case name used in results and label columns.
    label
        Display name, such as ``Pleural effusion``.
    aliases
        Other names of its label column.
    positive, negative
        Prompts that state and deny the finding; their mean embeddings are compared with the image.
    code
        The finding in a public coding scheme, for DICOM objects; None if it has none.
    """

    id: str
    label: str
    aliases: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    code: Code | None = field(default=None, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The id and the aliases: every name that a label column may have."""
        return (self.id, *self.aliases)


@dataclass(frozen=True)
class FindingSet:
    """Findings in the order in which they are scored and printed.

    Parameters
    ----------
    name
        Name of the set.
    findings
        The findings, in order.
    notes
        What a reader of the scores should know about how the set was chosen.
    source
        Where the findings are from, such as a data set or a paper; may be empty.

    Examples
    --------
    >>> mass = Finding("mass", "Mass", ("lung lesion",), ("A mass is present.",), ("No mass.",))
    >>> fs = FindingSet("mine", (mass,))
    >>> fs.match("Lung_Lesion") is mass
    True
    >>> print(fs.to_toml(), end="")
    name = "mine"
    <BLANKLINE>
    [findings.mass]
    label = "Mass"
    aliases = ["lung lesion"]
    positive = [
        "A mass is present.",
    ]
    negative = [
        "No mass.",
    ]
    """

    name: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)
    source: str = field(default="", compare=False)

    def __repr__(self) -> str:
        shown = ", ".join(self.ids[:3]) + (f", and {len(self.ids) - 3} more" if len(self.ids) > 3 else "")
        return f"<FindingSet {self.name}: {shown}>"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the findings, in order."""
        return tuple(finding.id for finding in self.findings)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the ids and prompts, in order.

        The name of the set, labels, aliases and codes are excluded: no score depends on them.
        """
        content = [[f.id, list(f.positive), list(f.negative)] for f in self.findings]
        canonical = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, Finding]:
        # Reversed so that the first of two findings with one name wins; a checked set has no such pair.
        return {fold(name): f for f in reversed(self.findings) for name in f.names}

    def match(self, column: str) -> Finding | None:
        """Return the finding with this id or alias, ignoring case, spaces, hyphens and underscores."""
        return self._by_name.get(fold(column))

    def to_toml(self, *, codes: bool = True) -> str:
        """Return the set as TOML, which `tier_cli.findings.load.parse_findings` reads back.

        Parameters
        ----------
        codes
            Include the codes of the findings.
        """
        source = f"source = {quote(self.source)}\n" if self.source else ""
        blocks = [f"name = {quote(self.name)}\n{source}"]
        blocks += [_table(finding, codes) for finding in self.findings]
        return "\n".join(blocks)


def fold(name: str) -> str:
    """Normalise a column name, id or alias for comparison.

    Examples
    --------
    >>> fold("Pleural Effusion") == fold("pleural_effusion")
    True
    """
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name).casefold())


def quote(text: str) -> str:
    """Return `text` as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    # TOML requires control characters other than the tab to be escaped; a tab is invisible, so escape it too.
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m.group()):04X}", escaped) + '"'


def _table(finding: Finding, codes: bool) -> str:
    key = finding.id if re.fullmatch(r"[A-Za-z0-9_-]+", finding.id) else quote(finding.id)
    lines = [f"[findings.{key}]", f"label = {quote(finding.label)}"]
    if finding.aliases:
        lines.append(f"aliases = [{', '.join(map(quote, finding.aliases))}]")
    if codes and (code := finding.code) is not None:
        texts = f"scheme = {quote(code.scheme)}, value = {quote(code.value)}, meaning = {quote(code.meaning)}"
        lines.append(f"code = {{ {texts} }}")
    lines += [_prompts("positive", finding.positive), _prompts("negative", finding.negative)]
    return "\n".join(lines) + "\n"


def _prompts(key: str, prompts: Iterable[str]) -> str:
    return "\n".join([f"{key} = [", *(f"    {quote(prompt)}," for prompt in prompts), "]"])
