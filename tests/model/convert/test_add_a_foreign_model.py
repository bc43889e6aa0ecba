"""The worked example of docs/contributing/add-a-foreign-model.md runs as it is printed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest
from page_code import blocks, load

NAME = "tier_cli.model.convert.lakeclip"


def test_the_worked_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By name: the package has a function `detect` as well.
    package, detect = import_module("tier_cli.model.convert"), import_module("tier_cli.model.convert.detect")
    entry, branch, converter, test = blocks("add-a-foreign-model.md", "python")
    start = "from tier_cli.model.convert.detect import _CLIP_TOKENIZER, Family\n"
    family = load(tmp_path / "entry.py", "lakeclip_entry", f"{start}ENTRY = (\n{entry})[0]\n").ENTRY
    recognise = load(
        tmp_path / "branch.py", "lakeclip_branch", f"def recognise(file):\n{branch}    return None\n"
    ).recognise
    known = detect._family_of_file
    monkeypatch.setattr(
        detect, "_family_of_file", lambda source, file: recognise(file) or known(source, file)
    )
    monkeypatch.setitem(detect.FAMILIES, "lakeclip", family)
    module = load(tmp_path / "lakeclip.py", NAME, converter)
    monkeypatch.setitem(sys.modules, NAME, module)
    monkeypatch.setattr(package, "lakeclip", module, raising=False)
    example = load(tmp_path / "example.py", "example", test)
    for engine in ("torch", "onnx"):
        (tmp_path / engine).mkdir()
        example.test_lakeclip_embeds_as_the_original(engine, tmp_path / engine, monkeypatch)
