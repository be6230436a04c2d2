"""Who may speak to the server: token, session, Host, Origin, headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from setpoint.access.directory import SESSION_S
from setpoint.app import App
from setpoint.clock import VirtualClock
from setpoint.web.page import HERE
from tests.web.conftest import HTML, JSON, Running

BEARER = {"Authorization": "Bearer s3cret-token"}


@pytest.fixture
def locked(guarded: App, serve: Callable[..., Running]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve(guarded).url) as opened:
        yield opened


@pytest.mark.parametrize(
    "path", ["/objectives", "/timeline", "/api/status", "/events", "/api/v1/query?query=1", "/nope"]
)
def test_without_the_token_nothing_is_told(locked: httpx.Client, path: str) -> None:
    answer = locked.get(path, headers=JSON)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize("signal", ["metrics", "traces", "logs"])
def test_telemetry_needs_the_token_too(locked: httpx.Client, signal: str) -> None:
    json = {"Content-Type": "application/json"}
    assert locked.post(f"/v1/{signal}", content="{}", headers=json).status_code == 401
    assert locked.post(f"/v1/{signal}", content="{}", headers=json | BEARER).status_code == 200


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready", "/login", "/static/setpoint.css"])
def test_what_stays_open(locked: httpx.Client, path: str) -> None:
    assert locked.get(path).status_code == 200


def test_the_token_opens(locked: httpx.Client) -> None:
    assert locked.get("/objectives", headers=JSON | BEARER).status_code == 200
    for wrong in ("Bearer s3cret-toke", "Bearer s3cret-token2", "Basic s3cret-token", "Bearer ü"):
        headers = {b"Accept": b"application/json", b"Authorization": wrong.encode()}
        assert locked.get("/objectives", headers=headers).status_code == 401, wrong


def test_the_token_is_taken_as_password(locked: httpx.Client) -> None:
    """Senders such as Prometheus know Basic credentials; the user's name does not matter."""
    for user in ("setpoint", ""):
        assert locked.get("/objectives", headers=JSON, auth=(user, "s3cret-token")).status_code == 200
    for wrong in (("s3cret-token", ""), ("setpoint", "s3cret-token2"), ("setpoint", "")):
        assert locked.get("/objectives", headers=JSON, auth=wrong).status_code == 401, wrong
    for damaged in ("Basic", "Basic :", "Basic %%%", "Basic /w==", "Basic czNjcmV0LXRva2Vu"):
        assert locked.get("/objectives", headers=JSON | {"Authorization": damaged}).status_code == 401, (
            damaged
        )


def test_a_browser_logs_in_and_comes_back_to_its_page(locked: httpx.Client, guarded: App) -> None:
    asked = locked.get("/objectives?q=state:burning", headers=HTML)
    assert asked.status_code == 303
    form = locked.get(asked.headers["location"])
    target = re.search(r'name="next" value="([^"]*)"', form.text)
    assert target and target[1] == "/objectives?q=state:burning"
    wrong = locked.post("/login", data={"token": "guess", "next": target[1]})
    assert wrong.status_code == 401
    assert "That is no token" in wrong.text
    done = locked.post("/login", data={"token": "s3cret-token", "next": target[1]})
    assert (done.status_code, done.headers["location"]) == (303, target[1])
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "s3cret" not in cookie
    assert locked.get(target[1], headers=HTML).status_code == 200
    assert isinstance(guarded.clock, VirtualClock)
    guarded.clock.advance(SESSION_S + 1)
    assert locked.get(target[1], headers=HTML).status_code == 303


def test_logging_out(locked: httpx.Client) -> None:
    locked.post("/login", data={"token": "s3cret-token", "next": "/"})
    assert locked.get("/objectives", headers=HTML).status_code == 200
    assert locked.post("/logout").status_code == 303
    assert locked.get("/objectives", headers=HTML).status_code == 303


@pytest.mark.parametrize(
    "target",
    ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y"],
)
def test_login_leads_nowhere_else(locked: httpx.Client, target: str) -> None:
    done = locked.post("/login", data={"token": "s3cret-token", "next": target})
    assert (done.status_code, done.headers["location"]) == (303, "/")


@pytest.mark.parametrize("cookie", ["", ".", "99999999999.", "99999999999.abc", "x.y", "\xfc", "a" * 5000])
def test_forged_sessions(locked: httpx.Client, cookie: str) -> None:
    headers = {b"Accept": b"application/json", b"Cookie": f"setpoint_session={cookie}".encode("latin-1")}
    assert locked.get("/objectives", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7070", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
def test_a_rebound_name_is_refused(client: httpx.Client, host: str) -> None:
    answer = client.get("/objectives", headers=JSON | {"Host": host})
    assert answer.status_code in (400, 403)  # an HTTP server may refuse an empty Host by itself
    assert client.get("/-/healthy", headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7070", "127.0.0.1:1", "[::1]:7070"])
def test_names_of_this_machine(client: httpx.Client, host: str) -> None:
    assert client.get("/objectives", headers=JSON | {"Host": host}).status_code == 200


EVENT = {"kind": "deploy", "summary": "x"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_sites_change_nothing(client: httpx.Client, headers: dict[str, str]) -> None:
    before = client.get("/timeline", headers=JSON).json()
    assert client.post("/api/timeline", json=EVENT, headers=headers).status_code == 403
    assert client.delete("/api/demo/faults", headers=headers).status_code == 403
    assert client.get("/timeline", headers=JSON).json() == before


def test_our_own_page_and_programs_may(client: httpx.Client) -> None:
    assert (
        client.post(
            "/api/timeline", json=EVENT, headers={"Origin": str(client.base_url).rstrip("/")}
        ).status_code
        == 201
    )
    assert client.post("/api/timeline", json=EVENT).status_code == 201


@pytest.mark.parametrize(
    "path", ["/objectives", "/timeline", "/nope", "/api/status", "/static/setpoint.js", "/login"]
)
def test_security_headers_everywhere(client: httpx.Client, path: str) -> None:
    headers = client.get(path, headers=HTML).headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


# A letter has its style in it, as nothing else reaches who reads it.
_PAGES = [path for path in sorted((HERE / "templates").iterdir()) if not path.stem.endswith("_mail")]


@pytest.mark.parametrize("template", _PAGES, ids=lambda path: path.name)
def test_no_inline_script_or_style(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert "| safe" not in text
    assert "http://" not in re.sub(r"http://127\.0\.0\.1:\d+", "", text)


def test_vendored_files_name_their_version_and_licence() -> None:
    vendor = HERE / "static" / "vendor"
    listed = (vendor / "README.md").read_text()
    for path in vendor.iterdir():
        assert path.name == "README.md" or path.name in listed, f"name {path.name} in vendor/README.md"


@pytest.mark.parametrize("method", ["post", "delete"])
def test_large_and_endless_bodies(client: httpx.Client, method: str) -> None:
    def endless() -> Iterator[bytes]:
        yield b"{"

    too_large = client.request(method, "/api/resources", content=bytes(17 << 20))
    assert too_large.status_code == 413
    assert client.request(method, "/api/resources", content=endless()).status_code == 411
