"""What every reader of boxes and masks owes to training and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import layouts_b as layouts
import numpy as np
import pytest
from looking import cells

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import regions
from tier_cli.datasets.registry import DATASETS
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin

MAKERS: dict[str, Callable[[Path], Path]] = {
    "nih14": layouts.nih14,
    "nih14-expert": layouts.nih14_expert,
    "nih4-expert": layouts.nih4_expert,
    "vindr": layouts.vindr,
    "rsna": layouts.rsna,
    "siim": layouts.siim,
    "ms-cxr": layouts.ms_cxr,
    "chexlocalize": layouts.chexlocalize,
    "chestx-det10": lambda root: layouts.chestx_det10(root, []),
    "covid-qu-ex": layouts.covid_qu_ex,
}
NAMES = tuple(MAKERS)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_root_says_what_was_looked_for_and_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "holiday.jpg").touch()
    for split in (None, DATASETS[name].default_split):
        with pytest.raises(ManifestError, match=r"looked for .+, found .*holiday\.jpg") as caught:
            read_dataset(name, tmp_path, split)
        assert DATASETS[name].layout.splitlines()[0] in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_fills_what_the_others_count_on(tmp_path: Path, name: str) -> None:
    manifest = read_dataset(name, MAKERS[name](tmp_path), None)
    info = DATASETS[name]
    assert set(cells(manifest, "split")) <= set(info.splits)
    assert all(Path(path).is_absolute() for path in manifest.paths)
    assert manifest.label_columns(builtin(info.findings))
    assert len(regions(manifest)) == len(manifest)
    assert set(cells(manifest, "source")) == {name}
    assert all(isinstance(cell, str) for cell in manifest.frame.to_numpy().ravel())
    known = {finding.id for finding in builtin(info.findings).findings}
    for found in regions(manifest):
        for region in found:
            finding = builtin(info.findings).match(region.finding)
            assert finding is not None
            assert finding.id in known


@pytest.mark.parametrize("name", ["nih14", "nih14-expert", "nih4-expert", "vindr", "rsna", "siim", "ms-cxr"])
def test_tables_may_be_gzipped(tmp_path: Path, name: str) -> None:
    root = MAKERS[name](tmp_path)
    plain = read_dataset(name, root, None)
    for path in root.rglob("*.csv"):
        layouts.put(path.with_name(path.name + ".gz"), path.read_text())
        path.unlink()
    assert read_dataset(name, root, None).frame.equals(plain.frame)


@pytest.mark.parametrize("name", NAMES)
def test_broken_tables_are_errors_of_the_manifest(tmp_path: Path, name: str) -> None:
    root = MAKERS[name](tmp_path)
    tables = [path for path in root.rglob("*") if path.suffix in (".csv", ".json", ".txt")]
    rng = np.random.default_rng(0)
    for path in tables:
        whole = path.read_bytes()
        for _ in range(20):
            broken = bytearray(whole[: rng.integers(len(whole) + 1)])
            for place in rng.integers(0, max(len(broken), 1), 2)[: len(broken)]:
                broken[place] = rng.integers(256)
            path.write_bytes(bytes(broken))
            with suppress(ManifestError):
                regions(read_dataset(name, root, None))
        path.write_bytes(whole)
    assert tables or name == "covid-qu-ex"
