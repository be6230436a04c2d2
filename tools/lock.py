"""Pin every dependency with hashes: `requirements.lock` to run, `requirements-dev.lock` to develop.

Called by `make lock`. uv resolves; pip installs, because pip is what every machine has.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = {"requirements.lock": ["build"], "requirements-dev.lock": ["build", "dev"]}

COMPILE = (
    "pip compile --quiet --universal --python-version 3.11 "
    "--generate-hashes --no-emit-index-url --no-header --no-annotate"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        uv = Path(folder) / "bin" / "uv"
        subprocess.run([ROOT / ".venv/bin/python", "-m", "venv", folder], check=True)
        subprocess.run([uv.with_name("pip"), "install", "--quiet", "uv"], check=True)
        for lock, extras in LOCKS.items():
            command = [str(uv), *COMPILE.split(), "--output-file", lock, "pyproject.toml"]
            for extra in extras:
                command += ["--extra", extra]
            if "dev" in extras:
                command += ["--constraint", "requirements.lock"]
            subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
