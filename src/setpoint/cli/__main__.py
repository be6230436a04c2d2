"""`python -m setpoint.cli`: the `setpoint` program where the script is not on the path."""

from __future__ import annotations

import sys

from setpoint.cli import main

if __name__ == "__main__":
    sys.exit(main())
