"""The resource kind `DataSource` of openslo/v1: where another server is, who we are to it, and how gently to ask.

OpenSLO leaves `connectionDetails` to the implementation. Here they hold no secret: a resource is shown on pages,
in diffs and in the timeline, so passwords and tokens stand in files of one folder of the server (the setting
`secrets`), which a resource names. Only names below that folder are taken: who may apply a resource must not be
able to send any other file of the machine to a server of their choice.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from setpoint.resource import Metadata, Part
from setpoint.telemetry.scrape.units import read_duration_ms

__all__ = ["API_VERSION", "ConnectionDetails", "DataSource"]

API_VERSION: Final = "openslo/v1"
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}){0,3}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
_OURS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"}
)
_NO_SECRET = (
    "a secret does not belong into a resource, which pages, diffs and the timeline show; put it into a file of "
    "the server's secrets folder and write {0}: NAME"
)
_TYPES = ("prometheus", "victoriametrics", "mimir", "thanos", "cortex")


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"'{value}' is no URL: {error}; write one such as http://prometheus:9090") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in value):
        raise ValueError(f"'{value}' is no URL of a server; write one such as http://prometheus:9090")
    if parts.username is not None or parts.password is not None:
        raise ValueError(_NO_SECRET.format("basicAuth with username and passwordFile"))
    if parts.query or parts.fragment:
        raise ValueError("write the URL without '?' and '#': the address under which /api/v1/query is found")
    return value.rstrip("/").removesuffix("/api/v1").rstrip("/")


def _file(value: str) -> str:
    if not _FILE.fullmatch(value):
        raise ValueError(
            f"'{value}' is no file of the secrets folder; write its name there, such as mimir.token (the folder is "
            "the server's setting secrets)"
        )
    return value


def _header_name(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(f"'{value}' is no name of a header; write one such as X-Team")
    if value.lower() in _OURS:
        raise ValueError(f"the header {value} is set by Setpoint; leave it out")
    return value


def _header_value(value: str) -> str:
    if len(value) > 4096 or not value.isprintable() or not value.isascii():
        raise ValueError("write up to 4,096 printable ASCII characters")
    return value


def _duration(shortest_ms: int, longest_ms: int, spoken: str) -> AfterValidator:
    def check(value: str) -> str:
        if not shortest_ms <= read_duration_ms(value) <= longest_ms:
            raise ValueError(f"{value} is out of bounds; write {spoken}")
        return value

    return AfterValidator(check)


def _inline_secret(instead: str) -> BeforeValidator:
    def check(value: Any) -> None:
        if value is not None:
            raise ValueError(_NO_SECRET.format(instead))

    return BeforeValidator(check)


def _type(value: Any) -> Any:
    """OpenSLO's examples write the type in any case; all that speak Prometheus's API are one type here."""
    if isinstance(value, str):
        if value.lower() in _TYPES:
            return "prometheus"
        raise ValueError(
            f"'{value}' is not read yet; write prometheus, for whatever serves Prometheus's HTTP API "
            "(Prometheus, VictoriaMetrics, Mimir, Thanos)"
        )
    return value


SecretFile = Annotated[str, AfterValidator(_file)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
_REFUSED: Any = Field(None, description="Refused: secrets stand in files.")


class BasicAuth(Part):
    username: Annotated[str, AfterValidator(_header_value)]
    password_file: SecretFile = Field(description="File of the secrets folder that holds the password.")
    password: Annotated[None, _inline_secret("passwordFile")] = _REFUSED


class SourceTls(Part):
    ca_file: SecretFile | None = Field(
        None,
        description="PEM file of the secrets folder with the certificates to trust, in place of the system's.",
    )
    cert_file: SecretFile | None = Field(None, description="Our certificate; needs keyFile.")
    key_file: SecretFile | None = Field(None, description="The key of certFile.")
    server_name: str = Field(
        "", description="The name that the certificate must have, where it is not the URL's."
    )
    insecure_skip_verify: bool = Field(
        False, description="true: trust any certificate; for experiments only."
    )

    @model_validator(mode="after")
    def _pair(self) -> SourceTls:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("certFile and keyFile belong together; write both")
        return self


class ConnectionDetails(Part):
    url: Annotated[str, AfterValidator(_url)] = Field(
        description="The server, with its path prefix if it has one, such as http://mimir:8080/prometheus."
    )
    tenant: Annotated[str, AfterValidator(_header_value)] = Field(
        "", description="Sent as X-Scope-OrgID: the tenant of Mimir, Cortex or a multi-tenant Thanos."
    )
    headers: dict[HeaderName, Annotated[str, AfterValidator(_header_value)]] = Field(
        default_factory=dict, description="Further headers that are no secret."
    )
    header_files: dict[HeaderName, SecretFile] = Field(
        default_factory=dict, description="Headers whose values stand in files of the secrets folder."
    )
    basic_auth: BasicAuth | None = None
    bearer_token_file: SecretFile | None = Field(
        None, description="File of the secrets folder that holds a bearer token; read again when it changes."
    )
    bearer_token: Annotated[None, _inline_secret("bearerTokenFile")] = _REFUSED
    password: Annotated[None, _inline_secret("basicAuth with username and passwordFile")] = _REFUSED
    tls: SourceTls = Field(default_factory=SourceTls)
    interval: Annotated[str, _duration(5000, 60_000, "5s to 60s, such as 15s")] = Field(
        "15s", description="How often new samples are asked for: about the server's scrape interval."
    )
    timeout: Annotated[str, _duration(1000, 120_000, "1s to 2m, such as 10s")] = Field(
        "10s", description="For one request, until the last byte of its answer."
    )
    requests_per_second: Annotated[float, Field(ge=0.1, le=1000)] = Field(
        10, description="Requests a second at most, history included; new samples come first."
    )
    max_concurrent: Annotated[int, Field(ge=1, le=32)] = Field(4, description="Requests at a time at most.")
    response_limit_mb: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="Largest answer after decompression; a larger one is asked for in shorter pieces."
    )
    backfill: Annotated[str, _duration(0, 366 * 86_400_000, "0 to 366d, such as 30d")] = Field(
        "34d",
        description="How far back history is counted when an objective is new, as far as its window reaches.",
    )

    @model_validator(mode="before")
    @classmethod
    def _secrets_are_elsewhere(cls, data: Any) -> Any:
        headers = data.get("headers") if isinstance(data, dict) else None
        for name in headers if isinstance(headers, dict) else ():
            if isinstance(name, str) and _SECRET_HEADER.search(name):
                raise ValueError(f"the header {name}: " + _NO_SECRET.format("headerFiles: {" + name) + "}")
        return data

    @model_validator(mode="after")
    def _one_credential(self) -> ConnectionDetails:
        named = [*self.headers, *self.header_files, *(("X-Scope-OrgID",) if self.tenant else ())]
        names = [name.lower() for name in named]
        if len(set(names)) < len(names):
            raise ValueError("a header is given twice; keep one")
        ways = (self.basic_auth, self.bearer_token_file, "authorization" in names or None)
        if sum(way is not None for way in ways) > 1:
            raise ValueError(
                "basicAuth, bearerTokenFile and a header Authorization exclude each other; keep one"
            )
        return self

    @property
    def interval_ms(self) -> int:
        """`interval` in milliseconds."""
        return read_duration_ms(self.interval)

    @property
    def timeout_ms(self) -> int:
        """`timeout` in milliseconds."""
        return read_duration_ms(self.timeout)

    @property
    def backfill_ms(self) -> int:
        """`backfill` in milliseconds."""
        return read_duration_ms(self.backfill)


class _DataSourceSpec(Part):
    description: Annotated[str, Field(max_length=1050)] = ""
    type: Annotated[Literal["prometheus"], BeforeValidator(_type)] = Field(
        description="prometheus: whatever serves Prometheus's HTTP API (VictoriaMetrics, Mimir, Thanos too)."
    )
    connection_details: ConnectionDetails


class DataSource(Part):
    """Another server whose samples objectives read, by `metricSourceRef`."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["DataSource"] = "DataSource"
    metadata: Metadata
    spec: _DataSourceSpec
