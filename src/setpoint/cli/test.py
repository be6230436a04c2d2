"""`setpoint test`: tests of rules, queries and objectives, run in memory, without a server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from setpoint.cli.options import OutputOption
from setpoint.cli.output import Output, emit
from setpoint.errors import ChecksFailed, InvalidInput

if TYPE_CHECKING:
    from setpoint.alert.from_promql import Failure, FileVerdict, TestVerdict

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint test rules_test.yml
  setpoint test tests/*.yml queries.test --run 'errors|latency'
  setpoint test checkout_test.yml --junit results.xml

Takes promtool's unit-test files (YAML), promqltest scripts, scenarios of
objectives (YAML with 'objectives:' at its top), and tests of routing (YAML
with 'alertmanager_config:' at its top); nothing is sent or stored.
Exit code 8 means that a test failed, 2 that a file is wrong."""


@app.command(epilog=_EPILOG)
def test(
    *,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Test files.")],
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="REGEX", help="Only tests whose name (or query) has a match."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML, too.")
    ] = None,
    ignore_unknown_fields: Annotated[
        bool,
        typer.Option("--ignore-unknown-fields", help="Take fields that Prometheus does not know."),
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Test rules, queries and objectives, without a server."""
    from setpoint.alert.rules.check import RuleFiles, check_file

    only = _expression(run)
    rules = RuleFiles(ignores_unknown=ignore_unknown_fields)
    verdicts = []
    for file in files:
        verdict = _timed(lambda file=file: check_file(file, rules, only))
        verdicts.append(verdict)
        if output is Output.TABLE:
            _show(verdict)
    if junit is not None:
        _write(junit, verdicts)
    emit(_as_data(verdicts), output, lambda console: console.print(_summary(verdicts), soft_wrap=True))
    if any(test.failures for verdict in verdicts for test in verdict.tests):
        raise typer.Exit(ChecksFailed.exit_code)
    if any(verdict.problems for verdict in verdicts):
        raise typer.Exit(InvalidInput.exit_code)


def _timed(check: Any) -> FileVerdict:
    import time

    started = time.monotonic()
    verdict: FileVerdict = check()
    verdict.duration_s = time.monotonic() - started
    return verdict


def _expression(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise InvalidInput(f"--run '{text}' is no regular expression: {error}") from error


def _show(verdict: FileVerdict) -> None:
    """Print what became of a file, each failure as what was expected and what came."""
    from rich.text import Text

    from setpoint.alert.from_promql import difference
    from setpoint.cli.output import console

    out = console()
    mark = Text("● ", "green") if verdict.passed else Text("■ ", "red")
    out.print(mark.append(f"{verdict.file}  {_counted(verdict)}", "default"), soft_wrap=True)
    for warning in verdict.warnings:
        out.print(f"  warning: {warning}", soft_wrap=True)
    for problem in verdict.problems:
        out.print(f"  {problem}", soft_wrap=True)
    for test in verdict.tests:
        for failure in test.failures:
            out.print(Text(f"  {_place(verdict, failure)}: {_title(test, failure)}", "bold"), soft_wrap=True)
            for line in failure.message.splitlines():
                out.print(f"    {line}", soft_wrap=True)
            if failure.expected:
                out.print(Text("    - expected  ", "red").append("+ got", "green"))
            for line in difference(failure.expected, failure.got):
                style = {"-": "red", "+": "green"}.get(line[:1], "default")
                out.print(Text(f"    {line}", style), soft_wrap=True)


def _place(verdict: FileVerdict, failure: Failure) -> str:
    return f"{failure.file or verdict.file}:{failure.line}"


def _title(test: TestVerdict, failure: Failure) -> str:
    return failure.title if test.name == failure.title else f"{test.name}: {failure.title}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _counted(verdict: FileVerdict) -> str:
    if verdict.problems:
        return "cannot be run"
    failed = sum(1 for test in verdict.tests if test.failures)
    count = _plural(len(verdict.tests), "test")
    return f"{count}, {failed} failed" if failed else count


def _summary(verdicts: Sequence[FileVerdict]) -> str:
    tests = [test for verdict in verdicts for test in verdict.tests]
    failed = sum(1 for test in tests if test.failures)
    broken = sum(1 for verdict in verdicts if verdict.problems)
    checks = _plural(sum(test.checks for test in tests), "check")
    faults = [f"{failed:,} failed"] if failed else []
    faults += [f"{_plural(broken, 'file')} cannot be run"] if broken else []
    outcome = ", ".join(faults) or ("all passed" if tests else "nothing was tested")
    took_s = sum(verdict.duration_s for verdict in verdicts)
    return f"{_plural(len(verdicts), 'file')}, {_plural(len(tests), 'test')}, {checks}: {outcome} ({took_s:.1f} s)"


def _as_data(verdicts: Sequence[FileVerdict]) -> dict[str, Any]:
    import dataclasses

    return {
        "passed": all(verdict.passed for verdict in verdicts),
        "files": [
            {
                "file": verdict.file,
                "passed": verdict.passed,
                "duration_s": round(verdict.duration_s, 3),
                "problems": verdict.problems,
                "warnings": verdict.warnings,
                "tests": [
                    {
                        "name": test.name,
                        "line": test.line,
                        "checks": test.checks,
                        "passed": not test.failures,
                        "failures": [
                            dataclasses.asdict(failure) | {"file": failure.file or verdict.file}
                            for failure in test.failures
                        ],
                    }
                    for test in verdict.tests
                ],
            }
            for verdict in verdicts
        ],
    }


def _write(path: Path, verdicts: Sequence[FileVerdict]) -> None:
    from setpoint.cli.junit import junit_xml

    try:
        path.write_bytes(junit_xml(verdicts))
    except OSError as error:
        raise InvalidInput(f"--junit {path} cannot be written: {error.strerror}") from error
