"""The server's process before it is the server: what it does not load, and that Python collects garbage again."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from bench.server import Server, running

from setpoint.cli.child import LINK_VARIABLE

SCRIPT = """
import gc, sys
import setpoint.web.serve
print(gc.isenabled())
print(*sorted({name.partition(".")[0] for name in sys.modules if sys.modules[name] is not None}))
"""


def test_the_server_loads_nothing_of_a_command_line(tmp_path: Path) -> None:
    script = tmp_path / "look.py"
    script.write_text(SCRIPT)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-m", "setpoint.cli.child", str(script)],
            env=os.environ | {LINK_VARIABLE: str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
    collecting, *loaded = done.stdout.split()
    assert collecting == "False", "nothing is collected while it starts"
    assert {"numba", "httpx", "fastapi"} <= set(loaded)
    assert not {"typer", "rich", "pygments", "pandas", "pyarrow", "scipy"} & set(loaded)


def _collections(server: Server) -> float:
    with urllib.request.urlopen(server.url + "/metrics", timeout=10) as answer:
        found = re.search(r'python_gc_collections_total\{generation="0"\} (\S+)', answer.read().decode())
    assert found is not None
    return float(found[1])


@pytest.mark.timeout(150)
def test_garbage_is_collected_again_once_the_server_is_ready(tmp_path: Path) -> None:
    with running(["up"], tmp_path) as server:
        server.wait_ready()
        before = _collections(server)
        for _ in range(100):
            server.get("/objectives")
            if _collections(server) > before:
                return
    raise AssertionError("a hundred pages were made, and none of their garbage was looked for")
