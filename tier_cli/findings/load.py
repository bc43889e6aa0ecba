"""Load a finding set by name, from a file, or from a list of finding names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from tier_cli.errors import FindingSetError, did_you_mean
from tier_cli.findings.check import problems, raise_first
from tier_cli.findings.parse import DEFAULT_TEMPLATES, fill, read_toml
from tier_cli.findings.schema import Finding, FindingSet, fold

# A name, a file, or finding names: separated by commas in one text, or one by one in a sequence.
FindingSpec: TypeAlias = str | os.PathLike[str] | Sequence[str]

# Also the order in which finding names are looked up: general sets first.
_BUILTIN = (
    "chexpert14",
    "nih14",
    "padchest57",
    "vindr28",
    "chestxdet10",
    "nih4",
    "covid",
    "padchest192",
    "chexpert5",
    "padchest55",
)
_LARGEST_FILE = 1 << 24
_NEGATION = re.compile(r"^not\b|\b(?:no|without|absen[ct]e?|negative for|free of|denies)\b")
# Labels of PadChest that are not findings: scored like the others, but best excluded from a mean.
NO_FINDINGS = ("normal", "unchanged")
# Built-in sets that equal another set without NO_FINDINGS.
_WITHOUT_THEM = {"padchest55": "padchest57"}
# How like a known name a word must be to be taken as misspelt: any other word may be a finding of its own,
# such as "pneumonitis" beside pneumonia.
_MISSPELT_SET, _MISSPELT_FINDING = 0.75, 0.87


def builtin_names() -> tuple[str, ...]:
    """Return the names of the built-in finding sets."""
    return tuple(sorted(_BUILTIN))


def load_findings(spec: FindingSpec | None, default: FindingSet | None = None) -> FindingSet:
    """Return the finding set that `spec` names.

    Parameters
    ----------
    spec
        Name of a built-in set, a file ending in ``.toml`` (as a ``Path``, any file), or finding names: a text
        that separates them by commas, or a list; None for `default`. A name that equals the id or an alias of
        a finding of `default`, or else of a built-in set (chexpert14, nih14, padchest57, vindr28,
        chestxdet10, nih4, covid, padchest192, in this order), gives that finding with its prompts; any other
        name becomes a finding with prompts from templates, with a note if it may be misspelt.
    default
        The checkpoint's own set.

    Raises
    ------
    FindingSetError
        The set does not exist or is not valid.

    Examples
    --------
    >>> load_findings("chexpert5").ids
    ('atelectasis', 'cardiomegaly', 'consolidation', 'edema', 'pleural_effusion')
    >>> load_findings("effusion,rib fracture").ids
    ('pleural_effusion', 'rib_fracture')
    >>> load_findings(["effusion", "rib fracture"]).ids
    ('pleural_effusion', 'rib_fracture')
    >>> load_findings("sail sign").findings[0].negative
    ('No sail sign.', 'No evidence of sail sign.', 'Sail sign is absent.')
    """
    if spec is None:
        if default is None:
            remedy = f"name one of {', '.join(builtin_names())}"
            raise FindingSetError("no finding set given", remedy=remedy)
        return default
    if isinstance(spec, os.PathLike):
        path = os.fspath(spec)
        return parse_findings(read_text(path), Path(path).stem, where=path)
    spec = (spec if isinstance(spec, str) else _joined(spec)).strip()
    if spec.casefold() in _BUILTIN:
        return builtin(spec.casefold())
    if is_file(spec):
        return parse_findings(read_text(spec), Path(spec).stem, where=spec)
    return _from_names(spec, default)


def parse_findings(text: str, name: str, where: str | None = None) -> FindingSet:
    """Parse a finding set from TOML text and check it.

    Parameters
    ----------
    text
        The TOML text; see docs/findings.md.
    name
        Name of the set if the text has no ``name`` key.
    where
        Place named in the messages, such as a file; `name` by default.

    Raises
    ------
    FindingSetError
        The first problem, with file, table and key.

    Examples
    --------
    >>> lines = '[findings.sail_sign]', 'positive = ["Sail sign."]', 'negative = ["No sail sign."]'
    >>> parse_findings("\\n".join(lines), "mine").findings[0].label
    'Sail sign'
    """
    fs, found = read_toml(text, name, where or name)
    raise_first(found, where or name)
    return fs


@cache
def builtin(name: str) -> FindingSet:
    """Return a built-in finding set by its exact name."""
    if name in _WITHOUT_THEM:
        whole = builtin(_WITHOUT_THEM[name])
        return FindingSet(
            name,
            tuple(one for one in whole.findings if one.id not in NO_FINDINGS),
            source=f"{_WITHOUT_THEM[name]} without {' and '.join(NO_FINDINGS)}",
        )
    return parse_findings((files("tier_cli.findings") / "sets" / f"{name}.toml").read_text("utf-8"), name)


def is_file(spec: str) -> bool:
    """Return whether a spec names a file, regardless of the current folder."""
    # A path that does not end in .toml must exist: "nodule/mass" is a finding, /dev/fd/63 a file.
    return spec.lower().endswith(".toml") or (os.sep in spec and os.path.exists(spec))


def read_text(path: str) -> str:
    """Read the file of a finding set as UTF-8."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise FindingSetError(
                f"more than {_LARGEST_FILE >> 20} MB", where=path, remedy="name the file of a finding set"
            )
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError as error:
        raise FindingSetError("no such file", where=path, remedy="create it: `tier findings new`") from error
    except OSError as error:
        raise FindingSetError(
            f"cannot be read: {error.strerror}", where=path, remedy="name a readable file"
        ) from error
    except UnicodeDecodeError as error:
        raise FindingSetError("not UTF-8 text", where=path, remedy="save it as UTF-8") from error


def _joined(names: object) -> str:
    """Return finding names that a caller gave one by one as one text."""
    remedy = 'write them like "pneumothorax,rib fracture", or as a list of names'
    if not isinstance(names, list | tuple):
        raise FindingSetError(f"{names!r} names no findings", where="findings", remedy=remedy)
    for name in names:
        if not isinstance(name, str):
            remedy = "give names, or a FindingSet of Finding objects"
            raise FindingSetError(f"{name!r} is not a finding name", where="findings", remedy=remedy)
        if "," in name:
            remedy = "give one finding per item of the list"
            raise FindingSetError(f"{name!r} has a comma", where="findings", remedy=remedy)
    if not names:
        raise FindingSetError("no finding given", where="findings", remedy=remedy)
    return ",".join(names)


def _from_names(spec: str, default: FindingSet | None) -> FindingSet:
    odd = next((sign for sign in (";", "\n", "\r", "\t") if sign in spec), None)
    if odd is not None:
        what = f"contains {'a semicolon' if odd == ';' else 'a line break or tab'}"
        raise FindingSetError(what, where=f"findings {spec!r}", remedy="separate names with commas")
    words = [" ".join(word.split()) for word in spec.split(",")]
    if not all(words):
        what = "a finding name is empty" if spec else "no finding given"
        remedy = 'write them like "pneumothorax,rib fracture"'
        raise FindingSetError(what, where=f"findings {spec!r}", remedy=remedy)
    known = [_known(word, default) for word in words]
    if len(words) == 1:
        _refuse_misspelt_set(words[0], default)
    else:
        _refuse_sets(spec, words, known)
    findings = [found[0] if found else _new(word) for word, found in zip(words, known, strict=True)]
    for n, finding in enumerate(findings):
        if finding.id in {other.id for other in findings[:n]}:
            what = f"{words[n]!r} names {finding.id} again"
            raise FindingSetError(what, where=f"findings {spec!r}", remedy="name it once")
    notes = tuple(
        _match_note(word, *found) if found else _misspelt_note(word, default)
        for word, found in zip(words, known, strict=True)
    )
    name = ",".join(finding.id for finding in findings)
    fs = FindingSet(name, tuple(findings), tuple(note for note in notes if note))
    found = problems(fs, f"findings {spec!r}")
    if found:
        remedy = "put them into a finding set file (tier findings new)"
        raise FindingSetError(found[0].what, where=found[0].where, remedy=remedy)
    return fs


def _known(word: str, default: FindingSet | None) -> tuple[Finding, FindingSet] | None:
    """Return the finding that has a name, with the set it is from."""
    found = ((finding, fs) for fs in _sets(default) if (finding := fs.match(word)))
    return next(found, None)


def _sets(default: FindingSet | None) -> tuple[FindingSet, ...]:
    return (*([default] if default is not None else []), *map(builtin, _BUILTIN))


def _match_note(word: str, finding: Finding, fs: FindingSet) -> str | None:
    """Say which finding an alias chose; None if the word is the finding's own id or label."""
    if fold(word) in (fold(finding.id), fold(finding.label)):
        return None
    return f"{word!r} is scored as {finding.id} ({finding.label}), with the prompts of {fs.name}"


def _misspelt_note(word: str, default: FindingSet | None) -> str | None:
    """Say that a name which resembles a known one is scored as it is; None if it resembles none."""
    names = (name for fs in _sets(default) for finding in fs.findings for name in finding.names)
    near = did_you_mean(word, names, _MISSPELT_FINDING)
    return f"{word!r} is not a known finding{near}: its prompts are made from its name" if near else None


def _refuse_sets(spec: str, words: list[str], known: list[tuple[Finding, FindingSet] | None]) -> None:
    """Refuse the name of a set in a list, which would otherwise be scored as a finding."""
    for word, found in zip(words, known, strict=True):
        if found is None and (word.casefold() in _BUILTIN or is_file(word)):
            raise FindingSetError(
                f"{word!r} is a finding set, and a list takes only findings",
                where=f"findings {spec!r}",
                remedy="name the set alone, or the findings of it one by one",
            )


def _new(word: str) -> Finding:
    if re.search(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", word):
        remedy = "a finding set file must end in .toml"
        raise FindingSetError("looks like a file, not a finding", where=f"findings {word!r}", remedy=remedy)
    if (negation := _NEGATION.search(word.casefold())) is not None:
        raise FindingSetError(
            f"{word!r} is a denial ({negation.group()!r})",
            where="findings",
            remedy="name what is seen, such as effusion: a low score is its absence. Prompts of your own go"
            " into a"
            " finding set file (tier findings new)",
        )
    plain = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode("ascii")
    name = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    if not name:
        remedy = "write a finding set file with an id in Latin letters (tier findings new)"
        raise FindingSetError(f"cannot derive an id from {word!r}", remedy=remedy)
    prompts = {side: tuple(fill(t, word) for t in templates) for side, templates in DEFAULT_TEMPLATES.items()}
    return Finding(name, word[:1].upper() + word[1:], (), prompts["positive"], prompts["negative"])


def _refuse_misspelt_set(word: str, default: FindingSet | None) -> None:
    """Refuse a misspelt set name, which would otherwise be scored as a finding."""
    near = did_you_mean(word, builtin_names(), _MISSPELT_SET)
    if near and _known(word, default) is None:
        raise FindingSetError(
            f"{word!r} is not a finding set{near}",
            where="findings",
            remedy=f"name one of {', '.join(builtin_names())}",
        )
