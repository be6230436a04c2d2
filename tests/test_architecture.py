"""The rules of the house that the import linter cannot express; each names what to do when it fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "setpoint"
FLOOR = {"timeline", "resource", "database", "settings", "measure"}
FLOOR |= {"cache", "compensated", "compiled", "clock", "errors"}
DOMAIN = {"access", "telemetry", "promql", "objective", "alert", "release", "demo"}
LINES_MAX = 500
FUNCTION_LINES_MAX = 70
# Exceptions may only shrink.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_domain_packages_meet_only_in_from_modules(path: Path) -> None:
    package = path.relative_to(SOURCE).parts[0]
    if package not in DOMAIN:
        return
    for module, line in _imports(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] != "setpoint" or len(parts) == 1 or parts[1] in FLOOR or parts[1] == package:
            continue
        assert path.name == f"from_{parts[1]}.py", (
            f"{_name(path)}:{line} imports {module}; move it to {package}/from_{parts[1]}.py"
        )


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX or _name(path) in LONG_FILES, "split this file"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            place = f"{_name(path)}:{node.name}"
            assert size <= FUNCTION_LINES_MAX or place in LONG_FUNCTIONS, (
                f"{place} has {size} lines; split it"
            )


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), (
        "open the module with what it is, who calls it and why"
    )


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_the_clock_asks_for_the_time(path: Path) -> None:
    # The shop, the supervisor and the command line stand outside the platform's clock: they meet the real world.
    if path.name == "clock.py" or path.relative_to(SOURCE).parts[0] in {"demo", "cli"}:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            asked = f"{node.value.id}.{node.attr}"
            assert asked not in {
                "time.time",
                "time.time_ns",
                "datetime.now",
                "datetime.utcnow",
                "date.today",
            }, f"{_name(path)}:{node.lineno} asks {asked}; take a Clock"


def test_the_environment_is_read_in_one_place() -> None:
    # The server's process plumbing (file descriptors of the supervisor) and the shop's processes have their own.
    allowed = {"web/serve.py"}
    for path in MODULES:
        if _name(path) in allowed or path.relative_to(SOURCE).parts[0] in {"cli", "demo"}:
            continue
        assert "os.environ" not in path.read_text(), f"{_name(path)} reads the environment; use settings.py"


def test_forty_settings_at_most() -> None:
    from setpoint.settings import Settings

    assert len(Settings.model_fields) <= 40
    undocumented = [name for name, field in Settings.model_fields.items() if not field.description]
    assert not undocumented
