"""Score chest X-rays against findings written as text. For research use; not a medical device.

>>> import tier_cli as tier
>>> tier.Finding("rib_fracture", "Rib fracture", (), ("Rib fracture.",), ("No rib fracture.",)).names
('rib_fracture',)

The names in `__all__` are the public Python API; docs/python.md shows how to use it. Each name is imported on
first use, so that importing the package loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tier_cli.api.evaluation import evaluate
    from tier_cli.api.images import read_image
    from tier_cli.api.model import Model, load
    from tier_cli.api.similarity import SimilarityMaps
    from tier_cli.errors import (
        CheckpointError,
        FindingSetError,
        InputError,
        ManifestError,
        TierError,
        UsageError,
    )
    from tier_cli.evaluation.report import Report
    from tier_cli.evaluation.sections.options import SectionOptions
    from tier_cli.evaluation.settings import EvaluationSettings
    from tier_cli.findings.load import load_findings
    from tier_cli.findings.schema import Finding, FindingSet
    from tier_cli.imaging.radiograph import Radiograph
    from tier_cli.maps.explanation import Explanation, TextMap
    from tier_cli.pipeline.explanations import ExplainedImage
    from tier_cli.results.checked import Claim, ReportCheck, SentenceCheck
    from tier_cli.results.dataframe import to_dataframe
    from tier_cli.results.embedded import EmbeddingResult
    from tier_cli.results.record import Failure, FindingScore, InputCheckResult, Result

__version__ = "0.1.0"

__all__ = [
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
]

_MODULES = {
    "tier_cli.api.evaluation": ("evaluate",),
    "tier_cli.api.images": ("read_image",),
    "tier_cli.api.model": ("Model", "load"),
    "tier_cli.api.similarity": ("SimilarityMaps",),
    "tier_cli.errors": (
        "CheckpointError",
        "FindingSetError",
        "InputError",
        "ManifestError",
        "TierError",
        "UsageError",
    ),
    "tier_cli.evaluation.report": ("Report",),
    "tier_cli.evaluation.settings": ("EvaluationSettings",),
    "tier_cli.evaluation.sections.options": ("SectionOptions",),
    "tier_cli.findings.load": ("load_findings",),
    "tier_cli.findings.schema": ("Finding", "FindingSet"),
    "tier_cli.imaging.radiograph": ("Radiograph",),
    "tier_cli.maps.explanation": ("Explanation", "TextMap"),
    "tier_cli.pipeline.explanations": ("ExplainedImage",),
    "tier_cli.results.checked": ("Claim", "ReportCheck", "SentenceCheck"),
    "tier_cli.results.dataframe": ("to_dataframe",),
    "tier_cli.results.embedded": ("EmbeddingResult",),
    "tier_cli.results.record": ("Failure", "FindingScore", "InputCheckResult", "Result"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
