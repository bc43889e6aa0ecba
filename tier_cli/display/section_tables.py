"""Show the optional sections of a report, each by its own table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tier_cli.display.exclusive_table import show_exclusive
from tier_cli.display.grounding_table import show_grounding
from tier_cli.display.prompts_table import show_prompts
from tier_cli.display.radiologists_table import show_readers
from tier_cli.display.retrieval_table import show_retrieval
from tier_cli.display.robustness_table import show_robustness

if TYPE_CHECKING:
    from rich.console import Console

_SHOW: Mapping[str, Callable[[Mapping[str, Any], Console], None]] = {
    "readers": show_readers,
    "exclusive": show_exclusive,
    "robustness": show_robustness,
    "prompts": show_prompts,
    "grounding": show_grounding,
    "retrieval": show_retrieval,
}
# Keys whose value is a mapping by finding id.
_BY_FINDING = ("findings", "readers_under_curve")


def show_section(name: str, content: Mapping[str, Any], labels: Mapping[str, str], console: Console) -> None:
    """Print a section.

    Parameters
    ----------
    name, content
        Its key and value under ``sections`` of the JSON document.
    labels
        Display names of the findings, by id.
    console
        Where to print.
    """
    _SHOW[name](_with_labels(content, labels), console)


def _with_labels(content: Any, labels: Mapping[str, str]) -> Any:
    """Replace finding ids by display names: values of ``finding``, and keys of the mappings `_BY_FINDING`."""
    if isinstance(content, list | tuple):
        return [_with_labels(one, labels) for one in content]
    if not isinstance(content, Mapping):
        return content
    found: dict[str, Any] = {}
    for key, value in content.items():
        if key == "finding":
            found[key] = labels.get(value, value)
        elif key in _BY_FINDING and isinstance(value, Mapping):
            found[key] = {labels.get(of, of): _with_labels(one, labels) for of, one in value.items()}
        else:
            found[key] = _with_labels(value, labels)
    return found
