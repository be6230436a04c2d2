"""Runs the real `setpoint` program, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["PROGRAM", "setpoint"]

PROGRAM = str(Path(sys.executable).with_name("setpoint"))


def setpoint(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, 80 columns wide, with no SETPOINT_ variable but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SETPOINT_")}
    environment = inherited | {"COLUMNS": "80"} | variables
    return subprocess.run(
        [PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=50,
    )
