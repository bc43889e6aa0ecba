"""Commands open no network socket and write nothing but their output and the cache, as the kernel sees it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_checkpoint
from xrays import write_dicom, write_png

STRACE = shutil.which("strace")
# Names of calls that create, open or change files; one that the machine's processor lacks is left out (?).
CALLS = (
    "socket,connect,sendto,sendmsg,bind,openat,?open,?creat,?mkdir,mkdirat,?rename,renameat,renameat2,?link,"
    "linkat,?symlink,symlinkat,truncate,?mknod,mknodat"
)
# Devices, and what the kernel makes of a process's own streams.
HARMLESS = ("/dev/", "/proc/self/")
PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')

pytestmark = pytest.mark.skipif(
    STRACE is None, reason="strace is not installed: system calls are not checked"
)


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, images, a manifest and embeddings, which no command may change."""
    if subprocess.run([str(STRACE), "-o", os.devnull, "true"], capture_output=True).returncode != 0:
        pytest.skip("strace may not watch processes here: system calls are not checked")
    folder = tmp_path_factory.mktemp("fixtures")
    tiny_checkpoint(folder / "tiny")
    (folder / "images").mkdir()
    lines = ["path,patient,split,view,Effusion"]
    for number in range(8):
        write_png(folder / "images" / f"{number}.png", number)
        lines.append(
            f"images/{number}.png,p{number},{'valid' if number > 3 else 'train'},FRONTAL,{number % 2}"
        )
    write_dicom(folder / "images" / "a.dcm")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return folder


COMMANDS = {
    "classify": "{in}/images --model {in}/tiny --findings effusion --output {out}/scores.csv --workers 1",
    "eval": "--data {in}/rows.csv --model {in}/tiny --split valid --replicates 10 --output {out}/metrics.json"
    " --report {out}/report.html",
    "embed": "{in}/images --model {in}/tiny --output {out}/embeddings.npz --workers 1",
    "search": "--index {out}/embeddings.npz --model {in}/tiny effusion",
    "train": "--data {in}/rows.csv --init {in}/tiny --output {out}/trained --epochs 1 --batch-size 4"
    " --device cpu",
}


PROGRAM = """
import sys
import tier_cli
(result,) = tier_cli.load(sys.argv[1]).classify([sys.argv[2]])
assert result.error is None, result
"""


@pytest.mark.parametrize(
    "command",
    [
        *(pytest.param(name, marks=pytest.mark.slow if name == "train" else []) for name in COMMANDS),
        "python",
    ],
)
def test_a_command_opens_no_network_socket_and_writes_only_its_output(
    fixtures: Path, tmp_path: Path, command: str
) -> None:
    folders = {name: tmp_path / name for name in ("out", "cache", "home", "temporary")}
    for folder in folders.values():
        folder.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HF_", "MPL"))},
        **{"HOME": str(folders["home"]), "TMPDIR": str(folders["temporary"]), "PYTHONDONTWRITEBYTECODE": "1"},
        **{"TIER_CACHE_DIR": str(folders["cache"]), "ORT_DISABLE_TELEMETRY": "0", "OMP_NUM_THREADS": "1"},
    }
    places = {"in": fixtures, "out": folders["out"]}
    arguments = {
        name: ["-m", "tier_cli", name, *(part.format(**places) for part in rest.split())]
        for name, rest in COMMANDS.items()
    }
    arguments["python"] = ["-c", PROGRAM, str(fixtures / "tiny"), str(fixtures / "images" / "a.dcm")]
    if command == "search":
        _run(arguments["embed"], environment, tmp_path)
    # One file per process: no line is cut by another's.
    trace = [str(STRACE), "-ff", "--seccomp-bpf", "-s", "4096", "-e", f"trace={CALLS}", "-e", "signal=none"]
    _run(arguments[command], environment, tmp_path, [*trace, "-o", str(tmp_path / "calls")])
    lines = [
        line for log in tmp_path.glob("calls.*") for line in log.read_text("utf-8", "replace").split("\n")
    ]
    assert any("openat(" in line for line in lines), "strace saw nothing"
    assert [line for line in lines if "AF_INET" in line] == []
    # torch looks whether the temporary folder can be written to, but must leave nothing there.
    allowed = (*map(str, (folders["out"], folders["cache"], folders["temporary"])), *HARMLESS)
    written = {path for line in lines for path in _written(line)}
    assert sorted(path for path in written if not path.startswith(allowed)) == []
    assert [file for file in folders["temporary"].rglob("*") if file.is_file()] == []


def _run(
    arguments: list[str], environment: dict[str, str], place: Path, before: list[str] | None = None
) -> None:
    done = subprocess.run(
        [*(before or []), sys.executable, *arguments],
        cwd=place,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def _written(line: str) -> list[str]:
    """Return the paths that a successful call creates or opens for writing."""
    call = re.match(r"(\w+)\(", line)
    if call is None or re.search(r"= -1 E\w+", line) or call[1] in ("socket", "connect", "sendto", "bind"):
        return []
    if call[1] in ("openat", "open") and not re.search(r"O_(WRONLY|RDWR|CREAT)", line):
        return []
    return PATH.findall(line)
