"""Disturb `tier listen` while several senders fill it: no image may be lost, doubled or from a stranger.

Run: python benchmarks/listen.py [--images 1000] [--senders 4] [--kills 2] [--folder FOLDER]

DCMTK's storescu sends small images of many studies, in parts, from several processes at once. Senders are
killed in the middle of a part, the receiver is killed (SIGKILL) and started again, and strangers, half-sent
images, random bytes and port scans come in between. Each sender sends a part again until all of it was
answered with success, as a PACS does. At the end the journal must hold one result for each image, and the
files of the studies the same. Then a receiver with little room for pixels must refuse images as out of
resources. The last line, on stdout, is JSON; the exit code is 0 only if everything held. Linux only: memory
is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from processes import TIER
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

_ROOT = "1.2.826.0.1.3680043.8.498.99"
_SIDE, _PER_STUDY, _PER_PART = 80, 2, 25
_PATIENCE = 600.0
# More images than fit into the least --max-disk.
_FILLING = 200
_TICK = 0.05


class FaultError(Exception):
    """Something that must not happen has happened."""


def main() -> None:
    """Run the test and write what was done as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--kills", type=int, default=2, help="how often the receiver is killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="empty or new folder, which stays; default: temporary")
    parser.add_argument("--model", default="tier-small")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="listen-"))
    (folder / "images").mkdir(parents=True)
    result: dict[str, object] = {"images": given.images, "senders": given.senders, "fault": ""}
    started = time.monotonic()
    try:
        result |= disturbed(folder, given)
        result |= full_disk(folder, given.model)
    except FaultError as error:
        result["fault"] = f"{error}; see {folder}"
    result["seconds"] = round(time.monotonic() - started, 1)
    sys.stdout.write(json.dumps(result) + "\n")
    if given.folder is None and not result["fault"]:
        shutil.rmtree(folder)
    raise SystemExit(1 if result["fault"] else 0)


class Receiver:
    """`tier listen` in a process of its own.

    Parameters
    ----------
    folder
        Receives what it writes.
    options
        Further options.
    """

    def __init__(self, folder: Path, *options: str):
        self.folder, self.port = folder / "out", free_port()
        self._status, self._stderr = folder / "status.json", folder / "stderr.txt"
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.kills = 0
        self.resident: list[int] = []
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        before = self.events("listening")
        command = [
            sys.executable,
            "-c",
            TIER,
            "listen",
            "--port",
            str(self.port),
            "--output",
            str(self.folder),
        ]
        command += [
            "--status-file",
            str(self._status),
            "--study-timeout",
            "2",
            "--workers",
            "1",
            "--views",
            "all",
        ]
        with self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen([*command, *self._options], stderr=stderr)
        wait(lambda: self.events("listening") > before or self.ended(), "the receiver does not start")
        self.resident = []
        if self.ended():
            raise FaultError(f"the receiver ended: {self._stderr.read_text()[-500:]}")

    def ended(self) -> bool:
        """Return whether the process has ended."""
        return self.process is None or self.process.poll() is not None

    def events(self, name: str) -> int:
        """Return how often it told of an event."""
        if not self._stderr.exists():
            return 0
        return self._stderr.read_text(errors="replace").count(f'"event": "{name}"')

    def kill(self) -> None:
        """Kill it, and start it again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.kills += 1
        self.start()

    def stop(self) -> int:
        """Let it end in order, and return its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)

    def measure(self) -> None:
        """Note the memory that it holds, in bytes."""
        if self.process is None:
            return
        with suppress(OSError, IndexError, ValueError):
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            self.resident.append(pages * os.sysconf("SC_PAGESIZE"))

    def state(self) -> dict[str, object]:
        """Return its status file."""
        with suppress(OSError, ValueError):
            document: dict[str, object] = json.loads(self._status.read_text())
            return document
        return {}


def disturbed(folder: Path, given: argparse.Namespace) -> dict[str, object]:
    """Send all images through every disturbance, and compare what was scored with what was sent.

    Raises
    ------
    FaultError
        If an image is lost, doubled or a stranger's.
    """
    files = write_images(folder / "images", given.images)
    draw = random.Random(given.seed)
    parts = [files[start : start + _PER_PART] for start in range(0, len(files), _PER_PART)]
    allowed = [
        option for number in range(given.senders) for option in ("--allow", f"SENDER{number}@127.0.0.1")
    ]
    receiver = Receiver(folder, *allowed, "--model", given.model)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    senders = [
        threading.Thread(target=send_parts, args=(receiver, number, parts[number :: given.senders], counts))
        for number in range(given.senders)
    ]
    for sender in senders:
        sender.start()
    disturbances: list[Callable[[], object]] = [
        *[lambda: scan(receiver.port, draw)] * 3,
        *[lambda: stranger(receiver.port, files[:2], folder, counts)] * 2,
        *[lambda: half_sent(receiver.port, files[0], counts)] * 3,
        *[receiver.kill] * given.kills,
    ]
    draw.shuffle(disturbances)
    while any(sender.is_alive() for sender in senders):
        receiver.measure()
        # Spread over the run, however fast the machine is.
        due = len(disturbances) * (1 - counts["sent"] / max(1, len(parts)))
        if disturbances and len(disturbances) >= due:
            disturbances.pop()()
        time.sleep(_TICK)
    received = time.monotonic() - began
    for disturbance in disturbances:
        disturbance()
    while receiver.state().get("results") != given.images and time.monotonic() < began + 2 * _PATIENCE:
        receiver.measure()
        time.sleep(_TICK)
    wait(lambda: len(results(receiver)) >= given.images, "not all images are scored")
    wait(lambda: receiver.state().get("open_studies") == 0, "studies stay open")
    scored = time.monotonic() - began
    receiver.measure()
    code = receiver.stop()
    check(receiver, files, code)
    # Of the process that ran last, without its start.
    third = max(1, len(receiver.resident) // 3)
    return {
        "exit_code": code,
        "seconds_to_receive": round(received, 1),
        "seconds_to_score": round(scored, 1),
        "receiver_killed": receiver.kills,
        "parts_sent_again": counts["again"],
        "senders_killed": counts["killed"],
        "strangers_refused": counts["stranger"],
        "half_sent": counts["half"],
        "duplicates_answered": receiver.events("duplicate"),
        "megabytes_in_the_middle": round(max(receiver.resident[third:-third] or [0]) / 1e6),
        "megabytes_at_the_end": round(max(receiver.resident[-third:]) / 1e6),
    }


def send_parts(
    receiver: Receiver, number: int, parts: Sequence[Sequence[Path]], counts: Counter[str]
) -> None:
    """Send parts one after the other, each until all of it has been answered with success."""
    for place, part in enumerate(parts):
        doomed = place == 1
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            process = store(receiver.port, part, f"SENDER{number}")
            if doomed:
                # In the middle of its work, on most machines.
                time.sleep(0.2)
                process.kill()
                counts["killed"] += 1
                doomed = False
            if process.wait() == 0:
                break
            counts["again"] += 1
            time.sleep(0.2)
        counts["sent"] += 1


def store(port: int, files: Sequence[Path], title: str) -> subprocess.Popen[bytes]:
    """Start storescu."""
    command = [storescu(), "-R", "-aet", title, "-aec", "TIER", "127.0.0.1", str(port), *map(str, files)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def storescu() -> str:
    """Return DCMTK's storescu; pynetdicom installs a program of the same name."""
    for folder in os.get_exec_path():
        found = shutil.which("storescu", path=folder)
        if found:
            said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            if "$dcmtk" in said:
                return found
    raise FaultError("DCMTK's storescu is not installed")


def stranger(port: int, files: Sequence[Path], folder: Path, counts: Counter[str]) -> None:
    """Send images of a study of its own under a title that is not allowed."""
    from pydicom import dcmread

    (folder / "strange").mkdir(exist_ok=True)
    copies = []
    for number, file in enumerate(files):
        dataset = dcmread(file)
        dataset.StudyInstanceUID = f"{_ROOT}.9999"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{_ROOT}.9999.{number}")
        copies.append(folder / "strange" / file.name)
        dataset.save_as(copies[-1])
    if store(port, copies, "STRANGER").wait() == 0:
        raise FaultError("a stranger was let in")
    counts["stranger"] += 1


def half_sent(port: int, file: Path, counts: Counter[str]) -> None:
    """Negotiate, announce an image, send a part of it, and go."""
    from pynetdicom import AE

    ae = AE(ae_title="SENDER0")
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.1.1", ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", port, ae_title="TIER")
    transport = association.dul.socket
    if not association.is_established or transport is None or transport.socket is None:
        return
    with suppress(OSError):
        # One fragment of a data set, not the last: a P-DATA-TF with context 1 and control header 0.
        body = file.read_bytes()[:2000]
        pdv = (len(body) + 2).to_bytes(4, "big") + b"\x01\x00" + body
        transport.socket.sendall(b"\x04\x00" + len(pdv).to_bytes(4, "big") + pdv)
        transport.socket.shutdown(socket.SHUT_RDWR)
    association.abort()
    counts["half"] += 1


def scan(port: int, draw: random.Random) -> None:
    """Connect and go, or connect and send bytes without sense."""
    for length in (0, 1, 6, 100, 5000):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as scanner:
            scanner.sendall(draw.randbytes(length))


def results(receiver: Receiver) -> list[dict[str, object]]:
    """Return all results in the files of the studies."""
    files = sorted((receiver.folder / "studies").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def check(receiver: Receiver, files: Sequence[Path], code: int) -> None:
    """Compare what was scored with what was sent; raises `FaultError`."""
    wanted = {f"{_ROOT}.{number // _PER_STUDY}.{number}" for number in range(len(files))}
    got = Counter(str(result["instance"]) for result in results(receiver))
    merged = receiver.folder.parent / "merged.jsonl"
    command = [
        sys.executable,
        "-c",
        TIER,
        "merge",
        str(receiver.folder / "scores.journal"),
        "-o",
        str(merged),
    ]
    if subprocess.run(command, check=False).returncode != 0:
        raise FaultError("the journal cannot be merged")
    journal = Counter(json.loads(line)["instance"] for line in merged.read_text().splitlines())
    for name, found in (("files of the studies", got), ("journal", journal)):
        if lost := wanted - set(found):
            raise FaultError(f"{len(lost)} images are lost in the {name}")
        if strange := set(found) - wanted:
            raise FaultError(f"{len(strange)} images of strangers are in the {name}")
        if doubled := [uid for uid, count in found.items() if count > 1]:
            raise FaultError(f"{len(doubled)} images are doubled in the {name}")
    if code != 128 + signal.SIGTERM:
        raise FaultError(f"the exit code after SIGTERM is {code}")
    if left := list(receiver.folder.rglob("*.partial")):
        raise FaultError(f"{len(left)} unfinished files are left")


def full_disk(folder: Path, model: str) -> dict[str, object]:
    """Fill the room of a receiver whose studies never end, and that of one whose studies do.

    Raises
    ------
    FaultError
        If it takes more than fits, or refuses what fits once scored images are deleted.
    """
    (folder / "more").mkdir()
    files = write_images(folder / "more", _FILLING)
    counts: dict[str, object] = {}
    for name, timeout in (("refused", "10000"), ("deleted", "0")):
        place = folder / name
        place.mkdir()
        options = ("--max-disk", "1MB", "--study-timeout", timeout, "--allow", "SENDER0@127.0.0.1")
        receiver = Receiver(place, *options, "--model", model)
        # Parts with pauses: images can be deleted only once they are scored.
        codes = []
        for start in range(0, len(files), _PER_PART):
            codes.append(store(receiver.port, files[start : start + _PER_PART], "SENDER0").wait())
            if timeout == "0":
                wanted = min(start + _PER_PART, len(files))
                wait(lambda: len(results(receiver)) >= wanted, "not all images are scored")  # noqa: B023
        used = sum(file.stat().st_size for file in (receiver.folder / "spool").rglob("*.dcm"))
        if used > 1_000_000:
            raise FaultError("more room was taken than allowed")
        receiver.stop()
        counts[f"full_disk_{name}_parts_refused"] = sum(code != 0 for code in codes)
        if (name == "refused") != any(codes):
            raise FaultError(f"with a full disk, the senders ended with {codes}")
    return counts


def write_images(folder: Path, count: int) -> list[Path]:
    """Write small radiographs, two per study."""
    ramp = np.linspace(20, 200, _SIDE * _SIDE).reshape(_SIDE, _SIDE)
    files = []
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 20, ramp.shape)
        pixels = (ramp + noise).clip(0, 255).astype(np.uint8)
        study = f"{_ROOT}.{number // _PER_STUDY}"
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.1"
        dataset.SOPInstanceUID = f"{study}.{number}"
        dataset.PatientName, dataset.PatientID = f"Test^{number}", str(number)
        dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", "PA"
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        dataset.PixelData = pixels.tobytes()
        files.append(folder / f"{number:05d}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(condition: Callable[[], object], otherwise: str) -> None:
    """Wait until something is so; raises `FaultError` after a long time."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise FaultError(otherwise)
        time.sleep(_TICK)


if __name__ == "__main__":
    main()
