"""Requests as a configuration wants them: authorization, certificates, redirects, compression, connections."""

from __future__ import annotations

import base64
import gzip
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from setpoint.errors import StartupRefused, Unavailable
from setpoint.telemetry.scrape.fetch import Room, accept_header
from setpoint.telemetry.scrape.spec import PROTOCOLS
from tests.telemetry.scrape.running import Running, WebTarget
from tests.telemetry.scrape.test_scraper import config

Web = Callable[..., WebTarget]


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, and certificates of it for a server called `exporter.test` and for a client."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        folder, *new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "2"
    )
    for name in ("exporter.test", "client"):
        openssl(folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text(f"subjectAltName=DNS:{name}\n")
        openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    return folder


def server_context(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "exporter.test.pem", certificates / "exporter.test.key")
    return context


def authorization(target: WebTarget) -> str | None:
    return target.asked[-1][1].get("authorization")


def basic(pair: bytes) -> str:
    return f"Basic {base64.b64encode(pair).decode()}"


def test_what_is_asked_for() -> None:
    assert accept_header(PROTOCOLS) == (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    )
    assert accept_header(["PrometheusText0.0.4"]) == "text/plain;version=0.0.4;q=0.6,*/*;q=0.1"


@pytest.mark.parametrize(
    ("setting", "value", "sent"),
    [
        ("basic_auth", "{username: ann, password: 'a:b'}", basic(b"ann:a:b")),
        ("basic_auth", "{username: ann, password_file: secret}", basic(b"ann:from-file")),
        ("authorization", "{credentials: token}", "Bearer token"),
        ("authorization", "{type: Token, credentials_file: secret}", "Token from-file"),
        ("bearer_token", "old", "Bearer old"),
        ("bearer_token_file", "secret", "Bearer from-file"),
    ],
)  # fmt: skip
def test_authorization(tmp_path: Path, web: Web, setting: str, value: str, sent: str) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    target = web().says("a 1\n")
    with Running(tmp_path, config(f"j {target.address}", **{setting: value})) as running:
        running.pass_time()
        assert authorization(target) == sent


def test_a_secret_that_changes_is_read_again_and_a_missing_one_is_told(tmp_path: Path, web: Web) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one")
    target = web().says("a 1\n")
    with Running(tmp_path, config(f"j {target.address}", bearer_token_file="secret")) as running:
        running.pass_time()
        assert authorization(target) == "Bearer one"
        secret.write_text("second")
        running.pass_time()
        assert authorization(target) == "Bearer second"
        secret.unlink()
        running.told(f"the file {secret} cannot be read: no such file or directory")


def test_tls(tmp_path: Path, web: Web, certificates: Path) -> None:
    context = server_context(certificates)
    target = web(wrap=lambda sock: context.wrap_socket(sock, server_side=True)).says("a 1\n")
    text = config(
        f"trusting {target.address}", scheme="https",
        tls_config=f"{{ca_file: {certificates}/ca.pem, server_name: exporter.test}}",
    )  # fmt: skip
    for name, tls in (
        ("nameless", f"{{ca_file: {certificates}/ca.pem}}"),
        ("careless", "{insecure_skip_verify: true}"),
        ("stranger", "{server_name: exporter.test}"),
    ):
        text += f"\n- job_name: {name}\n  scheme: https\n  tls_config: {tls}\n"
        text += f"  static_configs: [{{targets: ['{target.address}']}}]"
    with Running(tmp_path, text) as running:
        running.pass_time()
        assert running.target(job="trusting").health == "up"
        assert running.target(job="careless").health == "up"
        assert "certificate verify failed: IP address mismatch" in running.target(job="nameless").error
        assert "certificate verify failed: unable to get local issuer" in running.target(job="stranger").error


def test_a_client_certificate_that_is_renewed(tmp_path: Path, web: Web, certificates: Path) -> None:
    context = server_context(certificates)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates / "ca.pem")
    target = web(wrap=lambda sock: context.wrap_socket(sock, server_side=True)).says("a 1\n")
    for name in ("key", "pem"):
        (tmp_path / f"own.{name}").write_bytes((certificates / f"client.{name}").read_bytes())
    tls = "{insecure_skip_verify: true, cert_file: own.pem, key_file: own.key, min_version: TLS12}"
    with Running(tmp_path, config(f"j {target.address}", scheme="https", tls_config=tls)) as running:
        running.pass_time()
        assert running.target().health == "up", running.target().error
        pool = running.scraper._pools["j"]
        client = pool.fetcher._client
        (tmp_path / "own.pem").write_bytes((certificates / "client.pem").read_bytes() + b"\n")
        running.pass_time()
        running.until(lambda: pool.fetcher._client is not client, "a new connection")
        running.pass_time()
        assert running.target().health == "up"


def test_a_certificate_that_is_none_refuses_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(StartupRefused, match=r"prometheus\.yml:5: .*tls_config: .*ca\.pem cannot be used"):
        Running(tmp_path, config("j localhost:1", tls_config="{ca_file: ca.pem}"))


def test_redirects(tmp_path: Path, web: Web) -> None:
    elsewhere = web().says("a 2\n")
    target = web().says("", status=302, Location="/real").says("a 1\n", path="/real")
    away = web().says("", status=307, Location=f"http://{elsewhere.address}/metrics")
    text = config(f"j {target.address}, {away.address}", bearer_token="t0ken")
    with Running(tmp_path, text) as running:
        running.pass_time()
        assert running.stored.values("a", instance=target.address) == [1]
        assert running.stored.values("a", instance=away.address) == [2]
        assert authorization(target) == authorization(away) == "Bearer t0ken"
        assert authorization(elsewhere) is None, "another host gets no credentials"
    with Running(tmp_path, config(f"j {target.address}", follow_redirects="false")) as running:
        running.told("the target answered HTTP status 302 Found")


def test_compressed_bodies_and_open_connections(tmp_path: Path, web: Web) -> None:
    target = web().says(gzip.compress(b"a 1\n"), Content_Encoding="gzip")
    with Running(tmp_path, config(f"j {target.address}")) as running:
        for _ in range(3):
            running.pass_time()
        assert running.stored.values("a") == [1, 1, 1]
        assert running.stored.values("scrape_body_size_bytes") == [4, 4, 4]
    plain = web().says("a 1\n")
    with Running(tmp_path, config(f"j {plain.address}", enable_compression="false")) as running:
        running.pass_time()
        assert plain.asked[-1][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("address", "told"),
    [("127.0.0.1:1", "cannot connect"), ("no-such-host.invalid:80", "cannot connect"), ("'[::1:80'", "the request"),
     ("'a b:80'", "cannot connect"), ("localhost:99999", "the request failed"), ("'ü\u2028.test:1'", "the request")],
)  # fmt: skip
def test_addresses_that_lead_nowhere(tmp_path: Path, address: str, told: str) -> None:
    with Running(tmp_path, config(f"j {address}")) as running:
        running.told(told)


def test_bodies_share_the_room_that_there_is() -> None:
    room = Room(100)
    room.take(60)
    with pytest.raises(Unavailable, match="set body_size_limit"):
        room.take(41)
    room.take(40)
    room.give(100)
    room.take(100)
