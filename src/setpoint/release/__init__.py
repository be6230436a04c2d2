"""Releases: may a change go out, and what was decided about it. `Gate` answers from the error budget policies, writes
every decision on the timeline with all that it was made from, and makes it again from there.
"""

from setpoint.release.gate import Gate

__all__ = ["Gate"]
