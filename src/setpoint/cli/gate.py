"""`setpoint gate`: ask whether a change may be released, for pipelines by exit code; or make a decision again."""

from __future__ import annotations

import enum
import re
import sys
import threading
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, duration, emit, program
from setpoint.clock import SystemClock
from setpoint.errors import ChecksFailed, InvalidInput, Unavailable

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint gate checkout
  setpoint gate checkout --version 1.4.2 --wait 10m
  setpoint gate checkout --change fix -o json
  setpoint gate checkout --reviewed-by ann
  setpoint gate replay 8812

[bold]Exit codes[/]
  0   allow
  9   hold: an error budget policy is in force; the answer says what lifts it
  10  don't know: no data, or no such service
  6   don't know, because no server answers

Only 0 lets a change pass. Each decision is on the timeline as gate.decided;
'replay' makes it again from what was written there (exit code 8 if it
is another)."""
_WAIT = re.compile(r"(\d{1,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_FIRST_S, _LONGEST_S = 5.0, 30.0
_STYLES = {"allow": ("●", "green"), "hold": ("■", "red"), "don't know": ("○", "bright_black")}


class Change(enum.StrEnum):
    """What `--change` takes."""

    FEATURE = "feature"
    FIX = "fix"
    SECURITY = "security"


@app.command(epilog=_EPILOG)
def gate(
    *,
    service: Annotated[
        str, typer.Argument(help="The service to be released, or 'replay'.", show_default=False)
    ],
    decision: Annotated[
        int | None, typer.Argument(help="With 'replay': the decision's number.", show_default=False)
    ] = None,
    change: Annotated[Change, typer.Option(help="What sort of change it is.")] = Change.FEATURE,
    version: Annotated[str, typer.Option(metavar="V", help="Its version, as in deploy events.")] = "",
    reviewed_by: Annotated[
        str, typer.Option(metavar="NAME", help="Who reviewed it, where a policy demands a review.")
    ] = "",
    wait: Annotated[
        str, typer.Option(metavar="TIME", help="Ask again until it is allowed, so long: 90s, 10m, 1h.")
    ] = "",
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> int:
    """Ask whether a change may be released, by the error budget."""
    from setpoint.cli.client import Client

    client = Client(server, token)
    if decision is not None:
        if service != "replay":
            raise InvalidInput(
                f"'{decision}' stands behind a service\nwrite: setpoint gate replay {decision}"
            )
        return _replay(client, decision, output)
    parameters = {"change": change.value, "version": version or None, "reviewed_by": reviewed_by or None}
    return _ask(client, service, parameters, _wait_s(wait), output)


def _wait_s(text: str) -> float:
    if not text:
        return 0.0
    found = _WAIT.fullmatch(text)
    if found is None:
        raise InvalidInput(f"'{text}' is no time to wait\nwrite --wait 90s, 10m or 1h")
    return float(int(found[1]) * _SECONDS[found[2]])


def _ask(client: Any, service: str, parameters: Mapping[str, Any], wait_s: float, output: Output) -> int:
    """Ask until it is allowed or the time is over; the exit code."""
    clock = SystemClock()
    end_ms, pause_s, is_said = clock.now_ms() + wait_s * 1000, _FIRST_S, False
    while True:
        answer = _answer(client, service, parameters)
        left_s = (end_ms - clock.now_ms()) / 1000
        if answer["decision"] == "allow" or left_s <= 0 or _is_final(answer):
            break
        if not is_said:
            sys.stderr.write(f"{answer['decision']}: {answer['reason']}\nasking again for {left_s:.0f} s …\n")
            sys.stderr.flush()
        is_said = True
        clock.wait(threading.Event(), min(pause_s, left_s))
        pause_s = min(_LONGEST_S, pause_s * 1.5)
    if answer.get("id") is None and output is Output.TABLE:
        raise Unavailable(answer["reason"])
    emit(answer, output, lambda console: _show(console, answer, clock.now_ms()))
    return int(answer["exit_code"])


def _answer(client: Any, service: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The server's answer; without one, that nobody knows."""
    from setpoint.cli.client import segment

    try:
        answer: dict[str, Any] = client.get(f"/gate/{segment(service)}", **parameters, always_ok="true")
    except Unavailable as error:
        return {
            "decision": "don't know",
            "reason": f"nobody knows whether {service} may be released: {error.message}",
            "service": service,
            **parameters,
            "exit_code": error.exit_code,
        }
    return answer


def _is_final(answer: Mapping[str, Any]) -> bool:
    """Waiting does not help: nobody knows the service, or it has no objectives."""
    return answer["decision"] == "don't know" and answer.get("id") is not None and not answer["because"]


def _show(console: Any, answer: Mapping[str, Any], now_ms: int) -> None:
    from rich.text import Text

    shape, style = _STYLES[answer["decision"]]
    version = f" {answer['version']}" if answer["version"] else ""
    console.print(
        Text.assemble(
            (f"{shape} {answer['decision']}", style), "  ", (f"{answer['service']}{version}", "bold"),
            f" ({answer['change']})",
        )
    )  # fmt: skip
    console.print(answer["reason"][:1].upper() + answer["reason"][1:] + ".", soft_wrap=True)
    for one in answer["because"]:
        since = (
            f"in force for {duration((now_ms - one['since_ms']) / 1000)}"
            if one["since_ms"]
            else "cannot be judged"
        )
        passes = "" if one["stops"] else ", lets this pass"
        aside = f", set aside by {one['exception']}" if one["exception"] else ""
        console.print(
            f"\n{one['policy']}, {one['rule']}  {since}{passes}{aside}", style="bold", soft_wrap=True
        )
        console.print(f"  {one['objective']}: {one['sentence']}", soft_wrap=True)
        if one["formula"]:
            console.print(f"  {one['formula']}", soft_wrap=True)
        console.print(f"  Ends when {one['ends_when']}.", soft_wrap=True)
    for one in answer["exceptions"]:
        console.print(
            f"\nException {one['name']} of {one['approved_by']}, ends {ago(one['until_ms'], now_ms)}: {one['reason']}",
            soft_wrap=True,
        )
    console.print(
        f"\nDecision {answer['id']}; make it again: {program()} gate replay {answer['id']}",
        style="bright_black",
    )


def _replay(client: Any, decision: int, output: Output) -> int:
    answer = client.get(f"/gate/decisions/{decision}/replay")
    recorded, again = answer["recorded"], answer["replayed"]

    def render(console: Any) -> None:
        if answer["same"]:
            console.print(f"● the same: {recorded['decision']}", style="green")
        else:
            console.print(f"■ another: {again['decision']}, recorded was {recorded['decision']}", style="red")
            console.print(f"They differ in {', '.join(answer['differences'])}.")
        _show_recorded(console, recorded)

    emit(answer, output, render)
    return 0 if answer["same"] else ChecksFailed.exit_code


def _show_recorded(console: Any, recorded: Mapping[str, Any]) -> None:
    version = f" {recorded['version']}" if recorded["version"] else ""
    when = ago(recorded["at_ms"], SystemClock().now_ms())
    console.print(f"{recorded['service']}{version} ({recorded['change']}), {when}", soft_wrap=True)
    console.print(recorded["reason"][:1].upper() + recorded["reason"][1:] + ".", soft_wrap=True)
    for one in recorded["because"]:
        if one["formula"]:
            console.print(f"  {one['formula']}", soft_wrap=True)
