"""What is said of packages and extras agrees with pyproject.toml and the page on installing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tier_cli.errors import UsageError
from tier_cli.packages import BASE, EXTRAS, missing_package, require_extras

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# Extras that `tier doctor` does not show: all of the others, and those for work on the project.
DEVELOPMENT = {"all", "test", "docs", "release"}


def _names(requirements: list[str]) -> set[str]:
    """Return what is required, without versions and without other extras of this package."""
    found = {re.split(r"[\[<>=!~; ]", text)[0] for text in requirements}
    return found - {"tier-cli"}


def test_a_missing_package_is_named_with_the_extra_that_installs_it() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - DEVELOPMENT
    assert {name: set(extra.packages) for name, extra in EXTRAS.items()} == {
        name: _names(extras[name]) for name in EXTRAS
    }
    assert set(BASE) == _names(PROJECT["dependencies"])


def test_all_is_all() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert everything == f"tier-cli[{','.join(sorted(EXTRAS))}]"


def test_the_page_says_what_each_extra_gives() -> None:
    page = (ROOT / "docs" / "install.md").read_text("utf-8").partition("## Extras")[2]
    rows = re.findall(r"^\| `\[(\w+)\]` \| (.+?) \|", page, re.M)
    assert [(name, gives.replace("`", "")) for name, gives in rows] == [
        (name, extra.gives) for name, extra in EXTRAS.items()
    ]


def test_one_line_installs_all_extras_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError) as raised:
        require_extras("tier train", "torch", "eval", otherwise="rest")
    assert str(raised.value) == (
        "tier train needs torch and pandas, which are not installed; "
        "pip install 'tier-cli[torch,eval]', or rest"
    )


@pytest.mark.parametrize(
    ("module", "install"),
    [("PIL.Image", "pillow"), ("sklearn", "'tier-cli[eval]'"), ("unheard_of", "unheard_of")],
)
def test_the_import_may_have_another_name_than_the_package(module: str, install: str) -> None:
    said = missing_package(ModuleNotFoundError(f"No module named '{module}'", name=module))
    assert said is not None
    assert said.remedy == f"pip install {install}"
