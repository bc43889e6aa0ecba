"""The command line as a whole: imports and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tier_cli import __version__, app
from tier_cli.errors import CheckpointError, InputError

MANIFEST = str(Path(__file__).resolve().parents[1] / "examples" / "manifest.csv")
HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "pydicom",
    "matplotlib",
    "onnxruntime",
    "sklearn",
    "scipy",
    "onnx",
    "numpy",
    "PIL",
    "jinja2",
    "tokenizers",
    "huggingface_hub",
    "requests",
    "markdown_it",
    "pygments",
    "asyncio",
    "ssl",
)
# Typer and Rich are about 200 of them, and a command 30.
MOST_MODULES = 300


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["-V"], 0),
        (["--show-completion", "bash"], 0),
        ([], 2),
        (["nope"], 2),
        (["classify"], 2),
        (["classify", "--help"], 0),
        (["classify", "x", "--nope"], 2),
        (["classify", "x", "--output", "x.txt"], 2),
        (["classify", "x", "--model", "no-such-model"], 2),
        (["doctor", "--help"], 0),
        (["eval", "--help"], 0),
        (["train", "--help"], 0),
        (["findings", "--help"], 0),
        (["model", "--help"], 0),
    ],
)
def test_help_and_wrong_usage_load_nothing_heavy(arguments: list[str], code: int) -> None:
    script = (
        "import sys, json\n"
        "from tier_cli.app import main\n"
        "code = main(json.loads(sys.argv[1]))\n"
        f"print(json.dumps([code, sorted(set({HEAVY!r}) & set(sys.modules)), len(sys.modules)]))\n"
    )
    # Else Typer looks for a shell among the parents of the process, where there may be none.
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(arguments)],
        capture_output=True,
        check=True,
        env=environment,
    )
    *seen, modules = json.loads(done.stdout.splitlines()[-1])
    assert seen == [code, []]
    assert modules <= MOST_MODULES


def test_the_help_of_the_program_imports_no_command() -> None:
    script = (
        "import sys; from tier_cli.app import main; main(['--help'])\n"
        "sys.exit(' '.join(m for m in sys.modules if m.startswith(('tier_cli.model', 'tier_cli.results'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_help_says_of_each_command_what_its_own_help_says() -> None:
    """The help of the program does not import the commands, so it could describe one that has changed."""
    import typer

    group: Any = typer.main.get_command(app.app)
    lines = {name: group.commands[name].help.split("\n\n")[0] for name in group.commands}
    assert lines == {name: place.line for name, place in group.places.items()}


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert app.main([option]) == 0
    assert capsys.readouterr().out == f"tier-cli {__version__}\n"


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tier_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"tier-cli {__version__}\n"


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize(("option", "quiet"), [("--quiet", True), ("-q", True), ("--verbose", False)])
def test_verbosity_stands_before_or_behind_any_command_and_lasts_one_run(
    monkeypatch: pytest.MonkeyPatch, place: int, option: str, quiet: bool
) -> None:
    from tier_cli import console

    seen: list[tuple[bool, bool]] = []
    run = app._run

    def spy(arguments: Sequence[str] | None) -> int:
        code = run(arguments)
        seen.append((console.is_quiet(), console.is_verbose()))
        return code

    monkeypatch.setattr(app, "_run", spy)
    arguments = ["findings", "list"]
    arguments.insert(place, option)
    assert app.main(arguments) == 0
    assert seen[-1] == (quiet, not quiet)
    assert app.main(["findings", "list"]) == 0
    assert seen[-1] == (False, False)


def test_the_command_reference_has_the_options_that_every_command_takes() -> None:
    import typer
    from typer.cli import get_docs_for_click

    command = typer.main.get_command(app.app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="tier")
    sections = dict(section.split("\n", 1) for section in re.split(r"^#+ ", page, flags=re.MULTILINE)[1:])
    assert "`-V, --version`" in sections["`tier`"]
    lacking = {name for name, text in sections.items() if not {"--quiet", "--verbose"} <= _words(text)}
    assert lacking == {"`tier data`", "`tier findings`", "`tier model`"}


def _words(text: str) -> set[str]:
    return set(re.findall(r"--?[\w-]+", text))


@pytest.mark.parametrize(
    ("arguments", "proposal"),
    [
        (["clasify"], "classify"),
        (["classify", "x", "--modle", "y"], "--model"),
        (["classify", "x", "--engine", "onx"], "did you mean onnx?"),
        (["classify", "x", "--device", "cud"], "did you mean cuda?"),
        (["eval", "--dataset", "mimic"], "unknown data set 'mimic' (did you mean mimic-cxr?)"),
        (["eval", "--data", MANIFEST, "--by", "veiw"], "no column 'veiw' (did you mean view?)"),
        (["eval", "--data", MANIFEST, "--exclude", "veiw=AP"], "no column 'veiw' (did you mean view?)"),
        (["eval", "--data", MANIFEST, "--corrupt", "niose"], "(did you mean noise?)"),
        (
            ["eval", "--data", MANIFEST, "--select-on", "valid", "--operating-point", "yuden"],
            "(did you mean youden?)",
        ),
        (
            ["eval", "--data", MANIFEST, "--scores", MANIFEST, "--findings", "nih14", "--join", "pathh"],
            "no column 'pathh' (did you mean path?)",
        ),
        (["data", "inspect", MANIFEST, "--text", "impresion"], "(did you mean impression?)"),
        (["model", "info", "tier-smal"], "(did you mean tier-small?)"),
        (["model", "pull", "biovli"], "unknown public model 'biovli' (did you mean biovil?)"),
        (["model", "convert", "x", "y", "--family", "chexzro"], "(did you mean chexzero?)"),
        (["findings", "show", "chexpert-5"], "(did you mean chexpert5?)"),
        (["findings", "check", "chexpert-5"], "(did you mean chexpert5?)"),
        (
            ["train", "--data", MANIFEST, "--output", "x", "--sweep", "lamda-patch=0,1"],
            "(did you mean lambda-patch?)",
        ),
    ],
)
def test_a_slip_gets_a_proposal(
    capsys: pytest.CaptureFixture[str], arguments: list[str], proposal: str
) -> None:
    assert app.main(arguments) == 2
    assert proposal in capsys.readouterr().err


def test_a_package_that_is_not_installed_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: object) -> int:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn.isotonic")

    monkeypatch.setattr(app, "_run", fail)
    monkeypatch.delenv("TIER_DEBUG", raising=False)
    assert app.main([]) == 2
    assert capsys.readouterr().err == (
        "Error: this command needs sklearn, which is not installed; pip install 'tier-cli[eval]'\n"
    )


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            CheckpointError("it is broken", where="config.json", remedy="mend it"),
            2,
            "Error: config.json: it is broken; mend it\n",
        ),
        (InputError("it is a CT", where="a.dcm"), 3, "Error: a.dcm: it is a CT\n"),
        (
            OSError(28, "No space left on device", "Doe.dcm"),
            74,
            "Error: system error: No space left on device\n",
        ),
        (OSError(13, "Permission denied", "Doe.dcm"), 1, "Error: system error: Permission denied\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr(app, "_run", fail)
    monkeypatch.setattr(app, "discard_stdout", lambda: None)
    assert app.main([]) == code
    assert capsys.readouterr().err == said


def test_unexpected_errors_are_reported_without_their_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: object) -> int:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr(app, "_run", fail)
    monkeypatch.delenv("TIER_DEBUG", raising=False)
    assert app.main([]) == 1
    err = capsys.readouterr().err
    assert "ValueError" in err
    assert "TIER_DEBUG=1" in err
    assert "Doe" not in err
    assert err.count("\n") == 1
    monkeypatch.setenv("TIER_DEBUG", "1")
    with pytest.raises(ValueError, match="Doe"):
        app.main([])


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Unix")
@pytest.mark.parametrize("arguments", [["findings", "show", "padchest57"], ["--help"], ["--version"]])
def test_closed_pipe_ends_any_command_quietly(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    program = "import sys; from tier_cli.app import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_names_outside_the_encoding_do_not_end_a_run(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        '[findings.x]\nlabel = "Λ"\npositive = ["x"]\nnegative = ["y"]\n', "utf-8"
    )
    program = "import sys; from tier_cli.app import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "findings", "show", str(tmp_path / "x.toml")],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u039b" in done.stdout


def test_command_is_installed_under_its_name() -> None:
    found = [entry for entry in entry_points(group="console_scripts") if entry.name == "tier"]
    if not found:
        pytest.skip("the package is not installed here")
    assert found[0].value == "tier_cli.app:main"


@pytest.mark.parametrize(
    ("arguments", "offline"),
    [
        *(("classify x", True), ("model list", True), ("", True)),
        *(("model pull biovil", False), ("-q model pull biovil", False)),
    ],
)
def test_only_pull_may_reach_another_machine(
    monkeypatch: pytest.MonkeyPatch, arguments: str, offline: bool
) -> None:
    """A model whose files are incomplete must not be fetched behind the user's back."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr("sys.argv", ["tier", *arguments.split()])
    monkeypatch.setattr("tier_cli.app._run", lambda arguments: 0)
    assert app.main() == 0
    assert environment.get("HF_HUB_OFFLINE") == ("1" if offline else None)
    assert environment["ORT_DISABLE_TELEMETRY"] == environment["HF_HUB_DISABLE_TELEMETRY"] == "1"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_stdout_on_a_full_disk_is_not_taken_for_a_bug() -> None:
    with open("/dev/full", "wb") as full:
        run = subprocess.run(
            [sys.executable, "-m", "tier_cli", "--version"], stdout=full, stderr=subprocess.PIPE
        )
    assert (run.returncode, run.stderr) == (74, b"Error: system error: No space left on device\n")
