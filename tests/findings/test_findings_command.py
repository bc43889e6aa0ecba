"""`tier findings`: what goes to stdout, what to stderr, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from tier_cli.commands.findings import app
from tier_cli.errors import FindingSetError, UsageError
from tier_cli.findings.load import builtin, builtin_names, load_findings, parse_findings


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_list_gives_json_lines_in_a_pipe() -> None:
    result = run("list")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["name"] for row in rows] == list(builtin_names())
    assert rows[0]["hash"] == builtin(rows[0]["name"]).hash
    assert result.stderr == ""


@pytest.mark.parametrize("spec", ["nih14", "pneumothorax,odd sign"])
def test_show_gives_toml_in_a_pipe(spec: str) -> None:
    result = run("show", spec)
    assert result.exit_code == 0
    assert parse_findings(result.stdout, "x") == load_findings(spec)


def test_a_checkpoints_own_set_is_looked_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(findings=builtin("nih14"))
    monkeypatch.setattr("tier_cli.model.checkpoint.open_checkpoint", lambda name: own)
    assert parse_findings(run("show", "effusion", "--model", "tier-small").stdout, "x").ids == ("effusion",)


def test_a_terminal_gets_one_line_per_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """With their findings, the sets would fill more than two screens."""
    monkeypatch.setattr("tier_cli.commands.findings.is_terminal", lambda name: name == "stdout")
    monkeypatch.setenv("COLUMNS", "80")
    result = run("list")
    header, *rows, last = result.stdout.splitlines()
    assert header.split() == ["set", "findings", "source"]
    assert [row.split()[:2] for row in rows] == [
        [name, str(len(builtin(name).findings))] for name in builtin_names()
    ]
    assert all(len(row.split()) > 2 for row in rows)
    assert "tier findings show SET" in last


def test_a_terminal_gets_a_table_of_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tier_cli.commands.findings.is_terminal", lambda name: name == "stdout")
    result = run("show", "covid")
    assert result.exit_code == 0
    assert "┏" in result.stdout
    assert "COVID-19" in result.stdout


def test_check_passes_a_sound_set_with_nothing_on_stdout() -> None:
    result = run("check", "covid", "nih14")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "covid: 1 finding, 10 prompts, no problems" in result.stderr


def test_check_counts_tokens(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    long = "There is a small finding in the lower zone. " * 20
    path.write_text(f'[findings.a]\npositive = ["{long}Seen."]\nnegative = ["Clear."]\n', encoding="utf-8")
    result = run("check", str(path))
    assert isinstance(result.exception, FindingSetError)
    assert "tokens, but the model reads 128; write another text for tier-small" in str(result.exception)


def test_what_an_alias_chose_is_said_on_stderr(tmp_path: Path) -> None:
    for arguments in (("show", "oedema"), ("check", "oedema"), ("new", str(tmp_path / "a.toml"), "oedema")):
        assert "'oedema' is scored as edema" in run(*arguments).stderr


def test_check_names_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("odd = 1\n[findings.a]\npositive = ['[b] P.']\nnegative = ['[b] P.']\n", encoding="utf-8")
    result = run("check", str(path))
    assert isinstance(result.exception, FindingSetError)
    assert result.exception.exit_code == 2
    assert "2 problems" in str(result.exception)
    assert f"{path} odd: unknown key 'odd'; at the top of the file, use" in result.stderr
    assert f"{path} [findings.a] positive: '[b] P.' is both" in result.stderr


def test_check_of_one_problem_raises_it(tmp_path: Path) -> None:
    result = run("check", "covid", str(tmp_path / "absent.toml"))
    assert isinstance(result.exception, FindingSetError)
    assert "no such file" in str(result.exception)
    assert "covid: 1 finding" in result.stderr


def test_new_writes_a_set_that_checks(tmp_path: Path) -> None:
    path = tmp_path / "ward.toml"
    assert run("new", str(path)).exit_code == 0
    fs = load_findings(str(path))
    assert (fs.name, fs.ids) == ("ward", ("pneumothorax", "rib_fracture"))
    assert path.read_text("utf-8").startswith("# A custom finding set")
    assert run("check", str(path)).exit_code == 0
    assert isinstance(run("new", str(path)).exception, UsageError)
    assert run("new", str(path), "nih14", "--force").exit_code == 0
    assert load_findings(str(path)).hash == builtin("nih14").hash
    assert [file.name for file in tmp_path.iterdir()] == ["ward.toml"]


@pytest.mark.parametrize("name", ["ward.txt", "absent/ward.toml"])
def test_new_refuses_what_it_cannot_write(name: str, tmp_path: Path) -> None:
    assert isinstance(run("new", str(tmp_path / name)).exception, UsageError)


def test_the_module_is_light() -> None:
    script = "import sys, tier_cli.commands.findings\n"
    script += "from tier_cli.findings.load import load_findings\nload_findings('nih14')\n"
    script += "raise SystemExit(','.join({'torch', 'numpy', 'pandas', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
