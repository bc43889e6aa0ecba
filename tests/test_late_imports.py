"""Modules that an import does not need come later."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from tier_cli.late_imports import imported_later


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that takes a function and a class from a slow one."""
    (tmp_path / "slow_part.py").write_text("def double(n): return 2 * n\nclass Point(tuple): pass\n")
    (tmp_path / "quick_part.py").write_text(
        "from slow_part import Point, double\n"
        "def twice(n: int) -> Point | int: return double(n)\n"
        "def point() -> Point: return Point((1, 2))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("modules")
def test_a_module_is_imported_when_it_is_called() -> None:
    with imported_later("slow_part"):
        import quick_part  # type: ignore[import-not-found]
    assert "slow_part" not in sys.modules
    assert quick_part.twice(4) == 8
    slow = sys.modules["slow_part"]
    assert Path(str(slow.__file__)).name == "slow_part.py"
    assert type(quick_part.point()) is slow.Point


def test_what_is_imported_already_stays() -> None:
    import json

    with imported_later("json"):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json
    assert gc.isenabled()


def test_pydicom_can_still_download_its_test_data() -> None:
    """A program that uses tier and pydicom gets the whole of pydicom."""
    from tier_cli.imaging.header import import_pydicom

    import_pydicom()
    from pydicom.data import download, get_testdata_file

    assert Path(str(download.__file__)).name == "download.py"
    assert Path(str(get_testdata_file("CT_small.dcm"))).is_file()
