"""Measure the rules of negation: python benchmarks/negation.py Annotations-1-120.txt

The file is that of the NegEx project (github.com/chapmanbe/negex, folder negex.python): conditions in
sentences of 120 clinical reports, annotated as affirmed or negated. What is left open counts as affirmed.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

from tier_cli.reports.negation import stance


def main() -> None:
    """Count denials that are found, and found ones that are denials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentences", type=Path, help="the annotated sentences, a tab-separated file")
    lines = parser.parse_args().sentences.read_text("latin-1").splitlines()[1:]
    rows = list(csv.reader(lines, delimiter="\t"))
    counts: Counter[tuple[bool, bool]] = Counter()
    for _, condition, sentence, annotated, *_ in rows:
        # The condition stands in its sentence in capitals; a few do not.
        name = condition.strip().strip('"')
        start = sentence.find(name.upper())
        if start >= 0:
            found = stance(sentence, start, start + len(name)) == "negated"
            counts[annotated.strip() == "Negated", found] += 1
    right = counts[True, True]
    sys.stdout.write(
        f"{counts.total()} of {len(rows)} conditions: {right} of {right + counts[True, False]} denials are "
        f"found, {right} of {right + counts[False, True]} found ones are denials\n"
    )


if __name__ == "__main__":
    main()
