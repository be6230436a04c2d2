"""Program text that only the start has read is given back, and what is called afterwards is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import numba, numpy
from setpoint.web.program_text import _mappings, release_program_text

@numba.njit
def double(x):
    return 2 * x

assert double(2.0) == 4.0

def resident():
    return sum(m.resident_kb for m in _mappings() if "llvmlite" in m.path and m.rights == "r-xp")

before, written = resident(), [m for m in _mappings() if not m.is_program and m.path.endswith(".so")]
released = release_program_text()
after = resident()
assert double(3) == 6, "compiled anew, for another type"
assert numpy.linalg.norm([3.0, 4.0]) == 5.0
print(before, released, after, sum(m.changed_kb for m in written))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is resident")
def test_text_of_large_libraries_is_given_back_and_comes_again_when_it_is_called() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    before, released, after, written = (int(word) for word in done.stdout.split())
    assert before > 10_000, "LLVM has text in memory, or this test says nothing"
    assert released >= before - after > before / 2
    assert written > 1000, "what a library has written to was there, and had to be left alone"
