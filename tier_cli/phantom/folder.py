"""Write a folder of synthetic chests with a manifest, rendered by several processes."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from tier_cli.errors import UsageError
from tier_cli.files.atomic import whole_file
from tier_cli.phantom.cohort import Case, cases
from tier_cli.phantom.image_files import write_dicom, write_png
from tier_cli.phantom.lesions import FINDINGS
from tier_cli.phantom.render import PhantomImage
from tier_cli.progress import Progress, no_progress

Format = Literal["png", "dicom"]
SOURCE = "synthetic"
COLUMNS = (
    *("path", "patient", "study", "view", "sex", "age", "split", "source"),
    *FINDINGS,
    *("text", "boxes"),
)
_BATCH = 8
_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class WrittenCohort:
    """The manifest that was written, and the numbers of images and patients in each split."""

    manifest: Path
    images: dict[str, int]
    patients: dict[str, int]


def write_folder(
    folder: Path,
    number: int,
    seed: int,
    *,
    kind: Format = "png",
    size: int = 512,
    workers: int = 1,
    progress: Progress = no_progress,
) -> WrittenCohort:
    """Write `number` images to folder/images and their rows to folder/manifest.csv.

    The files depend on seed, size and kind alone, not on the number of workers.

    Parameters
    ----------
    folder
        The output folder; created if missing.
    number, seed
        How many images of which cohort.
    kind
        ``png`` (8 bits) or ``dicom``.
    size
        Width and height in pixels.
    workers
        Number of drawing processes; with 1 this process draws.
    progress
        Shows progress; one step per image.

    Raises
    ------
    UsageError
        The folder already contains a manifest, or cannot be written.
    """
    manifest = folder / "manifest.csv"
    if manifest.exists():
        raise UsageError(
            "the folder already contains a manifest", where=str(folder), remedy="name another folder"
        )
    images: dict[str, int] = {}
    patients: dict[str, set[str]] = {}
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        with whole_file(manifest) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            with progress(number, "Drawing") as step:
                for row in _rows(folder, cases(number, seed, size), kind, workers):
                    writer.writerow(row)
                    images[row["split"]] = images.get(row["split"], 0) + 1
                    patients.setdefault(row["split"], set()).add(row["patient"])
                    step()
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(folder), remedy="name another folder"
        ) from error
    return WrittenCohort(manifest, images, {split: len(names) for split, names in patients.items()})


def _rows(folder: Path, drawn: Iterator[Case], kind: Format, workers: int) -> Iterator[dict[str, str]]:
    """Write the images and yield their rows in order."""
    if workers <= 1:
        for case in drawn:
            yield _write(folder, case, kind)
        return
    waiting: deque[Future[list[dict[str, str]]]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool:
        try:
            # Submit only a few batches ahead, so that a cohort of any length needs little memory.
            while batch := tuple(islice(drawn, _BATCH)):
                waiting.append(pool.submit(_write_batch, folder, batch, kind))
                if len(waiting) > workers * _BATCHES_AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _prepare_worker() -> None:
    """Prepare a worker process: use one thread, and exit when the parent process has gone."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _write_batch(folder: Path, batch: tuple[Case, ...], kind: Format) -> list[dict[str, str]]:
    return [_write(folder, case, kind) for case in batch]


def _write(folder: Path, case: Case, kind: Format) -> dict[str, str]:
    image = case.render()
    path = f"images/{case.name}.{'png' if kind == 'png' else 'dcm'}"
    if kind == "png":
        write_png(folder / path, image)
    else:
        write_dicom(folder / path, image, view=case.view, patient=case.patient, study=case.study)
    about = {name: getattr(case, name) for name in ("patient", "study", "view", "sex", "split", "text")}
    labels = {name: str(int(name in image.findings)) for name in FINDINGS}
    return {"path": path, "age": str(case.age), "source": SOURCE, "boxes": _boxes(image), **about, **labels}


def _boxes(image: PhantomImage) -> str:
    boxes = [
        {"finding": name, "box": list(box)}
        for name, found in image.boxes.items()
        for box in found
        if box[2] > box[0] and box[3] > box[1]
    ]
    return json.dumps(boxes)
