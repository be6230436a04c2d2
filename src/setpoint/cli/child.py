"""The first code of the server's process: ties its life to the supervisor's, then becomes the server.

Run by the supervisor as `python -m setpoint.cli.child setpoint.web.serve`. The two processes share one pair
of connected sockets on which nothing is ever sent: when either process dies, however it dies, the kernel
closes its end and the other one sees it. On Linux the kernel is also asked to kill this process with its
parent, which works while Python is stuck. Imports nothing of Setpoint, so that the tie is there before
anything heavy starts.

It also keeps Python from looking for garbage while the server starts: that makes millions of objects, which stay, and
going over them again and again is a quarter of its time. `web.serve` turns it on again. And it keeps out what a library
loads for a command of its own, where it finds it: httpx would bring rich and pygments, 3 MB.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import runpy
import signal
import socket
import sys
import threading

__all__ = ["LINK_VARIABLE", "main"]

LINK_VARIABLE = "SETPOINT_LINK_FD"
"""Environment variable with the descriptor of this process's end of the pair."""

_PR_SET_PDEATHSIG = 1
_KEPT_OUT = ("httpx._main",)


def main() -> None:
    """Tie this process to its parent and run the module or script named in `sys.argv[1]` as `__main__`."""
    link = socket.socket(fileno=int(os.environ.pop(LINK_VARIABLE)))
    link.set_inheritable(False)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_die_with_parent, args=(link,), name="parent-watch", daemon=True).start()
    gc.disable()
    for module in _KEPT_OUT:
        # Importing it fails then, which its library expects.
        sys.modules[module] = None  # type: ignore[assignment]
    name = sys.argv[1]
    del sys.argv[0]
    if name.endswith(".py"):
        runpy.run_path(name, run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)


def _die_with_parent(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
