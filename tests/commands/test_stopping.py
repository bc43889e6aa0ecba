"""A signal ends the command as a signal does, wherever in the code it arrives."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tier_cli import app
from tier_cli.commands.stopping import stopping
from tier_cli.errors import UsageError
from tier_cli.pipeline.runners import opening
from tier_cli.signals import Stopped


def interrupted_import(number: int) -> None:
    """Raise what numpy does if a signal arrives while a compiled module imports it."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise ImportError("numpy.core.multiarray failed to import") from None


def interrupted_reading() -> None:
    """Refuse something in words for people, after a signal."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise UsageError("wrong") from None


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_during_an_import_is_no_bug(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(Stopped) as stopped, stopping() as told:
            interrupted_import(number)
        assert (stopped.value.number, told()) == (number, stopped.value)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_lost_signal_is_remembered_and_errors_without_one_stay() -> None:
    with stopping() as told:
        assert told() is None
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        # Also inside: the innermost block remembers.
        with stopping() as inner, pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert type(told()) is type(inner()) is KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), stopping():
        raise ZeroDivisionError
    with pytest.raises(UsageError), stopping():
        interrupted_reading()


def interrupted_start(number: int) -> None:
    """Raise what compiled modules make of every signal whose handler raises."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("interrupted", [signal.raise_signal, interrupted_import, interrupted_start])
def test_a_signal_before_the_first_result_has_its_exit_code(
    name: str,
    code: int,
    interrupted: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """While Ray starts, for example: what it started is ended, and no scheduler takes it for Ctrl-C."""
    ended = []

    @contextmanager
    def open_runner(*_: object) -> Iterator[None]:
        try:
            interrupted(getattr(signal, name))
            yield
        finally:
            ended.append(True)

    monkeypatch.setattr(opening, "open_runner", open_runner)
    assert app.main(["classify", "a.png", "--output", "a.csv"]) == code
    assert (ended, capfd.readouterr()) == ([True], ("", ""))


def test_ctrl_c_during_an_import_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "_run", lambda arguments: interrupted_import(signal.SIGINT))
    assert app.main(["classify", "a.png"]) == 130
    assert capfd.readouterr() == ("", "")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
