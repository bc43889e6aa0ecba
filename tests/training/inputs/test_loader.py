"""Worker processes end quietly."""

from __future__ import annotations

import atexit
import multiprocessing
import os
from contextlib import closing

# The worker process imports this file, so heavy imports are inside the test.


class FailsAtItsEnd:
    """Images whose library aborts the process when that ends, as Arrow's may."""

    slow = True

    def __init__(self, images):
        self.images = images

    def __getstate__(self):
        return {"images": self.images}

    def __setstate__(self, state):
        self.__dict__ = state
        atexit.register(os.abort)

    def batch(self, rows, places):
        return self.images.batch(rows, places)


def test_a_worker_process_ends_cleanly_whatever_its_libraries_do(tmp_path):
    """A process that aborts shows a traceback to somebody who only pressed Ctrl-C."""
    import torch
    from little import SETTINGS, batches

    from tier_cli.training.inputs.loader import load

    made = batches(tmp_path, SETTINGS)
    made.images = FailsAtItsEnd(made.images)
    with closing(load(made, 0, 4, 1, torch.device("cpu"))) as loaded:
        assert len(next(loaded).rows) == SETTINGS.batch_size
        (process,) = multiprocessing.active_children()
    assert process.exitcode == 0
