"""The sockets: a port in use is said at once, with the flag that chooses another."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from setpoint.cli.launch import server_environment, settings_from
from setpoint.cli.listen import open_listeners
from setpoint.errors import StartupRefused
from tests.cli.program import setpoint


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN", "OTLP_GRPC", "OTLP_HTTP", "TOKEN", "TOKEN_FILE", "DATA"):
        monkeypatch.delenv(f"SETPOINT_{name}", raising=False)


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def flags(**given: str) -> dict[str, str]:
    return {"listen": "127.0.0.1:0", "otlp_grpc": "", "otlp_http": "", **given}


@pytest.mark.parametrize("flag", ["listen", "otlp_grpc", "otlp_http"])
def test_a_taken_port_that_was_asked_for_refuses_the_start(taken: str, flag: str) -> None:
    with pytest.raises(StartupRefused) as raised:
        open_listeners(settings_from(flags(**{flag: taken})))
    wrong, what_to_do = raised.value.message.splitlines()
    assert wrong == f"{taken} is in use by another process"
    assert f"--{flag.replace('_', '-')} 127.0.0.1:" in what_to_do
    assert ("or none with" in what_to_do) == (flag != "listen")


def test_the_default_second_address_may_be_taken(monkeypatch: pytest.MonkeyPatch, taken: str) -> None:
    from setpoint.settings import Settings

    monkeypatch.setitem(Settings.model_fields, "otlp_http", Settings.model_fields["otlp_http"])
    settings = Settings.model_construct(
        {"listen", "otlp_grpc"}, listen="127.0.0.1:0", otlp_grpc="", otlp_http=taken
    )
    listeners = open_listeners(settings)
    assert listeners.otlp_http is None
    assert taken in listeners.warnings[0]
    assert "--otlp-http" in listeners.warnings[0]
    assert server_environment(settings, listeners)["SETPOINT_OTLP_HTTP"] == ""
    listeners.close()


def test_a_chosen_port_is_told_to_the_server_and_the_person() -> None:
    settings = settings_from(flags(otlp_http="127.0.0.1:0") | {"data": Path("somewhere"), "token_file": None})
    listeners = open_listeners(settings)
    port = listeners.main.getsockname()[1]
    assert port > 0
    assert listeners.address == f"127.0.0.1:{port}"
    assert listeners.url == f"http://127.0.0.1:{port}"
    environment = server_environment(settings, listeners, "debug")
    assert environment["SETPOINT_LISTEN"] == listeners.address
    assert environment["SETPOINT_OTLP_GRPC"] == ""
    assert environment["SETPOINT_DATA"] == str(Path("somewhere").absolute())
    assert environment["SETPOINT_LOG_LEVEL"] == "debug"
    listeners.close()


def test_the_page_of_an_open_address_is_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETPOINT_TOKEN", "s3cret")
    settings = settings_from(flags(listen="0.0.0.0:0"))
    listeners = open_listeners(settings)
    assert listeners.url.startswith("http://127.0.0.1:")
    assert server_environment(settings, listeners)["SETPOINT_TOKEN"] == "s3cret"
    listeners.close()


@pytest.mark.parametrize(
    ("arguments", "wrong", "what_to_do"),
    [
        (["--listen", "7070"], "'7070' is not an address", "HOST:PORT"),
        (["--listen", "192.0.2.1:7070"], "no token is set", "SETPOINT_TOKEN"),
        (["--listen", "127.0.0.1:0", "--token-file", "/nonexistent"], "", ""),
    ],
)
def test_up_refuses_with_code_7(
    arguments: list[str], wrong: str, what_to_do: str, tmp_path: Path, taken: str
) -> None:
    more = ["--data", str(tmp_path), "--otlp-grpc", taken]
    done = setpoint("up", *arguments, *more)
    assert done.returncode == 7
    assert wrong in done.stderr
    assert what_to_do in done.stderr


def test_demo_says_clearly_that_its_port_is_taken(tmp_path: Path, taken: str) -> None:
    done = setpoint("demo", "--listen", taken, "--data", str(tmp_path / "demo"))
    assert done.returncode == 7
    assert f"setpoint: {taken} is in use by another process" in done.stderr
    assert "--listen 127.0.0.1:" in done.stderr
    assert done.stdout == ""


def test_a_setting_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    done = setpoint("up", "--data", str(tmp_path), SETPOINT_HEAD_S="soon")
    assert done.returncode == 7
    assert "head_s" in done.stderr
    assert "Traceback" not in done.stderr
