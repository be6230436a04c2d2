"""`setpoint demo`: the server and the shop in the foreground; its subcommands break the shop and heal it."""

from __future__ import annotations

import os
import threading
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from setpoint.cli.group import Group
from setpoint.cli.options import (
    DEFAULT_SERVER,
    ListenOption,
    OtlpGrpcOption,
    OtlpHttpOption,
    OutputOption,
    ServerOption,
    TokenOption,
)
from setpoint.cli.output import Output, ago, emit, program, table
from setpoint.clock import SystemClock
from setpoint.errors import InvalidInput

if TYPE_CHECKING:  # the supervisor and pydantic are for those who start something
    from setpoint.cli.listen import Listeners
    from setpoint.cli.supervisor import Supervisor

__all__ = ["app"]

app = typer.Typer(cls=Group, add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint demo
  setpoint demo break checkout --error-ratio 0.3      (in another terminal)
  setpoint demo break inventory --slow-query
  setpoint demo heal

The shop: storefront → catalog, checkout → payment, inventory.
Ctrl-C ends everything; the data stays in data/demo for the next time."""
_BREAK_EPILOG = """[bold]Examples[/]
  setpoint demo break checkout --error-ratio 0.3
  setpoint demo break payment --latency-ms 800
  setpoint demo break catalog --bad-version 1.1.0 --error-ratio 0.1
  setpoint demo break inventory --dead

'setpoint demo heal' ends every fault."""
_STOP_S = 15.0
_LOG_LIMIT_BYTES = 10 << 20


@app.callback(
    invoke_without_command=True, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
def demo(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder of the demo's databases; kept between runs.")] = Path(
        "data/demo"
    ),
    listen: ListenOption = None,
    otlp_grpc: OtlpGrpcOption = None,
    otlp_http: OtlpHttpOption = None,
) -> int:
    """Start Setpoint and a small shop that you can break."""
    if ctx.invoked_subcommand is not None:
        return 0
    import secrets

    from setpoint.cli.launch import make_supervisor, settings_from
    from setpoint.cli.listen import open_listeners

    settings = settings_from({"data": data, "listen": listen, "otlp_grpc": otlp_grpc, "otlp_http": otlp_http})
    listeners = open_listeners(settings)
    log = _open_log(data)
    # The shop goes on when somebody makes the first user, and everybody has to say who they are.
    secret = os.environ["SETPOINT_SHOP_SECRET"] = secrets.token_urlsafe(32)
    shop = _Shop(listeners, data.absolute(), secret, log)
    try:
        supervisor = make_supervisor(
            settings, listeners, on_ready=shop.on_server_ready, on_stop=shop.close, log=log
        )
        shop.supervisor = supervisor
        shop.say("Starting Setpoint …")
        code = supervisor.run()
    finally:
        shop.close()
        listeners.close()
    if shop.failure is not None:
        raise shop.failure
    shop.say("Stopped. The data stays in " + str(data) + "; the next 'setpoint demo' goes on from there.")
    return code


def _open_log(data: Path) -> Path:
    """The file for the server's words, so that they do not stand between ours; begun anew when it is long."""
    from setpoint.errors import StartupRefused

    log = data.absolute() / "server.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            if file.tell() > _LOG_LIMIT_BYTES:
                file.truncate(0)
    except OSError as error:
        raise StartupRefused(
            f"the data folder {log.parent} cannot be used: {error.strerror}\nchoose another with --data"
        ) from error
    return log


class _Shop:
    """The shop beside the server: opened when the server is first ready, closed before it ends."""

    supervisor: Supervisor

    def __init__(self, listeners: Listeners, data: Path, token: str, log: Path) -> None:
        from setpoint.cli.output import console

        self.failure: BaseException | None = None
        self._url, self._data, self._token, self._log = listeners.url, data, token, log
        self._stop = threading.Event()
        self._opener: threading.Thread | None = None
        self._console = console()

    def say(self, message: str) -> None:
        """One calm line."""
        self._console.print(message, soft_wrap=True)

    def on_server_ready(self, count: int) -> None:
        """Open the shop at the first start; afterwards only say that the server is back."""
        if count:
            self.say("Setpoint is back.")
            return
        self._opener = threading.Thread(target=self._open, name="shop", daemon=True)
        self._opener.start()

    def close(self) -> None:
        """End the shop's processes; safe to call twice."""
        if self._opener is None or self._stop.is_set():
            return
        self.say("Closing the shop …")
        self._stop.set()
        self._opener.join(_STOP_S)

    def _open(self) -> None:
        from setpoint.cli.client import Client
        from setpoint.demo import runner

        try:
            text = resources.files("setpoint.demo").joinpath("objectives.yaml").read_text()
            body = {"files": [{"name": "objectives.yaml", "text": text}], "dry_run": False, "prune": False}
            Client(self._url, self._token).post("/api/resources", body)
            self._welcome()
            runner.run(self._url, self._data, self._stop, self.say, self._token)
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it again
            self.failure = error
        finally:
            if not self._stop.is_set():
                self._stop.set()
                self.supervisor.stop()

    def _welcome(self) -> None:
        me = program()
        other = "" if self._url == DEFAULT_SERVER else f" --server {self._url}"
        self._console.print(f"\n  Open     {self._url}\n", style="bold", soft_wrap=True)
        for line in (
            "Look at  the shop's objectives: the first figures come within a minute",
            "         (it opens with a rush; every request is real)",
            f"Break    {me} demo break checkout --error-ratio 0.3{other}",
            "         and see the burn rate rise and the budget fall on the open page",
            f"Heal     {me} demo heal{other}",
            "End      Ctrl-C",
            f"\n  The server's log is {self._log}",
        ):
            self._console.print(f"  {line}", soft_wrap=True)


@app.command("break", epilog=_BREAK_EPILOG)
def break_(
    *,
    service: Annotated[str, typer.Argument(help="storefront, catalog, checkout, payment or inventory.")],
    error_ratio: Annotated[
        float | None, typer.Option(help="Share of requests answered 500, 0 to 1.", metavar="RATIO")
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option("--latency-ms", help="Time added to each request, in milliseconds.", metavar="MS"),
    ] = None,
    leak_mb_per_minute: Annotated[
        float | None, typer.Option(help="Memory that leaks, in megabytes a minute.", metavar="MB")
    ] = None,
    slow_query: Annotated[
        bool, typer.Option("--slow-query", help="A query without an index before each answer.")
    ] = False,
    dead: Annotated[bool, typer.Option("--dead", help="Kill the process and keep it away.")] = False,
    bad_version: Annotated[
        str | None,
        typer.Option(
            help="Release this version, which is bad; --error-ratio and --latency-ms say how.", metavar="V"
        ),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Break a service of the shop."""
    from setpoint.cli.client import Client

    faults = _faults(error_ratio, latency_ms, bad_version)
    if leak_mb_per_minute is not None:
        faults["leak"] = {"mb_per_minute": leak_mb_per_minute}
    if slow_query:
        faults["slow-query"] = {}
    if dead:
        faults["dead"] = {}
    if not faults:
        raise InvalidInput(
            "nothing says how to break it\nadd one of --error-ratio, --latency-ms, --leak-mb-per-minute, "
            "--slow-query, --dead, --bad-version"
        )
    client = Client(server, token)
    answers = [
        client.post("/api/demo/faults", {"service": service, "fault": fault, "parameters": parameters})
        for fault, parameters in faults.items()
    ]
    other = "" if client.address == DEFAULT_SERVER else f" --server {client.address}"

    def render(console: Any) -> None:
        console.print(f"{service} is broken: {', '.join(faults)}.", soft_wrap=True)
        console.print(
            f"See it on {client.address}/objectives; end it with: {program()} demo heal {service}{other}",
            soft_wrap=True,
        )

    emit({"faults": answers}, output, render)


def _faults(
    error_ratio: float | None, latency_ms: float | None, bad_version: str | None
) -> dict[str, dict[str, Any]]:
    """Errors and latency as faults of their own, or as what is bad about the version."""
    if bad_version is not None:
        how = {"error_ratio": error_ratio, "latency_ms": latency_ms}
        return {
            "version": {"version": bad_version}
            | {name: value for name, value in how.items() if value is not None}
        }
    faults: dict[str, dict[str, Any]] = {}
    if error_ratio is not None:
        faults["errors"] = {"error_ratio": error_ratio}
    if latency_ms is not None:
        faults["latency"] = {"latency_ms": latency_ms}
    return faults


@app.command()
def heal(
    service: Annotated[str | None, typer.Argument(help="One service; without it, all of them.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """End the faults of a service, or of the whole shop."""
    from urllib.parse import urlencode

    from setpoint.cli.client import Client

    answer = Client(server, token).delete(
        "/api/demo/faults" + (f"?{urlencode({'service': service})}" if service else "")
    )
    emit(answer, output, lambda console: console.print(f"{service or 'The shop'} is healed."))


@app.command()
def status(
    server: ServerOption = DEFAULT_SERVER, token: TokenOption = "", output: OutputOption = Output.TABLE
) -> None:
    """Show whether the shop runs and what is broken in it."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get("/api/demo")

    def render(console: Any) -> None:
        running = answer.get("running", answer.get("is_running"))
        console.print("The shop is open." if running else "The shop is closed; open it with: setpoint demo")
        faults = answer.get("faults") or []
        if not faults:
            console.print("Nothing is broken.")
            return
        now_ms = SystemClock().now_ms()
        rows = [
            (
                fault["service"],
                fault["fault"],
                " ".join(f"{name}={value}" for name, value in fault["parameters"].items()),
                ago(fault.get("since_ms"), now_ms),
            )
            for fault in faults
        ]
        console.print(table(("SERVICE", "FAULT", "PARAMETERS*", "SINCE"), rows))

    emit(answer, output, render)
