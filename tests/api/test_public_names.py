"""The public Python API: its names and signatures are stable, and importing it loads nothing heavy."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import tier_cli as tier

HEAVY = ("torch", "transformers", "pandas", "numpy", "pydicom", "PIL", "onnxruntime", "rich", "typer")

# A change here breaks programs of users: announce it in the release notes.
SIGNATURES = {
    "evaluate": "(scores, manifest=None, settings=DEFAULT, *, compare=(), progress=False)",
    "load": "(model='tier-small', *, findings=None, engine='auto', device='auto')",
    "load_findings": "(spec, default=None)",
    "read_image": "(path, *, rendering='voi', window=1, views='all', accept_any=False)",
    "to_dataframe": "(results, *, wide=False)",
    "Model.check": "(self, paths, report, *, priors=(), views='frontal', window=1, accept_any=False, "
    "decode='fast', batch_size=None, workers=None, input_check='note')",
    "Model.classify": "(self, paths, findings=None, *, by='image', views='frontal', window=1, "
    "accept_any=False, decode='fast', include_phi=False, batch_size=None, workers=None, fail_fast=False, "
    "input_check='note', progress=False)",
    "Model.embed": "(self, paths, *, patches=False, views='frontal', window=1, accept_any=False, "
    "decode='fast', batch_size=None, workers=None, fail_fast=False, progress=False)",
    "Model.encode_image": "(self, path, *, views='frontal', window=1, accept_any=False, decode='fast')",
    "Model.encode_text": "(self, texts)",
    "Model.explain": "(self, paths, findings=None, *, texts=(), views='frontal', window=1, accept_any=False, "
    "decode='fast', batch_size=None, workers=None, fail_fast=False, input_check='note', progress=False)",
    "Model.similarity": "(self, path, texts, *, views='frontal', window=1, accept_any=False, decode='fast')",
    "SimilarityMaps.box": "(self, row, column)",
    "SimilarityMaps.to_source": "(self, text=0)",
}


def _signature(function: object) -> str:
    assert callable(function)
    signature = inspect.signature(function)
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    text = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return text.replace(repr(tier.EvaluationSettings()), "DEFAULT")


def test_names() -> None:
    assert set(tier.__all__) == {
        "CheckpointError",
        "Claim",
        "EmbeddingResult",
        "EvaluationSettings",
        "ExplainedImage",
        "Explanation",
        "Failure",
        "Finding",
        "FindingScore",
        "FindingSet",
        "FindingSetError",
        "InputCheckResult",
        "InputError",
        "ManifestError",
        "Model",
        "Radiograph",
        "Report",
        "ReportCheck",
        "Result",
        "SectionOptions",
        "SentenceCheck",
        "SimilarityMaps",
        "TextMap",
        "TierError",
        "UsageError",
        "__version__",
        "evaluate",
        "load",
        "load_findings",
        "read_image",
        "to_dataframe",
    }
    assert all(hasattr(tier, name) for name in tier.__all__)
    assert set(tier.__all__) <= set(dir(tier))
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = tier.nope


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    function: object = tier
    for part in name.split("."):
        function = getattr(function, part)
    assert _signature(function) == SIGNATURES[name]


def test_importing_loads_nothing_heavy() -> None:
    script = f"import sys, json, tier_cli; print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout) == []


def test_scoring_from_python_loads_neither_torch_nor_pandas_nor_rich() -> None:
    script = (
        "import sys, json, tier_cli as tier\n"
        "result = tier.load('tier-small', device='cpu').classify('examples/01-healthy.dcm')\n"
        "assert result.error is None\n"
        "heavy = {'torch', 'transformers', 'pandas', 'rich', 'matplotlib', 'sklearn'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout) == []


def test_public_functions_are_documented() -> None:
    for name in SIGNATURES:
        function: object = tier
        for part in name.split("."):
            function = getattr(function, part)
        assert inspect.getdoc(function), name
