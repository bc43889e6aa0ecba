"""Build a miniature download of every public data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import layouts
import region_layouts


def _chexpert_5x200(root: Path) -> Path:
    layouts.chexpert_5x200(layouts.chexpert(root))
    return root


DOWNLOADS: Mapping[str, Callable[[Path], Path]] = {
    "chexpert": layouts.chexpert,
    "chexpert-5x200": _chexpert_5x200,
    "mimic-cxr": layouts.mimic,
    "padchest": layouts.padchest,
    "openi": layouts.openi_xml,
    "nih14": region_layouts.nih14,
    "nih14-expert": region_layouts.nih14_expert,
    "nih4-expert": region_layouts.nih4_expert,
    "vindr": region_layouts.vindr,
    "rsna": region_layouts.rsna,
    "siim": region_layouts.siim,
    "ms-cxr": region_layouts.ms_cxr,
    "chexlocalize": region_layouts.chexlocalize,
    "chestx-det10": lambda root: region_layouts.chestx_det10(root, []),
    "covid-qu-ex": region_layouts.covid_qu_ex,
}
