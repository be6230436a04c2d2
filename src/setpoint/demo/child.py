"""A process of the shop ends with the runner that started it, whatever kills the runner.

Called first thing by every process that `runner` starts. Linux tells a child that its parent died (prctl);
the parent's id, looked at every second, covers other systems and a parent that died before the call.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

__all__ = ["follow_parent"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK_EVERY_S = 1.0


def follow_parent(parent: int) -> None:
    """End this process at once when process `parent`, which must be its parent, is gone.

    SIGKILL, because a process whose runner was killed has nothing left to save and nobody to wait for it. The
    kernel counts the thread that started the child as its parent: the runner must start all from one thread.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)
    threading.Thread(target=_watch, args=(parent,), name="follow-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(0)
