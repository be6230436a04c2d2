"""`kill -9` of the engine under load, at arbitrary moments and at every step of a flush: each acknowledged sample is
there after the restart, once.

The engine runs in a process of its own (tests.scenario.killed_engine), which tells what was acknowledged.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.scenario.killed_engine import PODS, POINTS, SENDERS, offset_ms

ROOT = Path(__file__).parent.parent.parent
RANDOM_KILLS = 6
NOW_MS = int(time.time() * 1000)

pytestmark = [pytest.mark.timeout(170)]


def _start(path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.scenario.killed_engine", str(path), str(NOW_MS), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _acknowledged(process: subprocess.Popen[str], kill_after: int | None) -> set[tuple[int, int, int]]:
    """What the process told until its end; killed here after so many lines."""
    assert process.stdout is not None
    told = set()
    for line in process.stdout:
        run, sender, number = line.split()
        told.add((int(run), int(sender), int(number)))
        if kill_after is not None and len(told) == kill_after:
            process.kill()
    process.wait(30)
    return told


def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    chance = random.Random()
    points = [*POINTS, *[""] * RANDOM_KILLS]
    chance.shuffle(points)
    acknowledged: set[tuple[int, int, int]] = set()
    for run, point in enumerate(points):
        with _start(tmp_path, str(run), point) as process:
            told = _acknowledged(process, None if point else chance.randrange(1, 400))
        assert process.returncode == -9, (point, process.returncode)
        assert told, point
        acknowledged |= told
    with _start(tmp_path, "read") as process:
        lines, _ = process.communicate(timeout=60)
    *samples, counted = lines.splitlines()
    found: dict[tuple[int, int, int], float] = {}
    for line in samples:
        *key, value = line.split()
        place = (int(key[0]), int(key[1]), int(key[2]))
        assert place not in found, "a sample is there twice"
        found[place] = float(value)
    for run, sender, number in acknowledged:
        for pod in range(PODS):
            at = offset_ms(run, number, pod)
            assert found.get((sender, pod, at)) == number, (points, run, sender, number, pod)
    assert len(found) == int(counted), "a sample is stored twice"
    assert {sender for _, sender, _ in acknowledged} == set(range(SENDERS))
