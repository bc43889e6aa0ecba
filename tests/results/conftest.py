"""Example results."""

from example_results import failed, scored

__all__ = ["failed", "scored"]
