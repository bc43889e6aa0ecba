"""Measure `tier check` on altered sentences: python benchmarks/altered_reports.py MANIFEST.csv --model M

For every image of a split, sentences that its labels support are checked beside altered ones: the finding
swapped for one that is false of the image, the negation flipped, the side or the size swapped, and the same
sentence beside the image of another patient of whom it is false. The sentences are those of the manifest's
reports that claim one finding. Without reports they are phrases of training captions; sides are then those of
boxes. The tables give the AUC at which the score of a sentence tells altered from true ones, the share of
pairs in which the altered one scores lower, and how often each kind of sentence gets which verdict, with 95 %
intervals from resampling patients. The model must not have seen the patients of the split.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tier_cli.datasets.captions import phrases
from tier_cli.datasets.manifest import Manifest, read_manifest
from tier_cli.metrics.bootstrap import resample, resamplings
from tier_cli.metrics.statistics import ranking
from tier_cli.pipeline.check import ReportChecker, Study
from tier_cli.pipeline.scoring_job import ScoringJob, open_job
from tier_cli.pipeline.stream import StreamOptions
from tier_cli.reports.sentences import sentences
from tier_cli.results.checked import SentenceCheck

OTHER = "image swapped"
KINDS = ("finding swapped", "negation flipped", "side swapped", "size swapped", OTHER)
SIDES = {"left": "right", "right": "left"}
SIZES = {"small": "large", "large": "small", "mild": "severe", "severe": "mild"}
NEGATIONS = frozenset({"no", "not", "without", "absent", "negative", "normal", "clear", "sharp", "free"})
# Boxes nearer to the middle than this share of the width have no side.
MIDDLE = 0.05
Pool = dict[tuple[str, bool], list[str]]


@dataclass(frozen=True)
class Pair:
    """A true sentence of one image, and what became of it."""

    kind: str
    row: int
    true: str
    altered: str


@dataclass(frozen=True)
class Checked:
    """Both sentences of a pair as `tier check` sees them."""

    pair: Pair
    patient: str
    scores: tuple[float, float]
    checks: tuple[SentenceCheck, SentenceCheck]


def main() -> None:
    """Measure and print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("--model", default="tier-small")
    parser.add_argument("--findings")
    parser.add_argument("--split", default="valid")
    parser.add_argument("--drop", metavar="COLUMN=VALUE", help="leave out rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicates", type=int, default=1000)
    given = parser.parse_args()
    manifest = read_manifest(given.manifest).split(given.split)
    if given.drop:
        manifest = manifest.without(*given.drop.split("=", 1))
    job = open_job(given.model, given.findings, device="cpu")
    found = list(checked(job, manifest, random.Random(given.seed)))
    sys.stdout.write("\n".join([*table(found, given.replicates), "", *words(found)]) + "\n")


def checked(job: ScoringJob, manifest: Manifest, rng: random.Random) -> Iterator[Checked]:
    """Write the pairs, check them, and put both sides together."""
    checker = ReportChecker(job)
    ids = job.findings.ids
    labels = manifest.labels(job.findings)
    patients = manifest.patients()
    known, pool = statements(manifest, checker, ids, labels, rng)
    studies, pairs = [], []
    for row, path in enumerate(manifest.paths):
        other = rng.choice(np.flatnonzero(patients != patients[row]).tolist())
        swaps = (("side swapped", SIDES), ("size swapped", SIZES)) if manifest.column("text")[row] else ()
        of_row = list(alterations(row, known[row], pool, ids, labels, rng, swaps))
        of_row += with_sides(manifest, row, job, rng)
        of_row += [
            Pair(OTHER, row, text, text)
            for name, present, text in known[row]
            if labels[other, ids.index(name)] == float(not present)
        ]
        if of_row:
            report = "\n".join(f"- {text}" for one in of_row for text in (one.true, one.altered))
            studies.append(Study(report, (path,), (manifest.paths[other],)))
            pairs.append(of_row)
    for of_row, result in zip(pairs, checker.check(studies, StreamOptions(workers=1)), strict=True):
        sides = iter(result.sentences)
        for pair in of_row:
            true, altered = next(sides), next(sides)
            if true.scores and altered.scores and true.prior_scores:
                second = altered.prior_scores[0] if pair.kind == OTHER else altered.scores[0]
                yield Checked(pair, str(patients[pair.row]), (true.scores[0], second), (true, altered))


def statements(
    manifest: Manifest,
    checker: ReportChecker,
    ids: Sequence[str],
    labels: NDArray[np.float64],
    rng: random.Random,
) -> tuple[list[list[tuple[str, bool, str]]], Pool]:
    """Return the true sentences of each image (finding, present, text), and all by what they claim."""
    pool: Pool = defaultdict(list)
    known: list[list[tuple[str, bool, str]]] = []
    texts = manifest.column("text")
    if not (texts != "").any():
        pool.update({(name, side): list(phrases(name)[not side]) for name in ids for side in (True, False)})
    for row, report in enumerate(texts):
        of_row = []
        if report:
            for text in sentences(str(report)):
                claims = checker.vocabulary.mentions(text.text)
                if len(claims) == 1 and claims[0].stance != "uncertain":
                    present = claims[0].stance == "affirmed"
                    if labels[row, ids.index(claims[0].finding)] == float(present):
                        of_row.append((claims[0].finding, present, text.text))
                        pool[claims[0].finding, present].append(text.text)
        else:
            there = [name for name, label in zip(ids, labels[row], strict=True) if label == 1]
            absent = [name for name, label in zip(ids, labels[row], strict=True) if label == 0]
            chosen = there + rng.sample(absent, min(len(absent), max(1, len(there))))
            of_row = [
                (name, name in there, rng.choice(pool[name, name in there]))
                for name in chosen
                if pool[name, name in there]
            ]
        known.append(of_row)
    return known, pool


def alterations(
    row: int,
    known: Sequence[tuple[str, bool, str]],
    pool: Pool,
    ids: Sequence[str],
    labels: NDArray[np.float64],
    rng: random.Random,
    swaps: Sequence[tuple[str, dict[str, str]]],
) -> Iterator[Pair]:
    """Yield the altered sentences of one image."""
    for name, present, text in known:
        if pool[name, not present]:
            yield Pair("negation flipped", row, text, rng.choice(pool[name, not present]))
        false = [
            other
            for other in ids
            if labels[row, ids.index(other)] == float(not present) and pool[other, present]
        ]
        if false:
            yield Pair("finding swapped", row, text, rng.choice(pool[rng.choice(false), present]))
        for kind, others in swaps:
            found = re.findall(rf"\b(?:{'|'.join(others)})\b", text, re.IGNORECASE)
            if present and len(found) == 1:
                yield Pair(kind, row, text, swapped(text, found[0], others))


def swapped(text: str, word: str, swaps: dict[str, str]) -> str:
    """Return a text with one word swapped, in its case."""
    other = swaps[word.lower()]
    return text.replace(word, other.capitalize() if word[0].isupper() else other)


def with_sides(manifest: Manifest, row: int, job: ScoringJob, rng: random.Random) -> list[Pair]:
    """Return sentences on the sides of boxes, for manifests without reports."""
    cell = str(manifest.column("boxes")[row])
    if manifest.column("text")[row] or not cell:
        return []
    sides: dict[str, set[str]] = defaultdict(set)
    for one in json.loads(cell):
        finding = job.findings.match(one["finding"])
        if finding is not None:
            x0, _, x1, _ = one["box"]
            place = (x0 + x1) / 2 / one["size"][0] - 0.5
            # The patient's right side is on the left of the picture.
            sides[finding.label].add("middle" if abs(place) < MIDDLE else "right" if place < 0 else "left")
    pairs = []
    for label, of_label in sides.items():
        (side, *more) = sorted(of_label)
        if not more and side != "middle" and label != "Cardiomegaly":
            frame = rng.choice(("{} {}.", "There is {} {}."))
            texts = [frame.format(one, label.lower()) for one in (side, SIDES[side])]
            true, altered = (text[0].upper() + text[1:] for text in texts)
            pairs.append(Pair("side swapped", row, true, altered))
    return pairs


def table(found: Sequence[Checked], replicates: int) -> list[str]:
    """Return the rows for each kind of alteration."""
    lines = [
        "| altered | pairs (patients) | AUC of the score | altered scores lower "
        "| not supported: altered, true | doubtful or not supported: altered, true | cannot tell |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        for stance in ("", "affirmed", "negated") if kind in KINDS[:2] else ("",):
            chosen = [
                one
                for one in found
                if one.pair.kind == kind and stance in ("", one.checks[0].claims[0].mention.stance)
            ]
            if len(chosen) > 1:
                lines.append(
                    _row(f"{kind}{f', true one {stance}' if stance else ''}", kind, chosen, replicates)
                )
    return lines


def _row(name: str, kind: str, chosen: Sequence[Checked], replicates: int) -> str:
    patients = np.array([one.patient for one in chosen])
    scores = np.array([one.scores for one in chosen])
    labels = np.repeat([[0.0], [1.0]], len(chosen), axis=0)
    twice = np.concatenate([patients, patients])
    areas = ranking(labels, -scores.T.reshape(-1, 1), auprc=False)
    area = resample({"score": areas}, twice, replicates=replicates)["score"]["auc"]
    low, high = area.interval()[0]
    lower = (scores[:, 1] < scores[:, 0]) + (scores[:, 1] == scores[:, 0]) / 2
    cells = [
        name,
        f"{len(chosen):,} ({len(np.unique(patients)):,})",
        f"{area.point[0]:.3f} [{low:.3f}, {high:.3f}]",
        share(lower, patients, replicates),
    ]
    for verdicts in (("not_supported",), ("doubtful", "not_supported")):
        if kind == OTHER:
            cells.append("")
            continue
        flags = np.array([[one.verdict in verdicts for one in each.checks] for each in chosen], np.float64)
        cells.append(", ".join(share(flags[:, side], patients, replicates) for side in (1, 0)))
    unknown = np.array([one.checks[0].verdict == "cannot_tell" for one in chosen], np.float64)
    cells.append(share(unknown, patients, replicates))
    return f"| {' | '.join(cells)} |"


def share(values: NDArray[np.float64], patients: NDArray[np.str_], replicates: int) -> str:
    """Return a mean with the percentiles of its resamplings by patient."""
    drawn = [
        mean
        for _, weights in resamplings(patients, replicates, 0)
        for mean in (weights @ values / np.maximum(weights.sum(axis=1), 1)).tolist()
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def words(found: Sequence[Checked]) -> list[str]:
    """Return how often the word that lowers the fit most is one that makes the false claim."""
    lines = [
        "| altered | sentences | worst word makes the claim | share of such words |",
        "| --- | --- | --- | --- |",
    ]
    for kind in KINDS[:2]:
        hits, chances = [], []
        for one in found:
            check = one.checks[1]
            if one.pair.kind != kind or not check.words:
                continue
            span = check.claims[0].mention
            guilty = [
                span.start <= word.start < span.end
                or check.sentence.text[word.start : word.end].lower() in NEGATIONS
                for word in check.words
            ]
            worst = min(range(len(check.words)), key=lambda number: check.words[number].contribution)
            hits.append(guilty[worst])
            chances.append(np.mean(guilty))
        if hits:
            lines.append(f"| {kind} | {len(hits)} | {np.mean(hits):.2f} | {np.mean(chances):.2f} |")
    return lines


if __name__ == "__main__":
    main()
