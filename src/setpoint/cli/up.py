"""`setpoint up`: the server in the foreground, under the supervisor."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli.options import ListenOption, OtlpGrpcOption, OtlpHttpOption

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint up
  setpoint up --data /var/lib/setpoint --listen 127.0.0.1:8080
  setpoint up --listen 0.0.0.0:7070 --token-file /etc/setpoint/token
  setpoint up --scrape-config /etc/prometheus/prometheus.yml
  setpoint up --alertmanager-config /etc/alertmanager/alertmanager.yml
  setpoint up --rule-files '/etc/prometheus/rules/*.yml'

Every flag is also a variable: --otlp-grpc is SETPOINT_OTLP_GRPC.
The token is never a flag: give SETPOINT_TOKEN or --token-file.
Exit code: 0 after Ctrl-C or SIGTERM, 7 when it cannot start."""

_STORAGE = "Storage"

_RuleFiles = Annotated[
    str | None,
    typer.Option(help="Prometheus rule files to evaluate, with commas between.", metavar="GLOBS"),
]


class LogLevel(enum.StrEnum):
    """What the server writes to stderr, from everything to errors only."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.command(epilog=_EPILOG)
def up(
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the embedded databases; created when missing.",
            show_default="data",
            rich_help_panel=_STORAGE,
        ),
    ] = None,
    telemetry_dsn: Annotated[
        str | None,
        typer.Option(
            help="ClickHouse instead of the embedded engine.", metavar="DSN", rich_help_panel=_STORAGE
        ),
    ] = None,
    state_dsn: Annotated[
        str | None,
        typer.Option(help="PostgreSQL instead of SQLite.", metavar="DSN", rich_help_panel=_STORAGE),
    ] = None,
    listen: ListenOption = None,
    otlp_grpc: OtlpGrpcOption = None,
    otlp_http: OtlpHttpOption = None,
    scrape_config: Annotated[
        Path | None,
        typer.Option(help="A prometheus.yml: scrape what its scrape_configs name.", metavar="FILE"),
    ] = None,
    alertmanager_config: Annotated[
        Path | None,
        typer.Option(help="An alertmanager.yml: who hears of which alerts.", metavar="FILE"),
    ] = None,
    rule_files: _RuleFiles = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the token every request must carry.")
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="How much the server logs.", show_default="info")
    ] = None,
) -> int:
    """Start the Setpoint server in the foreground."""
    from setpoint.cli.launch import make_supervisor, say, settings_from
    from setpoint.cli.listen import open_listeners

    settings = settings_from(
        {
            "data": data,
            "telemetry_dsn": telemetry_dsn,
            "state_dsn": state_dsn,
            "listen": listen,
            "otlp_grpc": otlp_grpc,
            "otlp_http": otlp_http,
            "scrape_config": scrape_config.absolute() if scrape_config else None,
            "alertmanager_config": alertmanager_config.absolute() if alertmanager_config else None,
            "rule_files": _absolute(rule_files) if rule_files else None,
            "token_file": token_file.absolute() if token_file else None,
        }
    )
    listeners = open_listeners(settings)

    def on_ready(count: int) -> None:
        say(
            f"ready at {listeners.url} · Ctrl-C stops it"
            if count == 0
            else f"the server is back at {listeners.url}"
        )

    try:
        return make_supervisor(settings, listeners, on_ready=on_ready, log_level=log_level or "").run()
    finally:
        listeners.close()


def _absolute(patterns: str) -> str:
    """The globs from the folder in which they were written."""
    return ",".join(str(Path(one.strip()).absolute()) for one in patterns.split(",") if one.strip())
