"""`setpoint token`: keys of programs, such as collectors, pipelines and this command line itself."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, AsOption, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, emit, table
from setpoint.clock import SystemClock, rfc3339

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint token create collector-eu
  setpoint token create ci --role editor --expires 90d
  setpoint token create laptop --role editor --as ada
  setpoint token revoke ci

A sender brings telemetry, alerts and heartbeats and reads nothing; the other
roles are those of users. What a token is, is printed once; the server keeps its
hash. Give it to commands as SETPOINT_TOKEN."""

Name = Annotated[
    str, typer.Argument(help="The token's name; it stands in the timeline as who did something.")
]


@app.callback(epilog=_EPILOG)
def token() -> None:
    """Manage the tokens of programs."""


@app.command(epilog=_EPILOG)
def create(
    *,
    name: Name,
    role: Annotated[str, typer.Option(help="sender, viewer, responder, editor or admin.")] = "sender",
    expires: Annotated[
        str, typer.Option(metavar="DURATION", help="When it ends, such as 90d from now; never when left out.")
    ] = "",
    as_user: AsOption = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a token and print it, once; with `-o json` it is the field `token`."""
    from setpoint.cli.passwords import signed_in

    with signed_in(server, token, as_user) as client:
        answer = client.post("/tokens", {"name": name, "role": role, "expires": expires})
    emit(answer, output, lambda console: console.print(answer["token"], soft_wrap=True))
    if output is Output.TABLE:
        until = f"until {rfc3339(answer['expires_ms'])}" if answer["expires_ms"] else "until it is revoked"
        sys.stderr.write(f"setpoint: token {name}, {answer['role']}, {until}; it is not shown again\n")


@app.command("list", epilog=_EPILOG)
def list_(
    *,
    as_user: AsOption = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List tokens: what each may do, when it was used and when it ends."""
    from setpoint.cli.passwords import signed_in

    with signed_in(server, token, as_user) as client:
        answer = client.get("/tokens")
    now_ms = SystemClock().now_ms()

    def show(console: Any) -> None:
        if not answer["items"]:
            console.print("There are no tokens. Make one: setpoint token create NAME")
            return
        rows = [
            (
                item["name"],
                item["role"],
                item["created_by"],
                ago(item["last_used_ms"], now_ms),
                _end(item["expires_ms"], now_ms),
            )
            for item in answer["items"]
        ]
        console.print(table(("NAME*", "ROLE", "MADE BY", ">USED", "ENDS"), rows))

    emit(answer, output, show)


@app.command(epilog=_EPILOG)
def revoke(
    *,
    name: Name,
    as_user: AsOption = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Revoke a token; whoever has it is refused from now on."""
    from setpoint.cli.client import segment
    from setpoint.cli.passwords import signed_in

    with signed_in(server, token, as_user) as client:
        answer = client.delete(f"/tokens/{segment(name)}")
    emit(answer, output, lambda console: console.print(f"revoked {name}"))


def _end(expires_ms: int | None, now_ms: int) -> str:
    if expires_ms is None:
        return "never"
    return f"expired {ago(expires_ms, now_ms)}" if expires_ms <= now_ms else rfc3339(expires_ms)
