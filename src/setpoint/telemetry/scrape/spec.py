"""What of a prometheus.yml Setpoint reads: `global` and `scrape_configs`, as pydantic models. `load` fills
them.

Fields have Prometheus's names and defaults, so that an existing file works as it is. Durations are
milliseconds and sizes bytes once they are read.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from setpoint.telemetry.scrape.relabel import Rule
from setpoint.telemetry.scrape.units import read_duration_ms, read_size_bytes

__all__ = [
    "PROTOCOLS",
    "Authorization",
    "BasicAuth",
    "DnsDiscovery",
    "FileDiscovery",
    "Global",
    "HttpClient",
    "HttpDiscovery",
    "PrometheusFile",
    "Protocol",
    "ScrapeConfig",
    "StaticConfig",
    "TlsConfig",
]

Protocol = Literal[
    "PrometheusProto", "PrometheusText0.0.4", "PrometheusText1.0.0", "OpenMetricsText0.0.1",
    "OpenMetricsText1.0.0",
]  # fmt: skip
PROTOCOLS: tuple[Protocol, ...] = (
    "OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4",
)  # fmt: skip
"""What a target is asked for by default, the most wanted first."""

_FILE_NAME = re.compile(r"[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)")


def _duration(value: Any) -> Any:
    return read_duration_ms(value) if isinstance(value, str) else value


def _size(value: Any) -> Any:
    return read_size_bytes(value) if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]
Limit = Annotated[int, Field(ge=0)]
FilePath = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BasicAuth(_Part):
    """User and password, the password here or in a file that is read at each request."""

    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: FilePath | None = None

    @model_validator(mode="after")
    def _one_password(self) -> BasicAuth:
        if self.password.get_secret_value() and self.password_file:
            raise ValueError("write 'password' or 'password_file', not both")
        return self


class Authorization(_Part):
    """The `Authorization` header: a type and credentials, here or in a file."""

    type: str = "Bearer"
    credentials: SecretStr = SecretStr("")
    credentials_file: FilePath | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> Authorization:
        if self.credentials.get_secret_value() and self.credentials_file:
            raise ValueError("write 'credentials' or 'credentials_file', not both")
        if self.type.strip().lower() == "basic":
            raise ValueError("the type cannot be Basic; write 'basic_auth' instead")
        return self


TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class TlsConfig(_Part):
    """How an https target proves who it is, and how we do."""

    ca: str = ""
    ca_file: FilePath | None = None
    cert: str = ""
    cert_file: FilePath | None = None
    key: SecretStr = SecretStr("")
    key_file: FilePath | None = None
    server_name: str = ""
    insecure_skip_verify: bool = False
    min_version: TlsVersion | None = None
    max_version: TlsVersion | None = None

    @model_validator(mode="after")
    def _pairs(self) -> TlsConfig:
        if self.cert or self.key.get_secret_value():
            raise ValueError("'cert' and 'key' in the file are not supported; write cert_file and key_file")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("'cert_file' and 'key_file' belong together; write both")
        if self.ca and self.ca_file:
            raise ValueError("write 'ca' or 'ca_file', not both")
        return self


class HttpClient(_Part):
    """How a request is made: what Prometheus calls `HTTPClientConfig`."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    bearer_token: SecretStr = SecretStr("")
    bearer_token_file: FilePath | None = None
    tls_config: TlsConfig = TlsConfig()
    follow_redirects: bool = True
    enable_http2: bool = True

    @model_validator(mode="after")
    def _one_way(self) -> HttpClient:
        ways = {
            "basic_auth": self.basic_auth is not None,
            "authorization": self.authorization is not None,
            "bearer_token": bool(self.bearer_token.get_secret_value()),
            "bearer_token_file": self.bearer_token_file is not None,
        }
        given = [name for name, is_given in ways.items() if is_given]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; keep one")
        return self


class StaticConfig(_Part):
    """Targets that are written down, and labels for all of them."""

    targets: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)

    @field_validator("targets")
    @classmethod
    def _are_addresses(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        for target in targets:
            if "/" in target:
                raise ValueError(
                    f"'{target}' is no address; write HOST:PORT (the path goes to metrics_path, http or https "
                    "to scheme)"
                )
        return targets


class FileDiscovery(_Part):
    """Targets in YAML or JSON files that something else writes; read again when they change."""

    files: tuple[str, ...] = Field(min_length=1)
    refresh_interval: Duration = 300_000

    @field_validator("files")
    @classmethod
    def _are_patterns(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for name in files:
            if not _FILE_NAME.fullmatch(name):
                raise ValueError(
                    f"'{name}' is no name for file discovery; it ends with .json, .yml or .yaml and has a * "
                    "only in its last part"
                )
        return files


class HttpDiscovery(HttpClient):
    """Targets that a web service lists as JSON."""

    url: str
    refresh_interval: Duration = 60_000

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"'{url}' is no URL; write http://HOST/PATH or https://HOST/PATH")
        return url


class DnsDiscovery(_Part):
    """Targets that the name service lists; `port` for all types but SRV."""

    names: tuple[str, ...] = Field(min_length=1)
    type: Annotated[
        Literal["SRV", "A", "AAAA", "MX", "NS"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    ] = "SRV"
    port: int = Field(0, ge=0, le=65535)
    refresh_interval: Duration = 30_000

    @model_validator(mode="after")
    def _has_port(self) -> DnsDiscovery:
        if self.type != "SRV" and not self.port:
            raise ValueError(f"records of type {self.type} name no port; add 'port: …'")
        return self


class _Limits(_Part):
    """What `global` sets for all jobs and a job for itself; 0 is no limit of the job's own."""

    body_size_limit: Annotated[Size, Field(ge=0)] = 0
    sample_limit: Limit = 0
    target_limit: Limit = 0
    label_limit: Limit = 0
    label_name_length_limit: Limit = 0
    label_value_length_limit: Limit = 0
    keep_dropped_targets: Limit = 0
    scrape_protocols: tuple[Protocol, ...] | None = None

    @field_validator("scrape_protocols")
    @classmethod
    def _has_text(cls, protocols: tuple[Protocol, ...] | None) -> tuple[Protocol, ...] | None:
        if protocols is not None and not set(protocols) - {"PrometheusProto"}:
            raise ValueError("Setpoint reads the text formats; name one of " + ", ".join(PROTOCOLS))
        if protocols is not None and len(set(protocols)) < len(protocols):
            raise ValueError("a protocol is named twice; remove one")
        return protocols


class Global(_Limits):
    """Defaults of all jobs."""

    scrape_interval: Duration = 0
    scrape_timeout: Duration = 0


class ScrapeConfig(_Limits, HttpClient):
    """One job: where its targets are found, and how they are scraped."""

    job_name: str = Field(min_length=1)
    scrape_interval: Duration = 0
    scrape_timeout: Duration = 0
    metrics_path: str = "/metrics"
    scheme: Literal["http", "https"] = "http"
    params: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    honor_labels: bool = False
    honor_timestamps: bool = True
    track_timestamps_staleness: bool = False
    enable_compression: bool = True
    fallback_scrape_protocol: Protocol | None = None
    static_configs: tuple[StaticConfig, ...] = ()
    file_sd_configs: tuple[FileDiscovery, ...] = ()
    http_sd_configs: tuple[HttpDiscovery, ...] = ()
    dns_sd_configs: tuple[DnsDiscovery, ...] = ()
    relabel_configs: tuple[Rule, ...] = ()
    metric_relabel_configs: tuple[Rule, ...] = ()


class PrometheusFile(_Part):
    """The parts of a prometheus.yml that Setpoint reads; a file of `scrape_config_files` has the last one."""

    global_: Global = Field(Global(), alias="global")
    scrape_config_files: tuple[str, ...] = ()
    scrape_configs: tuple[ScrapeConfig, ...] = ()

    @field_validator("scrape_config_files")
    @classmethod
    def _are_patterns(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for name in files:
            if "*" in str(PurePath(name).parent):
                raise ValueError(f"'{name}' has a * before its last part; write it in the file's name only")
        return files
