"""What the labels of a manifest let captions say, and what they make known of its images."""

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

    Rows = NDArray[np.int64]

_NORMAL_NAMES = frozenset({"nofinding", "normal"})
# PadChest's labels of an examination, not of what is seen.
_UNSPOKEN = frozenset({"unchanged", "suboptimal_study"})


@dataclass(frozen=True)
class CaptionLabels:
    """Labels that captions are written from.

    Parameters
    ----------
    ids
        The findings: `known_findings`, then others of the finding set that the manifest has a column of.
    others
        Those others but `NORMAL`: id -> name for people, as `write_caption` takes them.
    values
        (N, F) labels: 1, 0, -1 = uncertain, NaN = not mentioned. `NORMAL` is 1 only where nothing but devices
        is present or uncertain, and 0 where something is present.
    """

    ids: tuple[str, ...]
    others: Mapping[str, str]
    values: NDArray[np.float64]

    def reordered(self, order: Rows) -> CaptionLabels:
        """The labels of the rows in another order (N,)."""
        return replace(self, values=self.values[order])

    def of(self, row: int) -> dict[str, bool]:
        """What is known of one image, for `write_caption`."""
        return {n: bool(v) for n, v in zip(self.ids, self.values[row], strict=True) if v in (0, 1)}

    def positive(self) -> NDArray[np.bool_]:
        """Which findings (N, F) are present; that nothing is found is none."""
        return np.asarray((self.values == 1) & (np.array(self.ids) != NORMAL))

    def usable(self) -> NDArray[np.bool_]:
        """Of which rows (N,) a caption can be written: that something is found, unsaid what, gives none."""
        told = np.isin(self.values, (0, 1)) & (np.array(self.ids) != NORMAL)
        return np.asarray((told | (self.values == 1)).any(axis=1))

    def unlabelled(self) -> NDArray[np.bool_]:
        """Which rows (N,) have no label at all, an uncertain one neither."""
        return np.asarray(np.isnan(self.values).all(axis=1))

    def known(self, rows: Rows) -> NDArray[np.float64]:
        """Findings of images (N, F): 1 present, -1 absent, 0 not known. A normal image has none of them."""
        values = self.values[rows]
        signs = np.nan_to_num(np.where(values < 0, 0, values * 2 - 1))
        if NORMAL in self.ids:
            normal = values[:, self.ids.index(NORMAL)] == 1
            signs[np.ix_(normal, _abnormal(self.ids))] = -1
        return np.asarray(signs)


def read_caption_labels(manifest: Manifest, findings: FindingSet | None = None) -> CaptionLabels:
    """The labels of a manifest that captions are written from.

    Parameters
    ----------
    manifest
        The rows.
    findings
        Captions speak of the findings of this set too, where a column is not one of `known_findings`.

    Raises
    ------
    ManifestError
        A cell that is not a label; two columns for one finding.
    """
    nih = load_findings("nih14")
    ids = list(known_findings())
    columns = [manifest.labels(nih)[:, [nih.ids.index(name) for name in ids]]]
    others: dict[str, str] = {}
    if findings is not None:
        used, own = set(manifest.label_columns(nih).values()), manifest.label_columns(findings)
        labels = manifest.labels(findings)
        for number, finding in enumerate(findings.findings):
            column = own.get(finding.id)
            if column is None or column in used or finding.id in _UNSPOKEN:
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
    """Which findings (F,) a normal image has not."""
    return np.array([name != NORMAL and not is_device(name) for name in ids], dtype=bool)


def _consistent(ids: list[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The labels with No Finding where the others bear it out; there may be no such column."""
    if NORMAL in ids:
        place = ids.index(NORMAL)
        others = values[:, _abnormal(ids)]
        doubtful = (others == -1).any(axis=1) & (values[:, place] == 1)
        values[doubtful, place] = np.nan
        values[(others == 1).any(axis=1), place] = 0
    return values
