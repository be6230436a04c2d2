"""Every setting of the server, typed and documented per field, read in one place.

`cli.up` builds `Settings` from flags and the environment (`SETPOINT_<FIELD>`, upper case) and hands it to the
server process. No other module reads the environment. `docs/reference/settings.md` is generated from here.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from setpoint.errors import StartupRefused

__all__ = ["Address", "Settings"]


class Address(str):
    """`HOST:PORT`, checked; IPv6 hosts stand in brackets."""

    host: str
    port: int

    def __new__(cls, value: str) -> Address:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise StartupRefused(f"'{value}' is not an address; write HOST:PORT, such as 127.0.0.1:7070")
        self = super().__new__(cls, value)
        self.host, self.port = host.strip("[]"), int(port)
        return self

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Settings(BaseSettings):
    """The server's settings; each is a flag of `setpoint up`, an environment variable, or its default."""

    model_config = SettingsConfigDict(env_prefix="SETPOINT_", extra="ignore", frozen=True)

    data: Path = Field(Path("data"), description="Folder of the embedded databases; created when missing.")
    listen: str = Field("127.0.0.1:7070", description="Address of the pages, the API and OTLP/HTTP.")
    otlp_grpc: str = Field("127.0.0.1:4317", description="Address of OTLP/gRPC; empty turns it off.")
    otlp_http: str = Field(
        "127.0.0.1:4318",
        description="Second address of OTLP/HTTP, where OpenTelemetry SDKs send by default; empty turns it off. "
        "When it is taken and was not asked for, Setpoint goes on without it and says so.",
    )
    telemetry_dsn: str = Field(
        "",
        description="Telemetry database: empty for chdb in the data folder, or clickhouse://user@host:port/database.",
    )
    state_dsn: str = Field(
        "",
        description="State database: empty for SQLite in the data folder, or postgresql://user@host:port/database.",
    )
    token: SecretStr = Field(
        SecretStr(""),
        description="Token of an admin, which every request may carry as bearer; an address that is not loopback needs "
        "this or a user.",
    )
    token_file: Path | None = Field(None, description="File that holds the token, instead of the variable.")
    secrets: Path | None = Field(
        None,
        description="Folder of the files that resources name, such as a data source's password; by default secrets "
        "in the data folder.",
    )
    scrape_config: Path | None = Field(
        None,
        description="A prometheus.yml whose scrape_configs name what Setpoint scrapes; read again when it changes.",
    )
    alertmanager_config: Path | None = Field(
        None,
        description="An alertmanager.yml that says who hears of which alerts; read again when it changes. Without it "
        "the resource AlertRouting says so.",
    )
    rule_files: str = Field(
        "",
        description="Prometheus rule files that Setpoint evaluates: paths or globs with commas between; read again "
        "when they change. A broken one keeps its groups as they were.",
    )
    telemetry_memory_mb: int = Field(
        256,
        ge=64,
        description="Memory that the embedded telemetry engine may use for queries and merges, in megabytes; samples "
        "that queries read lately may stay decoded in as much again.",
    )
    body_limit_mb: int = Field(
        64,
        ge=1,
        description="Largest OTLP body after decompression, in megabytes; a larger one is answered 413.",
    )
    queue_limit_mb: int = Field(
        256,
        ge=1,
        description="Telemetry waiting to be stored, in megabytes, before senders are told to retry later.",
    )
    series_limit: int = Field(
        2_000_000,
        ge=1000,
        description="Series held at a time; new ones beyond it are refused. About 4 KB of memory each at 15 s.",
    )
    metric_series_limit: int = Field(
        200_000, ge=100, description="Series of one metric; a label with random values ends here."
    )
    sender_series_limit: int = Field(
        500_000,
        ge=100,
        description="Series that one sender (a scrape job, a remote-write address, an OTLP service) may bring.",
    )
    label_limit: int = Field(64, ge=1, description="Labels of one series, its name included.")
    label_value_limit_bytes: int = Field(4096, ge=64, description="Bytes of one label value.")
    query_timeout_s: float = Field(
        120,
        gt=0,
        description="How long a query may take, its waiting for a turn included, in seconds; a request's parameter "
        "timeout can only shorten it.",
    )
    query_samples_limit: int = Field(
        50_000_000,
        ge=10_000,
        description="Samples that one query may hold in memory, about 16 bytes each; all queries together twice that.",
    )
    head_s: int = Field(
        3 * 3600,
        ge=5400,  # the live minutes and the hour before them, in which a counter's previous sample may lie
        description="How long samples stay in memory, in seconds; objectives are evaluated from there.",
    )
    flush_s: int = Field(
        900,
        ge=1,
        le=3600,
        description="How often samples go from the journal to their final form, in seconds. They are stored before; "
        "rarer is cheaper, and a start replays more.",
    )
    evaluation_interval_s: float = Field(
        1.0, gt=0, description="How often objectives are evaluated, in seconds."
    )
    final_after_s: int = Field(
        300,
        ge=60,
        description="Age at which a minute of the ledger is final unless later data arrives, in seconds.",
    )
    no_data_after_s: int = Field(
        90, ge=10, description="Silence after which an objective's state is 'no data', in seconds."
    )

    retention_days: int = Field(
        35,
        ge=2,
        le=3650,
        description="How long samples are kept as they came, in days, and how late they may come; resources of "
        "the kind Retention say otherwise for some metrics.",
    )
    rollup_retention_days: int = Field(
        400, ge=2, le=3650, description="How long down-sampled history of metrics is kept, in days."
    )
    disk_limit_gb: float = Field(
        0,
        ge=0,
        description="Size of the telemetry database, in gigabytes, beyond which the oldest days of samples, spans "
        "and logs are dropped; 0 sets no limit.",
    )

    @property
    def listen_address(self) -> Address:
        """`listen`, parsed."""
        return Address(self.listen)

    @property
    def effective_token(self) -> str:
        """The token from the variable or the file; empty when none is set."""
        if self.token_file is not None:
            try:
                return self.token_file.read_text().strip()
            except OSError as error:
                raise StartupRefused(f"the token file cannot be read: {error}; check token_file") from error
        return self.token.get_secret_value()

    @property
    def open_addresses(self) -> list[str]:
        """The addresses that other machines can reach."""
        addresses = (self.listen, self.otlp_grpc, self.otlp_http)
        return [address for address in addresses if address and not Address(address).is_loopback]

    def refuse_unsafe(self) -> None:
        """Raise StartupRefused when an address can be reached from outside and no token is set; `serve` asks where
        there are no users either.
        """
        if self.open_addresses and not self.effective_token:
            raise StartupRefused(
                f"{self.open_addresses[0]} can be reached from other machines, nobody can sign in and no token is set; "
                "set SETPOINT_TOKEN (or SETPOINT_TOKEN_FILE), or listen on 127.0.0.1 and make a user first: "
                "setpoint user add NAME --role admin"
            )
