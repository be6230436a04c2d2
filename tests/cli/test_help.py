"""Help: quick because lazy, complete, readable at 80 columns; usage errors in two lines with exit code 2."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from setpoint import errors
from setpoint.cli import command_names
from setpoint.cli.catalog import CATALOG, EXIT_CODES
from setpoint.cli.entry import _load
from tests.cli.program import setpoint

HEAVY = {
    "alembic",
    "chdb",
    "clickhouse_connect",
    "fastapi",
    "grpc",
    "httpx",
    "numba",
    "numpy",
    "opentelemetry",
    "pydantic",
    "ruamel",
    "sqlalchemy",
    "stamina",
    "uvicorn",
}
COMMANDS = command_names()


def modules_after(*arguments: str) -> set[str]:
    """Every module that a command line imports."""
    code = (
        "import sys; from setpoint.cli.entry import run; code = run(sys.argv[1:]); "
        "print('\\n'.join(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=50
    )
    return set(done.stderr.split())


def test_help_of_the_group_imports_no_command_and_nothing_heavy() -> None:
    modules = modules_after("--help")
    assert not HEAVY & {name.partition(".")[0] for name in modules}
    assert not [name for name in modules if name in {f"setpoint.cli.{entry.module}" for entry in CATALOG}]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_a_command_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    modules = modules_after(*words, "--help")
    assert not HEAVY & {name.partition(".")[0] for name in modules}


def test_group_lists_every_command_in_its_group_with_examples_and_exit_codes() -> None:
    done = setpoint("--help")
    assert done.returncode == 0
    for entry in CATALOG:
        line = next(line for line in done.stdout.splitlines() if f"│ {entry.name} " in line)
        assert entry.summary in line
        assert entry.panel in done.stdout
    assert "setpoint demo break checkout --error-ratio 0.3" in done.stdout
    for code, meaning in EXIT_CODES:
        assert f"{code} {meaning}" in done.stdout


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=lambda words: " ".join(words) or "setpoint")
def test_help_fits_80_columns_and_breaks_no_example(words: tuple[str, ...]) -> None:
    done = setpoint(*words, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    # An example that was wrapped would go on in column 1; examples themselves stand in column 3.
    for line, following in itertools.pairwise(lines):
        if line.startswith("   setpoint "):
            assert not following or following.startswith(("   ", " ╭")), f"wrapped: {line} / {following}"


def test_short_help_flag_works_everywhere() -> None:
    for words in [(), ("demo",), ("slo",)]:
        assert setpoint(*words, "-h").returncode == 0


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_the_catalog_says_what_the_command_says(entry: object) -> None:
    command = _load(entry)  # type: ignore[arg-type]
    assert command.help.splitlines()[0] == entry.summary  # type: ignore[attr-defined]


def test_the_exit_codes_are_those_of_the_errors() -> None:
    kinds = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.SetpointError)}
    assert codes | {0, 130} == {code for code, _ in EXIT_CODES}


@pytest.mark.parametrize(
    ("arguments", "wrong", "hint"),
    [
        (["aply"], "No such command 'aply'. Did you mean 'apply'?", "see: setpoint --help"),
        (["status", "--colour"], "No such option: --colour", "see: setpoint status --help"),
        (["apply"], "Missing option '--file' / '-f'.", "see: setpoint apply --help"),
        (["status", "-o", "xml"], "table", "see: setpoint status --help"),
        (["delete", "SLO"], "say what to delete", "see: setpoint delete --help"),
        (["demo", "break", "checkout"], "nothing says how to break it", "--error-ratio"),
        (["timeline", "--since", "yesterday"], "'yesterday' is not a time", "write 30m"),
        (["event", "add", "x", "--data", "version"], "'version' is not a detail", "write --data NAME=VALUE"),
        (
            ["status", "--server", "ftp://x"],
            "'ftp://x' is not a server's address",
            "write --server http://HOST:PORT",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_is_two_lines_and_code_2(arguments: list[str], wrong: str, hint: str) -> None:
    done = setpoint(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("setpoint: ")
    assert wrong in first
    assert hint in second


def test_no_arguments_show_the_help_and_code_2() -> None:
    done = setpoint()
    assert done.returncode == 2
    assert "Usage: setpoint" in done.stdout


def test_version_is_said_in_every_form() -> None:
    assert setpoint("--version").stdout.startswith("setpoint 0.")
    assert setpoint("version").stdout.startswith("setpoint 0.")
    assert '"setpoint": "0.' in setpoint("version", "-o", "json").stdout
    assert setpoint("version", "-o", "yaml").stdout.startswith("setpoint: 0.")


def test_shell_completion_knows_the_commands() -> None:
    done = setpoint(_SETPOINT_COMPLETE="complete_bash", COMP_WORDS="setpoint sta", COMP_CWORD="1")
    assert done.stdout.split() == ["status"]
    done = setpoint(_SETPOINT_COMPLETE="complete_bash", COMP_WORDS="setpoint demo he", COMP_CWORD="2")
    assert done.stdout.split() == ["heal"]


def test_output_into_a_closed_pipe_is_no_error() -> None:
    shell = f"{sys.executable} -m setpoint.cli --help | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True, timeout=50)
    assert done.stderr == ""


def test_a_terminal_without_utf8_gets_an_answer() -> None:
    done = setpoint("status", "--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "? healthy" in done.stdout
