"""Guesses become slow, and their victim is not kept out for long."""

from __future__ import annotations

from setpoint.access.throttle import Throttle
from setpoint.clock import VirtualClock


def test_waits_double_by_name_and_by_address() -> None:
    clock = VirtualClock(1_000_000)
    throttle = Throttle(clock)
    waits = []
    for _ in range(20):
        waits.append(throttle.wait_s("192.0.2.1", "eve"))
        throttle.failed("192.0.2.1", "eve")
    assert waits[:9] == [0, 0, 0, 0, 0, 1, 2, 4, 8]
    assert throttle.wait_s("192.0.2.1", "ada") == 900, "another name from there"
    assert throttle.wait_s("192.0.2.2", "eve") == 30, "the owner, from elsewhere"
    assert throttle.wait_s("192.0.2.2", "ada") == 0
    clock.advance(30)
    assert throttle.wait_s("192.0.2.2", "eve") == 0
    clock.advance(1800)
    throttle.failed("192.0.2.1", "eve")
    assert throttle.wait_s("192.0.2.1", "eve") == 0, "forgotten"


def test_whoever_comes_through_a_proxy_on_this_machine_waits_as_short_as_a_name() -> None:
    throttle = Throttle(VirtualClock(0))
    for number in range(30):
        throttle.failed("127.0.0.1", f"guess-{number}")
    assert throttle.wait_s("127.0.0.1", "ada") == 30


def test_success_forgives_the_name_and_one_try_of_the_address() -> None:
    throttle = Throttle(VirtualClock(0))
    for _ in range(6):
        throttle.failed("192.0.2.1", "eve")
    throttle.succeeded("192.0.2.1", "eve")
    assert throttle.wait_s("192.0.2.2", "eve") == 0
    assert throttle.wait_s("192.0.2.1", "mallory") == 1


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    clock = VirtualClock(10_000_000)
    throttle = Throttle(clock)
    for _ in range(20):
        throttle.failed("192.0.2.1", "eve")
    clock.advance(-5000)
    assert throttle.wait_s("192.0.2.1", "eve") == 0


def test_it_stays_small() -> None:
    throttle = Throttle(VirtualClock(0))
    for number in range(12_000):
        throttle.failed(f"address {number}", "")
    assert len(throttle._failures) == 10_000
