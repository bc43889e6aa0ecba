"""`--runner ray`: the same rows as on this machine, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from xrays import write_dicom, write_png

pytest.importorskip("ray")
Tier = Callable[..., tuple[int, str, str]]
Start = Callable[..., "subprocess.Popen[bytes]"]

# A cluster of two machines with one CPU each, of which one fails when a line comes.
CLUSTER = """
import os, sys
os.environ["RAY_TMPDIR"] = sys.argv[1]
from ray.cluster_utils import Cluster
cluster = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(second, allow_graceful=False)
print("removed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))


@pytest.fixture
def mixed(folder: Path, tmp_path: Path) -> list[str]:
    """A folder, a broken file, and a list that names a missing file: more than one batch."""
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    for number in range(4):
        write_dicom(folder / f"e{number}.dcm", 10 + number, f"3.{number % 2}")
    listed = tmp_path / "list.txt"
    listed.write_text(f"{folder / 'd.png'}\n{tmp_path / 'gone.dcm'}\n" * 2)
    return [str(folder), str(listed)]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A list of thousands of files: images of two studies, and some broken ones."""
    names = [write_dicom(tmp_path / f"{number}.dcm", number, f"1.{number % 2}") for number in range(10)]
    names += [write_png(tmp_path / f"{number}.png", number) for number in range(9)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    listed = tmp_path / "many.txt"
    listed.write_text("".join(f"{name}\n" for name in [*names, broken]) * 150)
    return listed


def _until(journal: Path, lines: int) -> None:
    for _ in range(3000):
        if journal.exists() and journal.read_bytes().count(b"\n") > lines:
            return
        time.sleep(0.1)
    raise AssertionError("the run does not begin")


def _below(pid: int, name: str) -> list[int]:
    """The processes below one whose command line holds a name."""
    found = []
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        for each in map(int, child.read_text().split()):
            with_name = name.encode() in Path(f"/proc/{each}/cmdline").read_bytes()
            found += [each] * with_name + _below(each, name)
    return found


def test_rows_are_those_of_the_local_run(
    start: Start,
    tier: Tier,
    model: str,
    mixed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The quick version of the tests below: one start of Ray."""
    command = ["classify", *mixed, "--model", model, "--batch-size", 3, "--output"]
    code, _, said = tier(*command, tmp_path / "here.csv")
    # A folder of its own, since other runs use the common one; short, since Ray's sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="t-") as temporary:
        monkeypatch.setenv("TMPDIR", temporary)
        with start(*command, tmp_path / "ray.csv", "--runner", "ray", "--workers", 1) as process:
            for _ in range(1200):
                if list(Path(temporary).glob("tier-*/*/session_*/logs")):
                    break
                time.sleep(0.05)
            # Ray opens its own folder, and the logs in it, to everybody.
            assert [stat.S_IMODE(made.stat().st_mode) for made in Path(temporary).glob("tier-*")] == [0o700]
            out, err = process.communicate(timeout=300)
        left = list(Path(temporary).iterdir())
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    # Not a word of Ray on the terminal, and nothing of it in the folder of temporary files.
    assert (process.returncode, out, err.decode()) == (code, b"", said.replace("here.csv", "ray.csv"))
    assert left == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ray-address", "10.0.0.1:6379"], "--ray-address: needs --runner ray"),
        (["--runner", "ray", "--workers", "0"], "--workers 0: Ray decodes in processes of its own"),
        (["--runner", "ray", "--ray-address", "h:1", "--workers", "2"], "--workers: a Ray cluster knows"),
        (["--runner", "ray", "--ray-address", "ray://h:1"], "is the address of a client"),
        (["--runner", "ray", "--maps", "maps"], "--maps: does not work with --runner ray"),
        (["--runner", "ray", "--dry-run"], "--dry-run: does not work with --runner ray"),
        (["--runner", "ray", "dicomweb://pacs.example/rs"], "--runner ray: needs the images as files"),
    ],
)
def test_options_that_contradict_each_other(
    tier: Tier, folder: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused in one line, before anything is started."""
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = tier("classify", folder, *arguments)
    assert (code, said in err, err.count("\n")) == (2, True, 1)


def test_without_ray_one_line_names_the_extra(
    tier: Tier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = tier("classify", folder, "--runner", "ray", "--model", "tier-small")
    assert code == 2
    assert err == "Error: --runner ray needs ray, which is not installed; pip install 'tier-cli[ray]'\n"


def test_cluster_that_does_not_answer(tier: Tier, model: str, folder: Path) -> None:
    """Ray itself would try for minutes."""
    code, _, err = tier(
        "classify", folder, "--runner", "ray", "--ray-address", "127.0.0.1:9", "--model", model
    )
    assert code == 2
    assert err.startswith("Error: --ray-address 127.0.0.1:9: the Ray cluster cannot be joined (")


@pytest.mark.slow
def test_studies_stdin_and_embeddings(
    start: Start, tier: Tier, model: str, mixed: list[str], tmp_path: Path
) -> None:
    """A list on stdin, means by study, and vectors with patches: as on this machine."""
    ray = ("--runner", "ray", "--workers", 2)
    by_study = ("classify", *mixed, "--model", model, "--by", "study", "--views", "all", "--output")
    tier(*by_study, tmp_path / "here.json")
    with start(*by_study, tmp_path / "ray.json", *ray) as process:
        process.communicate(timeout=300)
    assert (tmp_path / "ray.json").read_bytes() == (tmp_path / "here.json").read_bytes()

    names = "".join(f"{path}\n" for path in sorted(Path(mixed[0]).iterdir())).encode()
    with start("classify", "-", "--model", model, stdin=subprocess.PIPE) as process:
        here, _ = process.communicate(names, timeout=300)
    with start("classify", "-", "--model", model, *ray, stdin=subprocess.PIPE) as process:
        there, _ = process.communicate(names, timeout=300)
    assert len(here.splitlines()) == len(names.splitlines())
    assert there == here

    embed = ("embed", *mixed, "--model", model, "--patches", "--output")
    tier(*embed, tmp_path / "here.npz")
    with start(*embed, tmp_path / "ray.npz", *ray) as process:
        process.communicate(timeout=300)
    with np.load(tmp_path / "here.npz") as ours, np.load(tmp_path / "ray.npz") as theirs:
        assert ours.files == theirs.files
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.slow
def test_evaluation(start: Start, tier: Tier, model: str, tmp_path: Path) -> None:
    """Scores, and what other sections see in the images, come from the cluster: the report is the same."""
    rows = ["path,patient,effusion"]
    for number in range(12):
        write_png(tmp_path / f"{number}.png", number)
        rows.append(f"{number}.png,{number},{number % 2}")
    data = tmp_path / "data.csv"
    data.write_text("\n".join(rows))
    command = ["eval", "--data", data, "--model", model, "--replicates", 20, "--corrupt", "noise", "--output"]
    assert tier(*command, tmp_path / "here.json")[0] == 0
    with start(*command, tmp_path / "ray.json", "--runner", "ray") as process:
        process.communicate(timeout=300)
    assert process.returncode == 0
    here, there = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("here", "ray"))
    for report in here, there:
        report.pop("origin", None)
    assert here == there


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_interrupted_run_goes_on(
    start: Start, tier: Tier, model: str, many: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Ctrl-C reaches all processes of a terminal, SIGKILL only the command; the journal is as of any run."""
    command = ["classify", many, "--model", model, "--output"]
    tier(*command, tmp_path / "here.csv")
    output = tmp_path / "ray.csv"
    with start(*command, output, "--runner", "ray", start_new_session=True) as process:
        _until(tmp_path / "ray.csv.journal", 100)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.communicate(timeout=300)
    assert process.returncode == code
    assert tier(*command, output, "--resume")[0] == 3
    assert output.read_bytes() == (tmp_path / "here.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into Linux's /proc")
def test_killed_processes_cost_nothing(
    start: Start, tier: Tier, model: str, many: Path, tmp_path: Path
) -> None:
    """A decoder, the process that has it, and the process with the model are killed, one after the other."""
    command = ["classify", many, "--model", model, "--output"]
    tier(*command, tmp_path / "here.csv")
    with start(*command, tmp_path / "ray.csv", "--runner", "ray", "--workers", 2) as process:
        for lines, name in enumerate(["tier_cli.decoding.worker", "ray::tier: decode", "ray::BatchComputer"]):
            _until(tmp_path / "ray.csv.journal", 100 + 400 * lines)
            for _ in range(100):
                if victims := _below(process.pid, name):
                    break
                time.sleep(0.05)
            os.kill(victims[0], signal.SIGKILL)
        _, err = process.communicate(timeout=600)
    assert (process.returncode, b"crashed" in err) == (3, False)
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into Linux's /proc")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raylet/raylet", b"the processes of Ray on this machine have ended"),
        ("gcs/gcs_server", b"the head of the Ray cluster does not answer any more"),
    ],
)
def test_a_run_without_ray_ends(
    start: Start, tier: Tier, model: str, many: Path, tmp_path: Path, name: str, said: bytes
) -> None:
    """Ray itself waits for ever, or ends the process as if it had a bug; the results are kept."""
    command = ["classify", many, "--model", model, "--output"]
    with start(*command, tmp_path / "ray.csv", "--runner", "ray", "--workers", 2) as process:
        _until(tmp_path / "ray.csv.journal", 100)
        os.kill(_below(process.pid, name)[0], signal.SIGKILL)
        _, err = process.communicate(timeout=200)
    assert (process.returncode, said in err, err.count(b"\n")) == (2, True, 2), err
    assert tier(*command, tmp_path / "ray.csv", "--resume")[0] == 3
    tier(*command, tmp_path / "here.csv")
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


@pytest.fixture
def cluster() -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a cluster of two machines, and a function that takes one of them away."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", CLUSTER, folder]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
            address = process.stdout.readline().strip()
            assert address

            def remove() -> None:
                process.stdin.write("\n")
                process.stdin.flush()
                assert process.stdout.readline().strip() == "removed"

            try:
                yield address, remove
            finally:
                process.communicate("\n\n", timeout=120)


@pytest.mark.slow
def test_lost_machine_costs_nothing(
    start: Start,
    tier: Tier,
    model: str,
    many: Path,
    tmp_path: Path,
    cluster: tuple[str, Callable[[], None]],
) -> None:
    """Of two machines one goes in the middle of the run: the same rows, in the same order."""
    address, remove = cluster
    command = ["classify", many, "--model", model, "--output"]
    tier(*command, tmp_path / "here.csv")
    ray = ("--runner", "ray", "--ray-address", address)
    with start(*command, tmp_path / "ray.csv", *ray) as process:
        _until(tmp_path / "ray.csv.journal", 500)
        remove()
        out, err = process.communicate(timeout=600)
    assert (process.returncode, out) == (3, b""), err
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
