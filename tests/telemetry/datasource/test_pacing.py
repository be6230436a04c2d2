"""Requests a second, requests at a time, and pauses after failures."""

from __future__ import annotations

import threading
from itertools import repeat

import pytest

from setpoint.telemetry.datasource.pacing import BackOff, Pace


def test_pauses_double_and_are_bounded() -> None:
    for jitter, share in ((0.0, 0.5), (1.0, 1.0)):
        back_off = BackOff(repeat(jitter).__next__)
        pauses = [back_off.failed(0) for _ in range(9)]
        assert pauses == [share * whole for whole in (1, 2, 4, 8, 16, 32, 60, 60, 60)]
        back_off.succeeded()
        assert back_off.failed(0) == share


def test_what_the_server_asks_for_is_kept_within_bounds() -> None:
    back_off = BackOff(lambda: 0.0)
    assert back_off.failed(30) == 30
    assert back_off.failed(86_400) == 600
    assert back_off.failed(-5) == pytest.approx(2)


def test_so_many_a_second() -> None:
    now_s = [0.0]
    pace, stop = Pace(2.0, 4, lambda: now_s[0]), threading.Event()
    for _ in range(2):
        with pace.turn(stop, is_urgent=True) as is_mine:
            assert is_mine
    stop.set()
    with pace.turn(stop, is_urgent=True) as is_mine:
        assert not is_mine
    now_s[0] = 0.5
    with pace.turn(stop, is_urgent=False) as is_mine:
        assert not is_mine  # half of a second's worth is left to what is urgent
    stop.clear()
    with pace.turn(stop, is_urgent=True) as is_mine:
        assert is_mine


def test_so_many_at_a_time() -> None:
    pace, stop = Pace(1000.0, 2), threading.Event()
    running, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal running, most
        with pace.turn(stop, is_urgent=True):
            with lock:
                running += 1
                most = max(most, running)
            stop.wait(0.02)
            with lock:
                running -= 1

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 2
