"""A finding, and a set of findings: a name with the prompts that speak for it and against it."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Finding:
    """One finding that an image is scored for.

    Parameters
    ----------
    id
        snake_case name that results and label columns carry.
    label
        The name for people, such as ``Pleural effusion``.
    aliases
        Other names that label columns and people use for it.
    positive, negative
        The prompts whose mean embeddings speak for and against the finding.
    """

    id: str
    label: str
    aliases: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The id and the aliases: all that a label column may be called."""
        return (self.id, *self.aliases)


@dataclass(frozen=True)
class FindingSet:
    """Findings in the order in which they are scored and printed."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the findings, in order."""
        return tuple(finding.id for finding in self.findings)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the ids and prompts, in order.

        Names of the set, labels and aliases are left out: no score depends on them.
        """
        content = [[f.id, list(f.positive), list(f.negative)] for f in self.findings]
        canonical = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, Finding]:
        # Reversed, so that of two findings with one name the first wins; a checked set has no such pair.
        return {fold(name): f for f in reversed(self.findings) for name in f.names}

    def match(self, column: str) -> Finding | None:
        """Give the finding whose id or alias is `column`; case, spaces, hyphens, underscores do not count."""
        return self._by_name.get(fold(column))

    def to_toml(self) -> str:
        """Write the set as TOML; `tier_cli.findings.load.parse_findings` gives an equal set back."""
        blocks = [f"name = {quote(self.name)}\n"]
        blocks += [_table(finding) for finding in self.findings]
        return "\n".join(blocks)


def fold(name: str) -> str:
    """Bring a column name, id or alias into the form in which they are compared."""
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name).casefold())


def quote(text: str) -> str:
    """Write `text` as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    # TOML wants every control character but the tab escaped; a tab is hard to see, so it is escaped too.
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m.group()):04X}", escaped) + '"'


def _table(finding: Finding) -> str:
    key = finding.id if re.fullmatch(r"[A-Za-z0-9_-]+", finding.id) else quote(finding.id)
    lines = [f"[findings.{key}]", f"label = {quote(finding.label)}"]
    if finding.aliases:
        lines.append(f"aliases = [{', '.join(map(quote, finding.aliases))}]")
    lines += [_prompts("positive", finding.positive), _prompts("negative", finding.negative)]
    return "\n".join(lines) + "\n"


def _prompts(key: str, prompts: Iterable[str]) -> str:
    return "\n".join([f"{key} = [", *(f"    {quote(prompt)}," for prompt in prompts), "]"])
