"""Check the content of a finding set: ids, names, codes, prompts, laterality."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from tier_cli.errors import FindingSetError
from tier_cli.findings.codes import code_fault
from tier_cli.findings.schema import Finding, FindingSet, fold

# Reserved columns of a manifest, which are never labels (tier_cli.datasets.manifest).
RESERVED = frozenset(
    {"path", "patient", "study", "series", "instance", "view", "sex", "age", "text", "split", "source"}
    | {"boxes", "mask"}
)
_ID = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
# A denial of a denial, as the templates make of a finding such as "without effusion".
_DENIED_TWICE = re.compile(r"\b(?:no|not|without|(?:absence|evidence) of) (?:no|not|without|absence of)\b")
# Beyond any known list, and few enough for memory and for tables.
_MOST_FINDINGS, _MOST_PROMPTS, _LONGEST_TEXT = 5_000, 1_000, 10_000
_SIDE = re.compile(r"\b(left|right)(?:wards?|sided)?\b")


def problems(fs: FindingSet, where: str | None = None) -> list[FindingSetError]:
    """Return the problems of a finding set, in the order of its findings.

    Parameters
    ----------
    fs
        The finding set.
    where
        Place named in the messages, such as a file; the set's name by default.

    Examples
    --------
    >>> from tier_cli.findings.schema import Finding, FindingSet
    >>> mass = Finding("mass", "Mass", (), ("A mass.", "a mass"), ("No mass.",))
    >>> for problem in problems(FindingSet("mine", (mass,))):
    ...     print(problem)
    mine [findings.mass] positive: 'a mass' is repeated; remove one of them
    """
    place = where or fs.name
    found = []
    if len(fs.findings) > _MOST_FINDINGS:
        remedy = f"write sets of at most {_MOST_FINDINGS}"
        return [_problem(f"the set has {len(fs.findings)} findings", place, "", remedy)]
    if not fs.findings:
        found = [_problem("the set has no findings", place, "", "add a [findings.<id>] table")]
    for finding in fs.findings:
        table = f"{place} [findings.{finding.id}]"
        found += [*_names(finding, table), *_texts(finding, table)]
        found += [*_repeated(finding, table), *_laterality(finding, table), *_code(finding, table)]
    return [*found, *_collisions(fs, place), *_shared_prompts(fs, place)]


def raise_first(found: list[FindingSetError], where: str) -> None:
    """Raise the first problem with the number of others; do nothing if there is none."""
    if not found:
        return
    first, more = found[0], len(found) - 1
    if not more:
        raise first
    rest = f"{more} more problem{'s' if more > 1 else ''}: `tier findings check {where}` lists all"
    remedy = f"{first.remedy} ({rest})" if first.remedy else rest
    raise FindingSetError(first.what, where=first.where, remedy=remedy)


def prompt_key(prompt: str) -> str:
    """Normalise a prompt for comparison: ignore case, white space and a final full stop.

    Examples
    --------
    >>> prompt_key("No  Effusion.")
    'no effusion'
    """
    return " ".join(prompt.casefold().split()).rstrip(" .")


def _problem(what: str, place: str, key: str, remedy: str) -> FindingSetError:
    return FindingSetError(what, where=f"{place} {key}".rstrip(), remedy=remedy)


def _names(finding: Finding, table: str) -> Iterator[FindingSetError]:
    if not _ID.fullmatch(finding.id):
        yield _problem(f"{finding.id!r} is not a valid id", table, "", "use snake_case, such as rib_fracture")
    for name in finding.names:
        if name.casefold().strip() in RESERVED:
            key = "" if name == finding.id else "aliases"
            yield _problem(f"{name!r} is a reserved column of manifests", table, key, "choose another name")
    for alias in finding.aliases:
        if alias.strip() and not fold(alias):
            yield _problem(f"{alias!r} has no letter or digit", table, "aliases", "remove it")
    for alias in _duplicates(finding.aliases, fold):
        yield _problem(f"{alias!r} is listed twice", table, "aliases", "remove one of them")


def _texts(finding: Finding, table: str) -> Iterator[FindingSetError]:
    lists = {"label": (finding.label,), "aliases": finding.aliases}
    lists |= {"positive": finding.positive, "negative": finding.negative}
    for key, texts in lists.items():
        if len(texts) > _MOST_PROMPTS:
            yield _problem(f"{len(texts)} texts", table, key, f"write at most {_MOST_PROMPTS}")
            continue
        if not texts and key != "aliases":
            remedy = f"write at least one, such as {_example(finding, key)}"
            yield _problem(f"no {key} prompts", table, key, remedy)
        for text in texts:
            yield from _text(text, table, key)


def _example(finding: Finding, key: str) -> str:
    name = finding.id.replace("_", " ")
    return f'{key} = ["No {name}."]' if key == "negative" else f'{key} = ["{name.capitalize()} is present."]'


def _text(text: str, table: str, key: str) -> Iterator[FindingSetError]:
    odd = next((c for c in text if not c.isprintable()), None)
    if len(text) > _LONGEST_TEXT:
        yield _problem(f"a text of {len(text)} characters", table, key, f"write at most {_LONGEST_TEXT}")
    elif not prompt_key(text):
        yield _problem("an empty text", table, key, "write the text or remove it")
    elif odd is not None:
        what = f"{text!r} contains an unprintable character (U+{ord(odd):04X})"
        yield _problem(what, table, key, "type it as plain text")
    elif (denied := _DENIED_TWICE.search(text.casefold())) is not None:
        what = f"{text!r} denies twice ({denied.group()!r})"
        yield _problem(what, table, key, "name what is seen, such as effusion; its score tells how likely")
    elif text != text.strip():
        yield _problem(f"{text!r} begins or ends with a space", table, key, "remove the space")


def _repeated(finding: Finding, table: str) -> Iterator[FindingSetError]:
    for key, prompts in (("positive", finding.positive), ("negative", finding.negative)):
        for prompt in _duplicates(prompts, prompt_key):
            yield _problem(f"{prompt!r} is repeated", table, key, "remove one of them")
    against = {prompt_key(prompt) for prompt in finding.negative}
    for prompt in finding.positive:
        if prompt_key(prompt) in against:
            what = f"{prompt!r} is both a positive and a negative prompt"
            yield _problem(what, table, "positive", "keep it on one side")


def _duplicates(texts: Iterable[str], key: Callable[[str], str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if key(text) in seen:
            yield text
        seen.add(key(text))


def _sides(*texts: str) -> frozenset[str]:
    return frozenset(side for text in texts for side in _SIDE.findall(text.casefold().replace("_", " ")))


def _laterality(finding: Finding, table: str) -> Iterator[FindingSetError]:
    """Report prompts that name only the side opposite to that of their finding."""
    named = _sides(finding.id) or _sides(finding.label)
    lists = {"label": (finding.label,), "aliases": finding.aliases}
    lists |= {"positive": finding.positive, "negative": finding.negative}
    if len(named) == 1:
        (side,) = named
        for key, texts in lists.items():
            for text in texts:
                if _sides(text) and side not in _sides(text):
                    what = f"{text!r} names the opposite side of a {side} finding"
                    yield _problem(what, table, key, f"write {side}")
        return
    for_it, against = _sides(*finding.positive), _sides(*finding.negative)
    if len(for_it) == len(against) == 1 and for_it != against:
        (one,), (other,) = for_it, against
        what = f"the positive prompts name only the {one} side, the negative prompts only the {other} side"
        yield _problem(what, table, "negative", f"name the {one} side in both, or no side")


def _code(finding: Finding, table: str) -> Iterator[FindingSetError]:
    if finding.code is not None and (fault := code_fault(finding.code)):
        yield _problem(fault[0], table, "code", fault[1])


def _collisions(fs: FindingSet, place: str) -> Iterator[FindingSetError]:
    owner: dict[str, Finding] = {}
    for finding in fs.findings:
        for name in dict.fromkeys(finding.names):
            other = owner.setdefault(fold(name), finding)
            if other is not finding:
                key = "aliases" if name in finding.aliases else ""
                table = f"{place} [findings.{finding.id}]"
                remedy = "each name must belong to one finding: rename or remove it"
                yield _problem(f"{name!r} already names {other.id}", table, key, remedy)


def _shared_prompts(fs: FindingSet, place: str) -> Iterator[FindingSetError]:
    owner: dict[str, Finding] = {}
    for finding in fs.findings:
        for prompt in finding.positive:
            other = owner.setdefault(prompt_key(prompt), finding)
            if other is not finding:
                table = f"{place} [findings.{finding.id}]"
                what = f"{prompt!r} is also a positive prompt of {other.id}"
                yield _problem(what, table, "positive", "keep it where it fits best")
