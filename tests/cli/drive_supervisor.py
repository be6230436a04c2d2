"""Runs a `Supervisor` over the stand-in server, in a process of its own so that it can be signalled and
killed.

Arguments: the path of the stand-in and a JSON object of `Timing` fields. Prints the URL, then a line per
readiness.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from setpoint.cli.supervisor import Supervisor, Timing


def main() -> int:
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)
    url = "http://{}:{}".format(*listening.getsockname())
    print(url, flush=True)
    given = json.loads(sys.argv[2])
    if "pauses_s" in given:
        given["pauses_s"] = tuple(given["pauses_s"])
    supervisor = Supervisor(
        [sys.argv[1]],
        os.environ,
        {"SETPOINT_LISTEN_FD": listening},
        url,
        on_ready=lambda count: print(f"ready {count}", flush=True),
        on_stop=lambda: print("stopping", flush=True),
        timing=Timing(**given),
    )
    return supervisor.run()


sys.exit(main())
