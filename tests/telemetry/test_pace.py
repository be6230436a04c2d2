"""The pace of groups, on a simulated clock: a lone batch goes at once, small ones share, nobody waits for nobody."""

from __future__ import annotations

import heapq
import random

import pytest

from setpoint.telemetry.pace import Pace

STORE_S = 0.003


class Simulation:
    """A writer that stores a group in `STORE_S`, and senders of batches with some rows."""

    def __init__(self, rows: int) -> None:
        self.now_s = 0.0
        self.rows = rows
        self.arrivals: list[float] = []
        self.groups = 0
        self.waits_s: list[float] = []
        self.random = random.Random(1)

    def run(self, end_s: float, answer_after_s: float | None = None) -> None:
        """Until `end_s`; with `answer_after_s`, who is answered sends again after about that time."""
        pace, queue = Pace(lambda: self.now_s), list[float]()
        while self.now_s < end_s and self.arrivals:
            self.now_s = max(self.now_s, self.arrivals[0])
            self._take(queue)
            visit = pace.visit()
            while (wait_s := visit.wait_s(len(queue), self.rows * len(queue))) > 0:
                until_s = self.now_s + wait_s
                while self.arrivals and self.arrivals[0] <= until_s:
                    self.now_s = max(self.now_s, self.arrivals[0])
                    self._take(queue)
                    if pace.is_enough(len(queue), self.rows * len(queue)):
                        break
                else:
                    self.now_s = until_s
            self.now_s += STORE_S
            self.groups += 1
            self.waits_s += [self.now_s - came_s for came_s in queue]
            if answer_after_s is not None:
                for _ in queue:
                    heapq.heappush(self.arrivals, self.now_s + self.random.expovariate(1 / answer_after_s))
            queue.clear()

    def _take(self, queue: list[float]) -> None:
        while self.arrivals and self.arrivals[0] <= self.now_s:
            queue.append(heapq.heappop(self.arrivals))

    def wait_s(self, quantile: float) -> float:
        return sorted(self.waits_s)[int(quantile * (len(self.waits_s) - 1))]


def independent(per_s: float, rows: int = 20, end_s: float = 120) -> Simulation:
    """Senders that come when they come."""
    simulation = Simulation(rows)
    at_s = 0.0
    while at_s < end_s:
        at_s += simulation.random.expovariate(per_s)
        simulation.arrivals.append(at_s)
    simulation.run(end_s)
    return simulation


def waiting(senders: int, rows: int = 250, end_s: float = 60) -> Simulation:
    """Senders that wait for their answer before they send again."""
    simulation = Simulation(rows)
    simulation.arrivals = sorted(simulation.random.random() for _ in range(senders))
    simulation.run(end_s, answer_after_s=0.004)
    return simulation


def test_a_lone_batch_goes_at_once() -> None:
    simulation = Simulation(rows=1)
    simulation.arrivals = [float(second) for second in range(60)]
    simulation.run(61)
    assert simulation.groups == 60
    assert simulation.wait_s(1.0) < 0.01


@pytest.mark.parametrize("per_s", [20, 67, 200])
def test_steady_small_senders_share_groups(per_s: float) -> None:
    simulation = independent(per_s)
    assert simulation.groups / simulation.now_s < 13
    assert simulation.wait_s(0.99) < 0.15


@pytest.mark.parametrize("senders", [1, 4, 16])
def test_who_waits_for_an_answer_is_not_kept_waiting(senders: int) -> None:
    simulation = waiting(senders)
    assert simulation.wait_s(0.5) < 0.02
    assert simulation.wait_s(0.95) < 0.05


def test_much_at_once_is_stored_at_once() -> None:
    simulation = waiting(4, rows=8_000)
    assert simulation.wait_s(0.99) < 0.05
