"""A server small enough for the supervisor's tests: healthy, ready, and badly behaved as `STAND_IN` says.

Writes one JSON line per start to the file `STAND_IN_JOURNAL`: its pid and the reason that the supervisor
gave.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        sick = os.environ["STAND_IN"] == "sick"
        self.send_response(503 if sick and self.path == "/-/healthy" else 200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    how = os.environ["STAND_IN"]
    reason = os.environ.get("SETPOINT_RESTART_REASON")
    with open(os.environ["STAND_IN_JOURNAL"], "a") as journal:
        journal.write(
            json.dumps({"pid": os.getpid(), "reason": json.loads(reason) if reason else None}) + "\n"
        )
    if how == "crash":
        sys.exit("the stand-in fell over")
    if how == "refuse":
        print("the data folder is not ours", file=sys.stderr)
        sys.exit(7)
    if how == "refuse-later" and reason is not None:
        print("the database is down", file=sys.stderr)
        sys.exit(7)
    if how == "sleep":
        time.sleep(600)
    if how == "crash-later" and reason is not None:
        sys.exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "stubborn" else lambda *_: os._exit(0))
    if how == "grandchild":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"])
    server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(os.environ["SETPOINT_LISTEN_FD"]))
    server.server_name, server.server_port = "stand-in", 0
    os.write(int(os.environ["SETPOINT_READY_FD"]), b"ready\n")
    server.serve_forever()


main()
