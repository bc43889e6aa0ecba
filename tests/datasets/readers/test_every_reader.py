"""Requirements that the reader of every data set must meet."""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from downloads import DOWNLOADS
from manifest_cells import cells

from tier_cli.datasets.opening import read_dataset
from tier_cli.datasets.regions import regions
from tier_cli.datasets.registry import DATASETS
from tier_cli.errors import ManifestError
from tier_cli.findings.load import builtin


def test_every_data_set_has_a_miniature_download() -> None:
    assert DOWNLOADS.keys() == DATASETS.keys()


@pytest.mark.parametrize("name", DATASETS)
def test_a_wrong_root_says_what_was_looked_for_and_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "holiday.jpg").touch()
    for split in (None, DATASETS[name].default_split):
        with pytest.raises(ManifestError, match=r"looked for .+, found .*holiday\.jpg") as caught:
            read_dataset(name, tmp_path, split)
        assert DATASETS[name].layout.splitlines()[0] in str(caught.value)


@pytest.mark.parametrize("name", DATASETS)
def test_every_reader_fills_the_columns_that_others_rely_on(tmp_path: Path, name: str) -> None:
    info = DATASETS[name]
    root = DOWNLOADS[name](tmp_path)
    manifest = read_dataset(name, root, None, "both" if info.reports else None)
    assert set(cells(manifest, "split")) <= set(info.splits)
    assert all(Path(path).is_absolute() for path in manifest.paths)
    assert manifest.label_columns(builtin(info.findings))
    assert set(cells(manifest, "source")) == {name}
    assert all(isinstance(cell, str) for cell in manifest.frame.to_numpy().ravel())
    assert not info.reports or any(cells(manifest, "text"))
    found = regions(manifest)
    assert len(found) == len(manifest)
    assert info.regions or not any(found)
    for region in (region for row in found for region in row):
        assert builtin(info.findings).match(region.finding) is not None


@pytest.mark.parametrize("name", DATASETS)
def test_tables_may_be_gzipped(tmp_path: Path, name: str) -> None:
    root = DOWNLOADS[name](tmp_path)
    plain = read_dataset(name, root, None)
    for path in root.rglob("*.csv"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read_dataset(name, root, None).frame.equals(plain.frame)


@pytest.mark.parametrize("name", DATASETS)
def test_broken_tables_are_errors_of_the_manifest(tmp_path: Path, name: str) -> None:
    root = DOWNLOADS[name](tmp_path)
    suffixes = (".csv", ".json", ".txt", ".xml", ".gz")
    tables = [path for path in root.rglob("*") if path.suffix in suffixes]
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
