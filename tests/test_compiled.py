"""What numba compiled is loaded from its cache, and compiled anew when anything that it was made of has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CALLER = """
from setpoint.compiled import compiled, compiled_lean
from sums import OFFSET, add

@compiled
def outer(a, b):
    return inner(a, b)

@compiled_lean
def inner(a, b):
    return add(a, b) + OFFSET

print(outer(1.0, 2.0), sum(outer.stats.cache_hits.values()))
"""
CALLEE = """
from setpoint.compiled import compiled
from weights import weigh

OFFSET = {offset}

@compiled
def add(a, b):
    return a + weigh(b)
"""
WEIGHTS = """
from setpoint.compiled import compiled

@compiled
def weigh(b):
    return {weight} * b
"""


def test_a_kernel_is_compiled_anew_when_one_that_it_calls_changes(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run(weight: float, offset: float) -> tuple[float, bool]:
        """What the caller answers, and whether it was loaded from the cache."""
        (tmp_path / "caller.py").write_text(CALLER)
        (tmp_path / "sums.py").write_text(CALLEE.format(offset=offset))
        (tmp_path / "weights.py").write_text(WEIGHTS.format(weight=weight))
        done = subprocess.run(
            [sys.executable, "caller.py"], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )  # fmt: skip
        value, hits = done.stdout.split()
        return float(value), hits == "1"

    assert run(1.0, 0.0) == (3.0, False)
    assert run(1.0, 0.0) == (3.0, True)
    assert run(5.0, 0.0) == (11.0, False), "two files away"
    assert run(5.0, 0.5) == (11.5, False), "a number"
    assert run(5.0, 0.5) == (11.5, True)


LATER = """
from setpoint.compiled import Loaded, compiled

@compiled
def inner(a):
    return a + 1

@compiled
def outer(a):
    return 2 * inner(a)

values = [inner(1.0), outer(1.0)]
libraries = [one.library for kernel in (inner, outer) for one in kernel.overloads.values()]
parsed = sum(library._shared_module is not None for library in libraries)
if inner.stats.cache_hits:
    assert all(isinstance(library, Loaded) for library in libraries)

@compiled
def later(a):
    return 3 * inner(a) + outer(a)

print(*values, later(1.0), outer(2), sum(inner.stats.cache_hits.values()), parsed)
"""


def test_what_comes_from_the_cache_is_not_parsed_and_other_kernels_are_compiled_with_it(
    tmp_path: Path,
) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    (tmp_path / "later.py").write_text(LATER)

    def run() -> list[float]:
        done = subprocess.run(
            [sys.executable, "later.py"], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )  # fmt: skip
        return [float(word) for word in done.stdout.split()]

    answers = [2.0, 4.0, 10.0, 6.0]
    assert run()[:5] == [*answers, 0.0]
    for stored in (tmp_path / "cache").rglob("later.later-*"):
        stored.unlink()
    assert run() == [*answers, 1.0, 0.0]
