"""What `up` and `demo` share: settings from flags, the environment of the server, the supervisor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from setpoint.cli.listen import Listeners
from setpoint.cli.supervisor import Supervisor
from setpoint.errors import StartupRefused
from setpoint.settings import Settings

__all__ = ["SERVER_MODULE", "make_supervisor", "say", "server_environment", "settings_from"]

SERVER_MODULE = "setpoint.web.serve"


def settings_from(flags: Mapping[str, Any]) -> Settings:
    """Settings from the flags that were given (None was not), then the environment, then the defaults.

    Raises StartupRefused for a value that is not valid.
    """
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()]
        raise StartupRefused(
            "these settings are not valid: "
            + "; ".join(lines)
            + "\nchange the flag or the variable SETPOINT_<NAME>"
        ) from error
    # Where there may be users only the server knows whether one can sign in; it refuses then.
    if not settings.state_dsn and not (settings.data / "state.sqlite").exists():
        settings.refuse_unsafe()
    return settings


def server_environment(settings: Settings, listeners: Listeners, log_level: str = "") -> dict[str, str]:
    """Our own environment with every setting that was chosen written over it; the token travels here only."""
    environment = dict(os.environ)
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        text = (
            value.get_secret_value() if isinstance(value, SecretStr) else "" if value is None else str(value)
        )
        environment[f"SETPOINT_{name.upper()}"] = text
    environment["SETPOINT_DATA"] = str(settings.data.absolute())
    environment["SETPOINT_LISTEN"] = listeners.address
    if listeners.otlp_http is None:
        environment["SETPOINT_OTLP_HTTP"] = ""
    if log_level:
        environment["SETPOINT_LOG_LEVEL"] = log_level
    return environment


def make_supervisor(
    settings: Settings,
    listeners: Listeners,
    *,
    on_ready: Callable[[int], None],
    on_stop: Callable[[], None] = lambda: None,
    log: Path | None = None,
    log_level: str = "",
) -> Supervisor:
    """The supervisor of the real server; says what `open_listeners` warned of."""
    for warning in listeners.warnings:
        say(warning)
    sockets = {"SETPOINT_LISTEN_FD": listeners.main}
    if listeners.otlp_http is not None:
        sockets["SETPOINT_OTLP_HTTP_FD"] = listeners.otlp_http
    return Supervisor(
        [SERVER_MODULE],
        server_environment(settings, listeners, log_level),
        sockets,
        listeners.url,
        on_ready=on_ready,
        on_stop=on_stop,
        log=log,
    )


def say(message: str) -> None:
    """One line of the parent process."""
    sys.stderr.write(f"setpoint: {message}\n")
    sys.stderr.flush()
