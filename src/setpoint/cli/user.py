"""`setpoint user`: who may sign in, and what each may do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, AsOption, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, emit, table
from setpoint.clock import SystemClock

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint user add ada --role admin    the first, on the server's machine
  setpoint user add grace --role editor --as ada
  setpoint user role grace responder
  setpoint user password grace
  setpoint user remove grace

A viewer looks; a responder also answers alerts; an editor also changes
resources; an admin also manages users and tokens. Passwords are asked for, or
come as lines of standard input; --as NAME signs in as that user first."""

Name = Annotated[str, typer.Argument(help="The user's name.")]
Role = Annotated[str, typer.Option(help="viewer, responder, editor or admin.")]


@app.callback(epilog=_EPILOG)
def user() -> None:
    """Manage who may sign in, and as what."""


@app.command(epilog=_EPILOG)
def add(
    *,
    name: Name,
    role: Role = "viewer",
    display_name: Annotated[str, typer.Option(help="The full name.")] = "",
    email: Annotated[str, typer.Option(help="The e-mail address.")] = "",
    as_user: AsOption = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Add a user; the first one must be an admin."""
    from setpoint.cli.passwords import ask_new_password, signed_in

    body = {"name": name, "role": role, "display_name": display_name, "email": email}
    with signed_in(server, token, as_user) as client:
        answer = client.post("/users", body | {"password": ask_new_password(name)})
    told = f"added {name}, {answer['role']}; sign in at {client.address}/login"
    emit(answer, output, lambda console: console.print(told, soft_wrap=True))


@app.command("list", epilog=_EPILOG)
def list_(
    *,
    as_user: AsOption = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List users with their roles."""
    from setpoint.cli.passwords import signed_in

    with signed_in(server, token, as_user) as client:
        answer = client.get("/users")
    now_ms = SystemClock().now_ms()

    def show(console: Any) -> None:
        if not answer["items"]:
            console.print("There are no users. The first one: setpoint user add NAME --role admin")
            return
        rows = [
            (item["name"], item["role"], item["display_name"], item["email"], ago(item["created_ms"], now_ms))
            for item in answer["items"]
        ]
        console.print(table(("NAME*", "ROLE", "FULL NAME", "E-MAIL", ">ADDED"), rows))

    emit(answer, output, show)


@app.command(epilog=_EPILOG)
def role(
    *,
    name: Name,
    role: Annotated[str, typer.Argument(help="viewer, responder, editor or admin.")],
    as_user: AsOption = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Give a user another role; the user is signed out everywhere."""
    from setpoint.cli.client import segment
    from setpoint.cli.passwords import signed_in

    with signed_in(server, token, as_user) as client:
        answer = client.post(f"/users/{segment(name)}", {"role": role})
    emit(answer, output, lambda console: console.print(f"{name} is {answer['role']} now"))


@app.command(epilog=_EPILOG)
def password(
    *,
    name: Name,
    as_user: AsOption = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Give a user another password; the user is signed out everywhere."""
    from setpoint.cli.client import segment
    from setpoint.cli.passwords import ask_new_password, signed_in

    with signed_in(server, token, as_user) as client:
        answer = client.post(f"/users/{segment(name)}", {"password": ask_new_password(name)})
    emit(answer, output, lambda console: console.print(f"{name} has another password now"))


@app.command(epilog=_EPILOG)
def remove(
    *,
    name: Name,
    as_user: AsOption = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Remove a user; the user is signed out everywhere."""
    from setpoint.cli.client import segment
    from setpoint.cli.passwords import signed_in

    with signed_in(server, token, as_user) as client:
        answer = client.delete(f"/users/{segment(name)}")
    emit(answer, output, lambda console: console.print(f"removed {name}"))
