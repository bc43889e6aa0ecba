"""Read the labels that captions are written from, and what they say about each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tier_cli.datasets.captions import NORMAL, is_device, known_findings
from tier_cli.findings.load import load_findings
from tier_cli.findings.schema import fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tier_cli.datasets.manifest import Manifest
    from tier_cli.findings.schema import Finding, FindingSet

    Rows = NDArray[np.int64] | NDArray[np.bool_]

_NORMAL_NAMES = frozenset({"nofinding", "normal"})
# PadChest labels of the examination, not of the image.
_NOT_IN_CAPTIONS = frozenset({"unchanged", "suboptimal_study"})


@dataclass(frozen=True)
class CaptionLabels:
    """Labels that captions are written from.

    Parameters
    ----------
    ids
        The findings: `known_findings`, then others of the finding set for which the manifest has a column.
    others
        Names for people of these others, without `NORMAL`, by id: the argument `others` of `write_caption`.
    values
        (N, F) labels: 1, 0, -1 = uncertain, NaN = not mentioned. `NORMAL` is 1 only where nothing but devices
        is present or uncertain, and 0 where something is present.
    """

    ids: tuple[str, ...]
    others: Mapping[str, str]
    values: NDArray[np.float64]

    def rows(self, rows: Rows) -> CaptionLabels:
        """Return the labels of some rows, by a mask (N,) or by row numbers in any order."""
        return replace(self, values=self.values[rows])

    def of_image(self, row: int) -> dict[str, bool]:
        """Return the certain labels of one image, for `write_caption`."""
        return {n: bool(v) for n, v in zip(self.ids, self.values[row], strict=True) if v in (0, 1)}

    def positive(self) -> NDArray[np.bool_]:
        """Return which findings (N, F) are present; `NORMAL` never counts."""
        return np.asarray((self.values == 1) & (np.array(self.ids) != NORMAL))

    def usable(self) -> NDArray[np.bool_]:
        """Return which rows (N,) give a caption; an unnamed abnormality (`NORMAL` 0 alone) gives none."""
        certain = np.isin(self.values, (0, 1)) & (np.array(self.ids) != NORMAL)
        return np.asarray((certain | (self.values == 1)).any(axis=1))

    def unlabelled(self) -> NDArray[np.bool_]:
        """Return which rows (N,) have no label at all, not even an uncertain one."""
        return np.asarray(np.isnan(self.values).all(axis=1))

    def signs(self, rows: Rows) -> NDArray[np.float64]:
        """Return the findings (N, F) of some images: 1 present, -1 absent, 0 unknown.

        A normal image has none of the abnormal findings.
        """
        values = self.values[rows]
        signs = np.nan_to_num(np.where(values < 0, 0, values * 2 - 1))
        if NORMAL in self.ids:
            normal = values[:, self.ids.index(NORMAL)] == 1
            signs[np.ix_(normal, _abnormal(self.ids))] = -1
        return np.asarray(signs)


def read_caption_labels(
    manifest: Manifest, findings: FindingSet, labels: NDArray[np.float64]
) -> CaptionLabels:
    """Read the labels of a manifest that captions are written from.

    Parameters
    ----------
    manifest
        The rows.
    findings
        Captions also mention the findings of this set whose column is not one of `known_findings`.
    labels
        (N, F) labels of `findings` in the manifest.

    Raises
    ------
    ManifestError
        A cell is not a label, or two columns name one finding.
    """
    nih = load_findings("nih14")
    known = labels if findings == nih else manifest.labels(nih)
    ids = list(known_findings())
    columns = [known[:, [nih.ids.index(name) for name in ids]]]
    others: dict[str, str] = {}
    used, own = set(manifest.label_columns(nih).values()), manifest.label_columns(findings)
    for number, finding in enumerate(findings.findings):
        column = own.get(finding.id)
        if column is None or column in used or finding.id in _NOT_IN_CAPTIONS:
            continue
        # One name can mean two things: PadChest's mass is anywhere, NIH's in the lung.
        name = NORMAL if _is_normal(finding) else column if finding.id in ids else finding.id
        ids.append(name)
        columns.append(labels[:, [number]])
        if name != NORMAL:
            others[name] = finding.label
    return CaptionLabels(tuple(ids), others, _consistent(ids, np.hstack(columns)))


def _is_normal(finding: Finding) -> bool:
    return bool({fold(name) for name in finding.names} & _NORMAL_NAMES)


def _abnormal(ids: tuple[str, ...] | list[str]) -> NDArray[np.bool_]:
    """Return which findings (F,) a normal image does not have: all but `NORMAL` and devices."""
    return np.array([name != NORMAL and not is_device(name) for name in ids], dtype=bool)


def _consistent(ids: list[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct the column of `NORMAL`, if there is one, by the other labels."""
    if NORMAL in ids:
        place = ids.index(NORMAL)
        others = values[:, _abnormal(ids)]
        doubtful = (others == -1).any(axis=1) & (values[:, place] == 1)
        values[doubtful, place] = np.nan
        values[(others == 1).any(axis=1), place] = 0
    return values
