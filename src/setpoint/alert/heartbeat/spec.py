"""The resource kind `Heartbeat` of setpoint/v1: what must be heard from in time, and whom Setpoint reports to."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from setpoint.alert.fields import lasting, refuse_secret
from setpoint.alert.from_telemetry import SecretFile
from setpoint.resource import Metadata, Part, Registry

__all__ = ["API_VERSION", "Expect", "Heartbeat", "HeartbeatSpec", "Send", "register"]

API_VERSION: Final = "setpoint/v1"
_URL_MOST = 2000


def _url(value: str) -> str:
    parts = urlsplit(value)
    is_clean = value.isascii() and value.isprintable() and " " not in value and len(value) <= _URL_MOST
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_clean:
        raise ValueError("is no URL of a server; write one such as https://monitor.example.com/beat")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "holds a password; put the whole address into a file of the secrets folder: urlFile: NAME"
        )
    return value


Lasting = Annotated[str, lasting(1000, 366 * 86_400_000, "write 1s to 366d, such as 5m")]
Word = Annotated[str, Field(max_length=250)]


class Expect(Part):
    every: Lasting = Field(description="How often it reports, such as 24h for a nightly job.")
    grace: Lasting = Field(
        "1m",
        description="How late it may be before the alert fires. After a start of Setpoint it has this long, too: what "
        "it sent meanwhile was not heard.",
    )
    service: Word = Field(description="The service that the alert is about; its owner is told.")
    severity: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        "page", description="How urgent its silence is, such as page or ticket."
    )
    runbook: Annotated[str, AfterValidator(_url)] | None = Field(
        None, description="Where it stands what to do; the alert's runbook_url."
    )
    summary: Annotated[str, Field(max_length=1000)] = Field(
        "", description="What its silence means, in a sentence."
    )
    key_file: SecretFile | None = Field(
        None,
        description="File of the server's secrets folder with a key that may be given as ?key= instead of a token, "
        "for a cron job's curl.",
    )
    key: Annotated[None, BeforeValidator(refuse_secret)] = Field(
        None, description="Refused: secrets stand in files."
    )


class Send(Part):
    every: Lasting = Field("1m", description="How often Setpoint reports.")
    url: Annotated[str, AfterValidator(_url)] | None = Field(
        None, description="Where it reports to, by POST; the outside monitor alarms when it stops."
    )
    url_file: SecretFile | None = Field(
        None, description="File of the server's secrets folder with the address, where it is a secret."
    )
    overdue_after: Lasting = Field(
        "5m", description="A notification that waits for longer than this withholds the heartbeat."
    )

    @model_validator(mode="after")
    def _has_address(self) -> Send:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("write either url or urlFile: where the heartbeat is sent")
        return self


class HeartbeatSpec(Part):
    description: Annotated[str, Field(max_length=1050)] = ""
    expect: Expect | None = Field(
        None, description="A dead-man switch: an alert fires unless /heartbeats/NAME/ping is called in time."
    )
    send: Send | None = Field(
        None,
        description="Setpoint's own heartbeat to an outside monitor, withheld when somebody may not be told.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> HeartbeatSpec:
        if self.expect is None and self.send is None:
            raise ValueError("write expect (what must be heard from) or send (whom Setpoint reports to)")
        return self


class Heartbeat(Part):
    """Something that must be heard from in time, and Setpoint's own sign of life for an outside monitor."""

    api_version: Literal["setpoint/v1"] = API_VERSION
    kind: Literal["Heartbeat"] = "Heartbeat"
    metadata: Metadata
    spec: HeartbeatSpec


def register(registry: Registry) -> None:
    """Add `Heartbeat` of setpoint/v1."""
    registry.register(API_VERSION, "Heartbeat", Heartbeat)
