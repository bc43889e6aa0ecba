"""Show the progress and the result of `tier train`, and let people stop it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tier_cli.console import is_terminal, print_message
from tier_cli.errors import TierError
from tier_cli.signals import Stopped
from tier_cli.training.progress import Stage, no_progress

if TYPE_CHECKING:
    from rich.console import Console

    from tier_cli.training.progress import Epoch, TrainingProgress

TITLES = {
    Stage.PREPARING: "preparing",
    Stage.LEARNING_PROMPTS: "learning prompts",
    Stage.TRAINING: "training",
    Stage.VALIDATING: "validating",
    Stage.READING_IMAGES: "reading images",
    Stage.READING_REGIONS: "reading regions",
    Stage.COMPUTING_FEATURES: "computing frozen features",
    Stage.WRITING_CHECKPOINT: "writing the checkpoint",
    Stage.WRITING_EPOCHS: "writing epochs",
}

_ONE_SIGNAL_SECONDS = 2.0
_BEAT_SECONDS = 0.25
# A log gets a line at least every 2 s in the first minute, every 10 s in the first ten, then every minute.
_INTERVALS = ((60.0, 2.0), (600.0, 10.0), (float("inf"), 60.0))
# How many unreadable images are listed.
_LISTED = 5


@contextmanager
def stopping(output: Path) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM save the state and end the run after its step, the second at once.

    If the run ends early, print what its output folder keeps.
    """
    from tier_cli.training.run.work_folder import describe_images, describe_state

    asked_at: float | None = None
    asked_by: int = signal.SIGINT
    signals = (signal.SIGINT, signal.SIGTERM)

    def request_stop(number: int, frame: Any) -> None:
        nonlocal asked_at, asked_by
        # torchrun repeats the signal that the terminal has already sent.
        if asked_at is not None and time.monotonic() - asked_at >= _ONE_SIGNAL_SECONDS:
            raise KeyboardInterrupt
        if asked_at is None:
            asked_at, asked_by = time.monotonic(), number
            if _is_first_process():
                print_message("Stopping after this step. Press Ctrl-C again to stop at once, without saving.")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: asked_at is not None
        return
    # Images from an earlier run are not this run's; they may even be why it is refused.
    left_before = bool(describe_images(output))
    before = {number: signal.signal(number, request_stop) for number in signals}
    try:
        yield lambda: asked_at is not None
    except KeyboardInterrupt:
        if _is_first_process():
            print_message(f"Stopped. {describe_state(output)}")
        if asked_by != signal.SIGINT:
            # A scheduler tells by the exit code whether the run ended because it was told to.
            raise Stopped(asked_by) from None
        raise
    except TierError:
        if _is_first_process() and not left_before and describe_images(output):
            print_message(describe_images(output))
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def display() -> Iterator[TrainingProgress]:
    """Show each stage as one line on a terminal; without a terminal, print lines."""
    if not _is_first_process():
        yield no_progress
    elif is_terminal("stderr"):
        from rich.console import Console

        with live(Console(stderr=True)) as progress:
            yield progress
    else:
        plain = _Lines()
        with plain.beating():
            yield plain


@contextmanager
def preparing() -> Iterator[None]:
    """Show that the data and the starting weights are being opened, before a run can report progress."""
    with display() as progress:
        progress(Stage.PREPARING, 0, 0)
        yield
        progress(Stage.PREPARING, 1, 1)


def tell(message: str) -> None:
    """Print a message once, whatever the number of processes."""
    if _is_first_process():
        print_message(message)


def print_notes(notes: Sequence[str]) -> None:
    """Print the notes about the data."""
    if _is_first_process():
        for note in notes:
            print_message(f"Data: {note}.")


def summarise(record: Mapping[str, Any], output: Path) -> None:
    """Print the result of a run."""
    if not _is_first_process():
        return
    if record.get("over"):
        print_message(f"{output} already contains this run, which is finished: nothing to do.")
        return
    validation = record.get("validation", {})
    if "mean_auc" in validation:
        print_message(
            f"Validation: mean zero-shot AUC {validation['mean_auc']:.3f} on {validation['images']} images."
        )
    if record["unreadable_images"]:
        print_message(f"{record['unreadable_images']} unreadable images were left out.")
        for line in record.get("unreadable", [])[:_LISTED]:
            print_message(f"  {line}")
    if "not_drawn" in record:
        print_message(f"The curves and the card could not be written: {record['not_drawn']}.")
    if record.get("kept_epochs"):
        print_message(f"Kept epochs {', '.join(map(str, record['kept_epochs']))} in {output / 'epochs'}.")
    print_message(f"Wrote {output} after {record['seconds']} s of training.")


def figures_line(figures: Mapping[str, float]) -> str:
    """Return a step's loss, terms, sparsity, learning rate and images per second in 48 characters.

    With a prompt term, that term takes the place of the sparsity.
    """
    prompt = figures.get("prompt")
    last = f"sp {figures['similarity_hoyer']:.2f}" if not prompt else f"p {prompt:.2g}"
    return (
        f"loss {figures['total']:.3g} c {figures['contrastive']:.3g} "
        f"H {figures['patch_entropy']:.4g}/{figures['token_entropy']:.3g} "
        f"{last} lr {_rate(figures['learning_rate'])} "
        f"{_speed(figures['images_per_second'])}/s"
    )


def _count(epoch: Epoch | None) -> str:
    return "" if epoch is None else f"{epoch.number}/{epoch.last}"


def _validated(figures: Mapping[str, float], epoch: Epoch | None) -> str:
    result = f"mean zero-shot AUC {figures['mean_auc']:.3f}" if figures else "no AUC"
    return f"epoch {_count(epoch)}: {result}"


def _speed(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _rate(rate: float) -> str:
    return f"{rate:.0e}".replace("e-0", "e-")


def _is_first_process() -> bool:
    # RANK: set by torchrun; only the first process writes to the terminal.
    return os.environ.get("RANK", "0") == "0"


class _Lines:
    """Write lines for a log: stages, steps with figures, validations, and a sign of life in between."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._began = self._said = self._stage_began = time.monotonic()
        self._stage: Stage | None = None
        self._status = ""

    def __call__(
        self,
        stage: Stage,
        done: int,
        total: int,
        figures: Mapping[str, float] | None = None,
        epoch: Epoch | None = None,
    ) -> None:
        """Report progress; see `TrainingProgress`."""
        with self._lock:
            new = stage is not self._stage
            if stage is Stage.VALIDATION:
                self._say(_validated(figures or {}, epoch))
                return
            if new:
                self._stage, self._stage_began = stage, time.monotonic()
            self._status = _status(stage, done, total, figures, epoch)
            # Preparing is mostly quick, and then not worth a line.
            counted = stage not in (Stage.PREPARING, Stage.TRAINING, Stage.VALIDATING)
            step = stage is Stage.TRAINING and figures is not None and (new or done <= 1)
            if step or (counted and ((new and not done) or done == total > 0)) or self._due():
                self._say(self._status)
            if counted and done == total > 0:
                self._stage, self._status = None, TITLES[Stage.PREPARING]

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Repeat the status while nothing else is written."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(_BEAT_SECONDS):
                with self._lock:
                    if self._status and self._due():
                        self._say(f"{self._status} ({time.monotonic() - self._stage_began:.0f} s)")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _due(self) -> bool:
        now = time.monotonic()
        interval = next(seconds for until, seconds in _INTERVALS if now - self._began < until)
        return now - self._said >= interval

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        print_message(line)


def _status(
    stage: Stage, done: int, total: int, figures: Mapping[str, float] | None, epoch: Epoch | None
) -> str:
    if stage is Stage.TRAINING:
        shown = "" if figures is None else f" {figures_line(figures)}"
        return f"epoch {_count(epoch)} {done}/{total}{shown}"
    if not total or not done:
        return f"{TITLES[stage]} ..."
    return f"{TITLES[stage]}: {total}" if done == total else f"{TITLES[stage]}: {done} of {total}"


@contextmanager
def live(console: Console) -> Iterator[TrainingProgress]:
    """Show one line per stage, in training with the figures of a step; a bar would leave no room for them.

    A stage that cannot be counted shows its seconds.
    """
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.text import Text

    from tier_cli.display.progress import time_left

    class Rest(ProgressColumn):
        """Show the share that is done and the time left, or the time that has passed."""

        def render(self, task: Task) -> Text:
            if not task.total:
                return Text(f"{task.elapsed or 0:.0f} s")
            return Text(f"{task.percentage:>3.0f}% {time_left(task.time_remaining)}".rstrip())

    with Progress(TextColumn("{task.description}"), Rest(), SpinnerColumn("line"), console=console) as bars:
        tasks: dict[Stage, Any] = {}
        shown = ""

        def progress(
            stage: Stage,
            done: int,
            total: int,
            figures: Mapping[str, float] | None = None,
            epoch: Epoch | None = None,
        ) -> None:
            nonlocal shown
            if stage is Stage.VALIDATION:
                bars.console.print(_validated(figures or {}, epoch))
                return
            if stage is Stage.TRAINING and figures is not None:
                shown = figures_line(figures)
            label = f"{_count(epoch)} {shown}" if stage is Stage.TRAINING else TITLES[stage]
            if stage not in tasks:
                tasks[stage] = bars.add_task(label, total=total or None)
            elif done == 0:
                bars.reset(tasks[stage], total=total)
            over = done >= total > 0
            bars.update(tasks[stage], completed=done, description=label, visible=not over)
            # Something moves between two stages too.
            between = Stage.PREPARING in tasks and stage is not Stage.PREPARING
            if between and over and stage is not Stage.VALIDATING:
                bars.reset(tasks[Stage.PREPARING], total=None, visible=True)
            elif between:
                bars.update(tasks[Stage.PREPARING], visible=False)

        yield progress
