"""The files for SLURM and Kubernetes start what they say, with schedulers that are played by scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_checkpoint
from xrays import write_dicom

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("slurm-*.sh"))
MANIFESTS = sorted(EXAMPLES.glob("kubernetes-*.yaml"))
TIER = f'exec "{sys.executable}" -c "from tier_cli.app import main; raise SystemExit(main())" "$@"'
# Two processes of a program that torchrun starts meet each other.
MEETING = f"""exec "{sys.executable}" -c "
import torch, torch.distributed as dist
dist.init_process_group('gloo')
ones = torch.ones(1)
dist.all_reduce(ones)
print(f'rank {{dist.get_rank()}} of {{int(ones)}}', flush=True)
" """
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(os.name != "posix" or shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a script in bash, with `tier` of this checkout and the programs that are given."""

    def run(script: str, *arguments: object, programs: dict[str, str], **environment: str) -> Any:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in {"tier": TIER, **programs}.items():
            (folder / name).write_text(f"#!/bin/bash\n{text}\n")
            (folder / name).chmod(0o755)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", script, "example", *map(str, arguments)],
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three studies of two images each, and a broken file."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(6):
        write_dicom(folder / f"{number}.dcm", number, f"1.{number // 2}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


def _whole(data: Path, output: Path, model: str) -> bytes:
    from tier_cli.app import main

    main(["classify", str(data), "--model", model, "--output", str(output)])
    return output.read_bytes()


def _merged(folder: Path, output: Path) -> bytes:
    from tier_cli.app import main

    main(["merge", *map(str, sorted(folder.glob("part-*.journal"))), "--output", str(output)])
    return output.read_bytes()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert os.access(path, os.X_OK)


def test_slurm_shards_are_the_whole(run: Run, data: Path, model: str, tmp_path: Path) -> None:
    """All parts, one of them started twice, give the file of one run."""
    script = (EXAMPLES / "slurm-shards.sh").read_text()
    assert "--array=1-16" in script
    script = script.replace("parts=16", "parts=2")
    for task in ("1", "2", "1"):
        done = run(script, data, tmp_path / "parts", "--model", model, programs={}, SLURM_ARRAY_TASK_ID=task)
        assert done.returncode == 0, done.stderr
    assert "had been scored before" in done.stderr
    assert _merged(tmp_path / "parts", tmp_path / "merged.csv") == _whole(data, tmp_path / "one.csv", model)


def _job(path: Path) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    job = next(one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == "Job")
    assert isinstance(job, dict)
    return job


def _container(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_files_agree_with_themselves(path: Path) -> None:
    """The number stands in three places; the names of service, job and host belong together."""
    job = _job(path)
    values = {one["name"]: one.get("value") for one in _container(job)["env"]}
    count = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == count == int(values.get("PARTS") or values["PODS"])
    mounted = {one["name"] for one in _container(job)["volumeMounts"]}
    assert mounted == {one["name"] for one in job["spec"]["template"]["spec"]["volumes"]}
    host = str(values.get("RAY_ADDRESS") or values.get("MASTER") or "").partition(":")[0]
    if host:
        name = job["metadata"]["name"]
        assert host == f"{name}-0.{job['spec']['template']['spec']['subdomain']}"
        assert f"kind: Service\nmetadata:\n  name: {name}\n" in path.read_text()


def test_kubernetes_shards_are_the_whole(run: Run, data: Path, model: str, tmp_path: Path) -> None:
    container = _container(_job(EXAMPLES / "kubernetes-shards.yaml"))
    results = tmp_path / "results"
    results.mkdir()
    script = container["args"][0].replace("/results", str(results))
    script = script.replace("classify /data", f"classify {data} --model {model}")
    for index in ("0", "1"):
        done = run(script, programs={}, JOB_COMPLETION_INDEX=index, PARTS="2")
        assert done.returncode == 0, done.stderr
    assert _merged(results, tmp_path / "merged.csv") == _whole(data, tmp_path / "one.csv", model)


PLAYED = {
    "scontrol": 'echo "127.0.0.1"; echo "127.0.0.1"',
    "getent": "exit 0",
    "srun": '"$@"',
    "ray": 'echo "$RAY_ADDRESS" >&2; echo "ray $*"; until [ "$1" = -- ]; do shift; done; echo "then ${*:2}"',
    "torchrun": 'echo "torchrun $*"',
}


def test_ray_starts_on_every_machine_and_tier_on_one(run: Run) -> None:
    script = (EXAMPLES / "slurm-ray.sh").read_text()
    slurm = {"SLURM_JOB_NODELIST": "n[1-4]", "SLURM_JOB_NUM_NODES": "4", "SLURM_CPUS_PER_TASK": "16"}
    done = run(script, "images", "s.csv", "--by", "study", programs=PLAYED, **slurm)
    tier = "tier classify {} --output {} --resume --runner ray"
    assert done.stdout.splitlines() == [
        "ray symmetric-run --address 127.0.0.1:6379 --min-nodes 4 --num-cpus 16 -- "
        + tier.format("images", "s.csv")
        + " --by study",
        f"then {tier.format('images', 's.csv')} --by study",
    ]
    container = _container(_job(EXAMPLES / "kubernetes-ray.yaml"))
    values = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    done = run(container["args"][0], programs=PLAYED, **values)
    assert done.stdout.splitlines()[-1] == f"then {tier.format('/data', '/results/scores.parquet')}"
    assert done.stderr == "tier-ray-0.tier-ray:6379\n"


def test_torchrun_gets_the_numbers_of_the_scheduler(run: Run) -> None:
    slurm = {"SLURM_JOB_NODELIST": "n", "SLURM_JOB_NUM_NODES": "2", "SLURM_NODEID": "1"}
    script = (EXAMPLES / "slurm-train.sh").read_text()
    done = run(script, "--data", "m 1.csv", programs=PLAYED, SLURM_GPUS_ON_NODE="8", **slurm)
    assert done.stdout == (
        "torchrun --no-python --nnodes 2 --node-rank 1 --nproc-per-node 8 --master-addr 127.0.0.1 "
        "--master-port 29500 tier train --data m 1.csv\n"
    )
    container = _container(_job(EXAMPLES / "kubernetes-train.yaml"))
    values = {one["name"]: one["value"] for one in container["env"]}
    done = run(container["args"][0], programs=PLAYED, JOB_COMPLETION_INDEX="1", **values)
    assert done.stdout.startswith(
        "torchrun --no-python --nnodes 2 --node-rank 1 --nproc-per-node 8 "
        "--master-addr tier-train-0.tier-train --master-port 29500 tier train --data"
    )


@pytest.mark.slow
def test_two_machines_meet(run: Run) -> None:
    """The real torchrun, started by a scheduler once for each of two machines that are this one."""
    srun = 'SLURM_NODEID=1 "$@" & SLURM_NODEID=0 "$@"; code=$?; wait; exit $code'
    torchrun = f'exec "{sys.executable}" -m torch.distributed.run "$@"'
    programs = {**PLAYED, "srun": srun, "torchrun": torchrun, "tier": MEETING}
    slurm = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "OMP_NUM_THREADS": "1"}
    done = run((EXAMPLES / "slurm-train.sh").read_text(), "--data", "m.csv", programs=programs, **slurm)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "rank 0 of 2", "rank 1 of 2"]
