"""The documentation is true: generated pages are current, examples validate, commands and links in the text exist."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from pkgutil import iter_modules

import pytest
from tools import reference

ROOT = Path(__file__).parent.parent
SETPOINT = str(Path(sys.executable).with_name("setpoint"))
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_generated_pages_are_current(name: str) -> None:
    assert (ROOT / "docs/reference" / name).read_text() == reference.PAGES[name](), "run: make docs"


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_examples_validate(path: Path) -> None:
    done = subprocess.run(
        [SETPOINT, "validate", "-f", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_documents_in_the_text_validate(path: Path, tmp_path: Path) -> None:
    for number, block in enumerate(re.findall(r"```yaml\n(apiVersion:.*?)```", path.read_text(), re.DOTALL)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        done = subprocess.run(
            [SETPOINT, "validate", "-f", str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{_name(path)} links to {target}"


def test_commands_in_the_text_exist() -> None:
    """Every `setpoint …` line in the docs parses: the command and each option are in the command reference."""
    commands = (ROOT / "docs/reference/commands.md").read_text()
    sections = dict(re.findall(r"^## (setpoint[^\n]*)\n\n```\n(.*?)```", commands, re.DOTALL | re.MULTILINE))
    checked = 0
    for path in PAGES:
        if "reference" in path.parts:
            continue
        for line in re.findall(
            r"^ {4}(?:\S+=\S+ )*(?:\.venv/bin/)?(setpoint [^#\n]*)", path.read_text(), re.MULTILINE
        ):
            words = shlex.split(line)
            title = next(
                " ".join(words[:size])
                for size in range(len(words), 0, -1)
                if " ".join(words[:size]) in sections
            )
            assert title != "setpoint" or len(words) == 1 or words[1].startswith("-"), (
                f"{_name(path)}: {line}"
            )
            for option in (word.split("=")[0] for word in words if word.startswith("-")):
                assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", sections[title]), (
                    f"{_name(path)}: {line}"
                )
            checked += 1
    assert checked > 10


def test_the_repository_names_no_machine_and_no_registry() -> None:
    hosts = ["pypi" + ".org", "files.python" + "hosted", "registry.npm" + "js", "deb.debian" + ".org"]
    for lock in ROOT.glob("*.lock"):
        text = lock.read_text()
        assert not [host for host in hosts if host in text], (
            f"{lock.name} names a registry; see decision 0007"
        )


def test_every_route_is_documented() -> None:
    import setpoint.web
    from setpoint.telemetry.receive.remote_write import PATHS
    from setpoint.web.promql import QUERY_PATHS

    modules = [
        importlib.import_module(f"setpoint.web.{found.name}") for found in iter_modules(setpoint.web.__path__)
    ]
    text = (ROOT / "docs/reference/http-api.md").read_text()
    documented = set(re.findall(r"^\| `(GET|POST|DELETE) ([^?`]+)", text, re.MULTILINE))
    served = {("POST", path) for path in ("/v1/traces", "/v1/metrics", "/v1/logs", *PATHS)}
    served |= {("GET", path) for path in QUERY_PATHS}
    for router in (module.router for module in modules if hasattr(module, "router")):
        for route in router.routes:
            methods = set(route.methods) - {"HEAD", "OPTIONS"}
            served.add(("GET" if "GET" in methods else methods.pop(), route.path))
    assert documented == served
