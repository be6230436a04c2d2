"""Runs the checks behind `make lint` and `make test`, one after the other, and says which one failed.

`lint`: ruff (style and format), mypy --strict, import contracts. `test`: pytest on all cores.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = ROOT / ".venv" / "bin"
CHECKS: dict[str, list[tuple[str, list[str | Path]]]] = {
    "lint": [
        ("style", [BIN / "ruff", "check", "."]),
        ("format", [BIN / "ruff", "format", "--check", "--quiet", "."]),
        ("types", [BIN / "mypy"]),
        ("architecture", [BIN / "lint-imports", "--no-logo"]),
    ],
    "test": [("tests", [BIN / "python", "-m", "pytest", "-n", "2", "--dist", "loadfile", "-q"])],
}


def main() -> int:
    for name, command in CHECKS[sys.argv[1]]:
        started = time.monotonic()
        done = subprocess.run([str(part) for part in command] + sys.argv[2:], cwd=ROOT, check=False)
        print(
            f"{name}: {'ok' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - started:.0f} s)",
            flush=True,
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
