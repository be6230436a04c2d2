"""The floor: errors that say what to do, a clock that tests can move, settings that refuse what is unsafe."""

from __future__ import annotations

import threading

import pytest
from pydantic import ValidationError

from setpoint import errors
from setpoint.clock import SystemClock, VirtualClock, rfc3339
from setpoint.errors import InvalidInput, Problem, StartupRefused
from setpoint.objective.live import LIVE_MINUTES
from setpoint.promql.exact import PREVIOUS_SAMPLE_MS
from setpoint.settings import Address, Settings


def test_a_problem_names_its_place() -> None:
    problem = Problem("must be below 1, such as 0.999", "slo.yaml", 12, "spec.objectives[0].target")
    assert str(problem) == "slo.yaml:12: spec.objectives[0].target: must be below 1, such as 0.999"
    assert InvalidInput(problems=(problem, Problem("and this"))).message == f"{problem}\nand this"


def test_every_error_has_its_own_code_and_a_first_sentence() -> None:
    kinds: list[type[errors.SetpointError]] = [errors.SetpointError, *errors.SetpointError.__subclasses__()]
    kinds = [kind for kind in kinds if kind.__module__ == "setpoint.errors"]
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind().message, kind
        assert 0 < kind.exit_code < 126


def test_a_virtual_clock_wakes_who_waits() -> None:
    clock, event, woken = VirtualClock(1000), threading.Event(), threading.Event()

    def wait() -> None:
        assert clock.wait(event, 5) is False
        woken.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not woken.wait(0.05)
    assert clock.advance(5) == 6000
    assert woken.wait(5)
    waiting.join()


def test_the_system_clock_gives_unix_milliseconds() -> None:
    assert 1_600_000_000_000 < SystemClock().now_ms() < 4_000_000_000_000


def test_rfc3339() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_767_323_045_678) == "2026-01-02T03:04:05.678Z"


@pytest.mark.parametrize("text", ["7070", "127.0.0.1", "host:", "host:99999", ":80", "host:x"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(StartupRefused, match="HOST:PORT"):
        Address(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("shop.example:1", False),
    ],
)
def test_loopback_is_known(text: str, loopback: bool) -> None:
    assert Address(text).is_loopback is loopback


@pytest.mark.parametrize("field", ["listen", "otlp_grpc", "otlp_http"])
def test_an_open_address_needs_a_token(field: str) -> None:
    values = {field: "0.0.0.0:7070"}
    with pytest.raises(StartupRefused, match="SETPOINT_TOKEN"):
        Settings(**values).refuse_unsafe()  # type: ignore[arg-type]
    Settings(token="secret", **values).refuse_unsafe()  # type: ignore[arg-type]


def test_a_token_never_shows_in_a_message() -> None:
    assert "hidden-value" not in repr(Settings(token="hidden-value"))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETPOINT_LISTEN", "127.0.0.1:9999")
    monkeypatch.setenv("SETPOINT_NO_DATA_AFTER_S", "45")
    settings = Settings()
    assert settings.listen_address.port == 9999
    assert settings.no_data_after_s == 45


def test_the_samples_in_memory_reach_as_far_back_as_the_evaluation_looks() -> None:
    """Less would send every evaluation to the database, every second."""
    shortest_s = LIVE_MINUTES * 60 + PREVIOUS_SAMPLE_MS // 1000
    Settings(head_s=5400)
    with pytest.raises(ValidationError, match="head_s"):
        Settings(head_s=shortest_s)
