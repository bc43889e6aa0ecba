"""`tier classify` in its own process: signals, closed pipes, terminals, imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xrays import write_dicom, write_png

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into Linux's /proc")
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A list that names one image very often."""
    image = write_png(tmp_path / "a.png")
    listing = tmp_path / "list.txt"
    listing.write_text(f"{image}\n" * 20_000)
    return listing


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def _bytes_written(pid: int) -> int:
    """What a decoding process has sent back so far: prepared images of some ten kilobytes each."""
    return int(Path(f"/proc/{pid}/io").read_text().split("wchar:")[1].split()[0])


def test_cold_run_loads_only_what_it_uses(model: str, tmp_path: Path) -> None:
    image = write_dicom(tmp_path / "one.dcm")
    script = (
        "import sys, json\n"
        "from tier_cli.app import main\n"
        f"code = main(['classify', {str(image)!r}, '--model', {model!r}, '--device', 'cpu'])\n"
        "heavy = {'torch', 'transformers', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'onnx', 'rich'}\n"
        "heavy |= {'jinja2', 'tokenizers', 'huggingface_hub', 'requests', 'ssl', 'tqdm', 'numpy.ma'}\n"
        "print(json.dumps([code, sorted(heavy & set(sys.modules)), len(sys.modules)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    result, (*seen, modules) = map(json.loads, done.stdout.splitlines())
    assert result["error"] is None
    assert seen == [0, []]
    # numpy, pydicom and onnxruntime are about 250 of them.
    assert modules <= 620
    assert done.stderr == b"Scored 1 of 1 file\n"


def test_a_redirected_file_gets_json_lines_and_the_screen_says_so(
    start: Start, model: str, tmp_path: Path
) -> None:
    """Who expects the tables of the terminal in the file learns how to get them."""
    image, output = write_png(tmp_path / "a.png"), tmp_path / "scores.jsonl"
    with output.open("wb") as stdout, start("classify", image, "--model", model, stdout=stdout) as process:
        _, err = process.communicate()
    (line,) = output.read_text().splitlines()
    assert json.loads(line)["path"] == str(image)
    assert err.decode().splitlines()[-1] == "The results are JSON lines; --table writes text"


def test_help_says_what_a_redirected_file_gets() -> None:
    from tier_cli.commands.classify import classify

    said = " ".join(str(classify.__doc__).split())
    assert "In a pipe (| jq) or a redirected file (> FILE), write JSON lines" in said


def test_closed_pipe_ends_quietly(start: Start, model: str, many: Path) -> None:
    with many.open("rb") as stdin, start("classify", "-", "--model", model, stdin=stdin) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(60), err) == (0, b"")


def test_closed_stdout_from_the_start(model: str, tmp_path: Path) -> None:
    image = write_png(tmp_path / "a.png")
    program = "import sys; from tier_cli.app import main; sys.exit(main())"
    command = [
        "sh",
        "-c",
        '"$0" -c "$1" classify "$2" --model "$3" >&-',
        sys.executable,
        program,
        str(image),
        model,
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"Scored 1 of 1 file\n")


@pytest.mark.parametrize("by", ["image", "study"])
def test_ctrl_c_keeps_finished_results(start: Start, model: str, many: Path, tmp_path: Path, by: str) -> None:
    output = tmp_path / "out.json"
    options = ("--model", model, "--output", output, "--by", by, "--workers", 2)
    with many.open("rb") as stdin, start("classify", "-", *options, stdin=stdin) as process:
        _wait_for(lambda: len(_children(process.pid)) == 2 and (tmp_path / "out.json.journal").exists())
        # More images than can wait for the model: so some have been scored.
        _wait_for(lambda: sum(map(_bytes_written, _children(process.pid))) > 4_000_000)
        children = _children(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    results = json.loads(output.read_text())
    said = f"{len(results)} results were" if len(results) > 1 else "1 result was"
    assert err.decode().startswith(f"Interrupted: {said} written to {output}.\n")
    assert b"To go on, run the same command with --resume" in err
    if by == "image":
        assert 0 < len(results) < 20_000
    else:
        assert any("may be missing" in note for note in results[0]["notes"])
    assert not list(tmp_path.glob("*.partial"))
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_a_killed_command_leaves_no_processes(start: Start, model: str, many: Path) -> None:
    with (
        many.open("rb") as stdin,
        start("classify", "-", "--model", model, "--workers", 2, stdin=stdin) as process,
    ):
        _wait_for(lambda: len(_children(process.pid)) == 2)
        children = _children(process.pid)
        process.kill()
        process.communicate()
    _wait_for(lambda: not [pid for pid in children if _running(pid)])


def test_memory_does_not_grow_with_the_number_of_files(start: Start, model: str, many: Path) -> None:
    def memory(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    with (
        many.open("rb") as stdin,
        start("classify", "-", "--model", model, "--workers", 2, stdin=stdin) as process,
    ):
        assert process.stdout is not None
        for _ in range(100):
            process.stdout.readline()
        before = memory(process.pid)
        for _ in range(1500):
            process.stdout.readline()
        after = memory(process.pid)
        process.stdout.close()
        process.communicate()
    # 1,500 prepared images of this small model would be 18 MB.
    assert after - before < 6_000_000


def _running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _on_a_terminal(start: Start, *arguments: object, columns: int = 80) -> tuple[int, str]:
    import fcntl
    import struct
    import termios

    main, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | {
        "TERM": "xterm-256color"
    }
    with start(*arguments, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        try:
            while piece := os.read(main, 65536):
                shown += piece
        except OSError:  # Linux ends a terminal without writers this way.
            pass
        os.close(main)
        return process.wait(60), shown.decode()


def test_terminal_gets_tables_and_progress(start: Start, model: str, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", 0)
    write_dicom(tmp_path / "b.dcm", 1, Modality="CT")
    code, shown = _on_a_terminal(start, "classify", tmp_path, "--model", model)
    assert code == 3
    assert "Pleural effusion" in shown
    assert "│" in shown
    assert "the modality is CT" in shown
    assert "files/s" in shown or "Scoring" in shown
    assert "schema_version" not in shown
    assert "1 of 2 files could not be scored" in shown


def test_terminal_shows_nothing_on_stdout_beside_a_file(start: Start, model: str, tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", 0)
    code, shown = _on_a_terminal(start, "classify", tmp_path, "--model", model, "-o", tmp_path / "x.csv")
    assert code == 0
    assert "Pleural effusion" not in shown
    assert "Scored 1 of 1 file; the results are in" in shown
