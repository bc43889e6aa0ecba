"""How many decoding processes work at once while they are killed again and again."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from tier_cli.decoding import pace as module
from tier_cli.decoding.pace import Pace


def test_trouble_halves_the_processes_down_to_one_and_calm_brings_them_back() -> None:
    pace = Pace(8)
    allowed = []
    for _ in range(4):
        pace.went_wrong()
        allowed.append(pace.allowed)
    assert allowed == [4, 2, 1, 1]
    for _ in range(module._CALM):
        pace.went_well()
    assert pace.allowed == 2
    for _ in range(20 * module._CALM):
        pace.went_well()
    assert pace.allowed == 8


def test_waits_grow_to_a_bound_and_end_with_the_first_file() -> None:
    pace = Pace(1)
    for _ in range(20):
        pace.went_wrong()
    assert pace._delay == module._LONGEST_DELAY
    pace.went_well()
    assert pace._delay == 0


def test_only_the_allowed_number_works() -> None:
    pace = Pace(2)
    pace.went_wrong()
    began, ended = threading.Event(), threading.Event()

    def second() -> None:
        with pace.turn():
            began.set()
        ended.set()

    with pace.turn():
        thread = threading.Thread(target=second)
        thread.start()
        assert not began.wait(0.1)
    assert ended.wait(10)
    thread.join()


def test_closing_wakes_those_that_wait() -> None:
    pace = Pace(1)
    for _ in range(9):
        pace.went_wrong()
    pace.close()
    with pytest.raises(CancelledError):
        pace.wait()
    with pytest.raises(CancelledError), pace.turn():
        pass
