"""The base set of packages is enough for what it promises; anything else names its extra in one line.

The commands run in a virtual environment that holds only the base set, linked from that of the tests.
`.ci/release-check` tries the same with what pip really installs.
"""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from PIL import Image

from tier_cli.packages import BASE

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "tier-small"

RUN = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from tier_cli.app import main

if __name__ == "__main__":
    done = []
    for arguments in json.loads(sys.argv[1]):
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = main(arguments)
            except SystemExit as ended:
                code = ended.code
        done.append((code, *(stream.buffer.getvalue().decode() for stream in (out, err))))
    from tier_cli import EvaluationSettings, evaluate, load, to_dataframe
    from tier_cli.errors import UsageError
    from tier_cli.model.tokens import clean_text

    clean_text("as CLIP's tokenizers read it")
    model = load("tier-small")
    raised = []
    for call in (lambda: evaluate(model, "manifest.csv"), lambda: to_dataframe(model.classify("a.png"))):
        try:
            call()
        except UsageError as error:
            raised.append(str(error))
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    sys.stdout.write(json.dumps({"done": done, "raised": raised, "modules": modules}))
"""

BASE_COMMANDS = (
    ("classify", "chests", "--output", "scores.csv", "--maps", "maps", "--workers", "1"),
    ("classify", "chests", "--output", "scores.csv", "--resume", "--by", "study", "--workers", "0"),
    ("classify", "chests/a.dcm", "chests/b.jpg", "--findings", "rib fracture", "--workers", "0"),
    ("classify", "chests", "--output", "part.csv", "--shard", "1/1", "--workers", "0"),
    ("merge", "part.csv", "--output", "merged.jsonl"),
    ("classify", "chests", "--dry-run"),
    ("embed", "chests", "--output", "index.npz", "--workers", "0"),
    ("search", "left effusion", "--index", "index.npz"),
    ("search", "--image", "chests/a.dcm", "--index", "index.npz"),
    ("explain", "chests/a.dcm", "--output", "explained"),
    ("check", "chests/a.dcm", "report.txt"),
    ("findings", "list"),
    ("findings", "new", "set.toml", "rib fracture"),
    ("findings", "check", "set.toml"),
    ("data", "phantom", "phantoms", "--count", "1", "--size", "64", "--workers", "1"),
    ("model", "list"),
    ("model", "info", "tier-small"),
    ("model", "verify", "tier-small"),
    ("doctor",),
    *((*command, "--help") for command in ((), ("classify",), ("eval",), ("train",), ("listen",), ("data",))),
)
DATA = ("--data", "manifest.csv")
NEEDS = (
    ("torch,eval", ("train", *DATA, "--output", "new")),
    ("torch,eval,tensorboard", ("train", *DATA, "--output", "new", "--tensorboard", "board")),
    ("torch", ("classify", "chests", "--engine", "torch")),
    ("torch", ("classify", "chests", "--device", "cuda")),
    ("torch,eval", ("model", "quantize", "tier-small", *DATA, "--output", "new")),
    ("torch", ("model", "convert", "folder", "new")),
    ("torch", ("model", "pull", "biovil", "--yes")),
    ("torch", ("model", "export", "tier-small")),
    ("torch", ("model", "average", "tier-small", "tier-small", "--output", "new")),
    ("eval", ("eval", *DATA)),
    ("eval", ("figures", *DATA, "--output", "new")),
    ("eval", ("calibrate", *DATA, "--output", "new")),
    ("eval", ("adapt", *DATA, "--output", "new")),
    ("eval", ("data", "inspect", "manifest.csv")),
    ("eval", ("model", "input-check", "tier-small", *DATA, "--output", "new")),
    ("eval", ("model", "map-scale", "tier-small", *DATA, "--output", "new")),
    ("parquet", ("classify", "chests", "--output", "x.parquet")),
    ("parquet", ("embed", "chests", "--output", "x.parquet")),
    ("parquet", ("search", "effusion", "--index", "x.parquet")),
    ("dicom", ("classify", "chests", "--sr", "new")),
    ("dicom", ("classify", "chests", "--gsps", "new")),
    ("dicom", ("classify", "chests", "--sc", "new")),
    ("dicom", ("classify", "chests", "--seg", "new")),
    ("pacs", ("listen", "--allow-any", "--output", "new")),
    ("pacs", ("classify", "dicomweb://127.0.0.1:1/studies/1.2")),
    ("pacs", ("embed", "dicomwebs://127.0.0.1:1/studies/1.2", "--output", "x.npz")),
    ("ray", ("classify", "chests", "--runner", "ray")),
    ("search", ("search", "effusion", "--index", "index.npz", "--approximate")),
)


class Done(NamedTuple):
    """What one command did."""

    code: int
    out: str
    err: str


class Light(NamedTuple):
    """What happened in the environment of the base set."""

    done: dict[tuple[str, ...], Done]
    raised: list[str]
    modules: set[str]
    folder: Path


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Light:
    folder = tmp_path_factory.mktemp("light")
    _fill(folder)
    python = _environment(folder / "environment")
    commands = [*BASE_COMMANDS, *(command for _, command in NEEDS)]
    hidden = ("TIER_DEBUG", "COLUMNS", "VIRTUAL_ENV", "PYTHONHOME")
    done = subprocess.run(
        [python, "run.py", json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in hidden}
        | {"PYTHONPATH": str(ROOT), "TIER_CACHE_DIR": str(folder / "cache")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    outcomes = {command: Done(*one) for command, one in zip(commands, found["done"], strict=True)}
    return Light(outcomes, found["raised"], set(found["modules"]), folder)


def _fill(folder: Path) -> None:
    """Write images, a manifest, a report and the script."""
    chests = folder / "chests"
    chests.mkdir()
    (chests / "a.dcm").write_bytes((ROOT / "examples" / "03-pneumothorax.dcm").read_bytes())
    Image.open(ROOT / "examples" / "04-cardiomegaly.png").save(chests / "b.jpg", quality=95)
    (folder / "manifest.csv").write_text("path,patient,Pneumothorax\nchests/a.dcm,p,1\nchests/b.jpg,q,0\n")
    (folder / "report.txt").write_text("There is a right pneumothorax.")
    (folder / "x.parquet").touch()
    (folder / "run.py").write_text(RUN)


def _environment(folder: Path) -> Path:
    """Make a virtual environment with the base set alone; return its interpreter."""
    venv.EnvBuilder(symlinks=True).create(folder)
    (packages,) = folder.glob("lib/*/site-packages")
    for name in _base_set():
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder / "bin" / "python"


def _base_set() -> set[str]:
    """Return the base packages and all that they need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    found: set[str] = set()
    while wanted:
        one = wanted.pop()
        if one.name in found:
            continue
        found.add(one.name)
        for text in distribution(one.name).requires or ():
            needed = Requirement(text)
            extras = one.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": name}) for name in extras):
                wanted.append(needed)
    return found


@pytest.mark.parametrize("command", BASE_COMMANDS, ids=" ".join)
def test_the_base_set_is_enough(light: Light, command: tuple[str, ...]) -> None:
    code, out, err = light.done[command]
    assert code == 0, err
    assert out or err


@pytest.mark.parametrize(("extras", "command"), NEEDS, ids=[" ".join(command) for _, command in NEEDS])
def test_a_missing_extra_is_one_line_before_any_work(
    light: Light, extras: str, command: tuple[str, ...]
) -> None:
    code, out, err = light.done[command]
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert f"; pip install 'tier-cli[{extras}]'" in err
    assert not (light.folder / "new").exists()


def test_python_functions_name_the_extra(light: Light) -> None:
    assert len(light.raised) == 2
    assert all("pip install 'tier-cli[eval]'" in message for message in light.raised)


def test_doctor_lists_the_extras_and_finds_no_problem(light: Light) -> None:
    """Someone who scores on a CPU must not be told that the installation is broken."""
    facts = json.loads(light.done["doctor",].out)
    assert all(facts["versions"].values())
    assert facts["extras"]["torch"]["remedy"] == "pip install 'tier-cli[torch]'"
    assert facts["extras"]["torch"]["versions"]["torch"] is None
    assert facts["devices"]["cuda"] == []


def test_every_base_package_is_used_by_the_base_commands(light: Light) -> None:
    """What only an extra's commands use would be downloaded by everybody for nothing."""
    assert [package for package, name in BASE.items() if name not in light.modules] == []
