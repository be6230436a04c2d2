"""The engine under load until it is killed; `test_kill_ingest` runs it as a program.

`python -m tests.scenario.killed_engine FOLDER NOW_MS RUN POINT` sends, flushes all the time, and prints
`run sender number` for each acknowledged batch; at the step POINT of a flush (one of `POINTS`) it kills itself.
`… FOLDER NOW_MS read` prints every sample, `sender pod offset_ms value`, and at last how many are stored.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from setpoint.database import TelemetryDatabase
from setpoint.errors import Unavailable
from tests.telemetry.engine import HOUR_MS, Engine
from tests.telemetry.naive import batch

SENDERS = 3
PODS = 3
POINTS = ("before insert", "after insert", "within mark", "after mark", "within drop", "after drop")

_LATE_POD = PODS - 1
_FLUSHES_FIRST = 2


def offset_ms(run: int, number: int, pod: int) -> int:
    """When the sample of a batch was, after the start of all; those of one pod came three hours too late."""
    return run * 100_000 + number - (3 * HOUR_MS if pod == _LATE_POD else 0)


def main(path: str, now_ms: int, run: str, point: str = "") -> None:
    engine = Engine(TelemetryDatabase(f"chdb://{path}"), now_ms)
    if run == "read":
        _read(engine, now_ms)
        return
    for sender in range(SENDERS):
        threading.Thread(target=_send, args=(engine, now_ms, int(run), sender), daemon=True).start()
    for number in range(10_000):
        if number == _FLUSHES_FIRST and point:
            _arm(engine, point)
        time.sleep(random.uniform(0.05, 0.2))
        engine.flush()


def _send(engine: Engine, now_ms: int, run: int, sender: int) -> None:
    for number in range(100_000):
        samples = [
            (
                {"__name__": "m", "sender": str(sender), "pod": str(pod)},
                now_ms + offset_ms(run, number, pod),
                number,
            )
            for pod in range(PODS)
        ]
        engine.ingest.submit(batch(samples), 100).result(30)
        os.write(1, f"{run} {sender} {number}\n".encode())


def _arm(engine: Engine, point: str) -> None:
    """Have the process killed at a step of the next flush."""
    when, step = point.split()
    owner: Any = engine.store.journal if step == "drop" else engine.store.blocks
    original = getattr(owner, step)

    def armed(*arguments: Any) -> Any:
        if when == "before":
            _die()
        if when == "within":
            threading.Thread(target=_die_soon, daemon=True).start()
            _repeat(original, *arguments)
        answer = original(*arguments)
        if when == "after":
            _die()
        return answer

    setattr(owner, step, armed)


def _repeat(step: Callable[..., Any], *arguments: Any) -> None:
    while True:
        try:
            step(*arguments)
        except Unavailable:
            return


def _die_soon() -> None:
    time.sleep(random.uniform(0, 0.01))
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _read(engine: Engine, now_ms: int) -> None:
    found = engine.reader.select([], 0, now_ms + 10 * HOUR_MS)
    for place, labels in enumerate(found.labels):
        for at in range(found.offsets[place], found.offsets[place + 1]):
            offset = found.timestamps_ms[at] - now_ms
            print(labels["sender"], labels["pod"], offset, found.values[at])
    print(engine.store.counts().samples)
    sys.stdout.flush()
    os._exit(0)  # a clean end is not what is tested


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
