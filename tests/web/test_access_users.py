"""Signing in with a name and a password, users and tokens over HTTP and in the pages, and what attackers try."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from setpoint.access import ROLES
from setpoint.access.directory import SESSION_S
from setpoint.app import App
from setpoint.clock import VirtualClock
from tests.web.conftest import HTML, JSON, MakeApp, Running

pytestmark = pytest.mark.timeout(240)

PASSWORD = "three small words"
ADMIN = {"Authorization": "Bearer s3cret-token"}
WITHIN_S = 60


@pytest.fixture
def known(guarded: App) -> App:
    """A server with a user of each role; each has the same password."""
    for name, role in zip(("vera", "rosa", "edda", "ada"), ROLES, strict=True):
        guarded.accounts.add_user("test", name, role, PASSWORD)
    return guarded


@pytest.fixture
def address(known: App, serve: Callable[..., Running]) -> str:
    return serve(known).url


@pytest.fixture
def visit(address: str) -> Iterator[Callable[[], httpx.Client]]:
    """A new browser, or program, each time."""
    opened: list[httpx.Client] = []

    def client() -> httpx.Client:
        opened.append(httpx.Client(base_url=address, timeout=WITHIN_S))
        return opened[-1]

    yield client
    for one in opened:
        one.close()


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    return client.post("/login", data={"name": name, "password": password, "next": "/timeline"} | more)


def test_a_user_signs_in_and_is_named(known: App, visit: Callable[[], httpx.Client]) -> None:
    browser = visit()
    done = sign_in(browser, "Edda")
    assert (done.status_code, done.headers["location"]) == (303, "/timeline")
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie  # this is http; see below
    assert PASSWORD not in cookie
    page = browser.get("/timeline", headers=HTML).text
    assert 'title="signed in as edda, editor">edda</a>' in page
    told = browser.post(
        "/api/timeline", json={"kind": "deploy", "summary": "x"}, headers={"X-Setpoint-Actor": "ada"}
    )
    assert told.json()["actor"] == "edda", "who is known cannot say to be somebody else"
    assert browser.get("/account", headers=JSON).json()["role"] == "editor"
    assert browser.get("/users", headers=JSON).status_code == 403
    assert browser.post("/logout").status_code == 303
    assert browser.get("/timeline", headers=HTML).status_code == 303


def test_behind_https_the_cookie_stays_there(visit: Callable[[], httpx.Client]) -> None:
    done = visit().post(
        "/login", data={"name": "vera", "password": PASSWORD}, headers={"X-Forwarded-Proto": "https"}
    )
    assert "Secure" in done.headers["set-cookie"]


def test_a_proxy_on_this_machine_brings_its_own_name(visit: Callable[[], httpx.Client]) -> None:
    client = visit()
    proxied = {
        "Host": "setpoint.example.org",
        "Origin": "https://setpoint.example.org",
        "X-Forwarded-Proto": "https",
    }
    done = client.post("/login", data={"name": "vera", "password": PASSWORD}, headers=proxied)
    cookie = done.headers["set-cookie"].partition(";")[0]
    assert client.get("/account", headers=JSON | proxied | {"Cookie": cookie}).json()["name"] == "vera"
    assert client.get("/account", headers=JSON | proxied).status_code == 401
    rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert (
        client.post("/api/timeline", json={"kind": "x", "summary": "x"}, headers=rebound).status_code == 401
    )


def test_the_actor_of_programs(known: App, visit: Callable[[], httpx.Client]) -> None:
    _, secret = known.accounts.add_token("test", "ci", "editor")
    body = {"kind": "deploy", "summary": "x"}
    for headers, actor in (
        ({"Authorization": f"Bearer {secret}", "X-Setpoint-Actor": "ada"}, "ci"),
        (ADMIN, "token"),
        (ADMIN | {"X-Setpoint-Actor": "grace"}, "grace"),
        (ADMIN | {"X-Setpoint-Actor": "ada"}, "token"),
        (ADMIN | {"X-Setpoint-Actor": "Ada"}, "token"),
        (ADMIN | {"X-Setpoint-Actor": "setpoint"}, "token"),
        (ADMIN | {"X-Setpoint-Actor": "x" * 101}, "token"),
    ):
        assert visit().post("/api/timeline", json=body, headers=headers).json()["actor"] == actor


@pytest.mark.parametrize("name", ["vera", "nobody", "", "vera\0", "a" * 199])
def test_wrong_passwords_are_all_answered_alike(
    known: App, visit: Callable[[], httpx.Client], name: str
) -> None:
    done = visit().post("/login", json={"name": name or "x", "password": "hunter2hunter2"})
    if "\0" in name:
        assert done.status_code == 400
        return
    assert done.status_code == 401
    assert done.json()["error"]["message"] == "That name and password do not go together."
    assert "set-cookie" not in done.headers
    told = known.timeline.query(kinds=["access.login_failed"])
    assert [event.data["user"] for event in told] == [name if name == "vera" else "unknown"]
    assert "hunter2" not in str(told)


def test_an_unknown_user_takes_as_long_as_a_known_one(known: App) -> None:
    def took_s(name: str) -> float:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            known.accounts.is_password(name, "wrong password")
            times.append(time.perf_counter() - began)
        return min(times)

    assert 0.1 < took_s("nobody") / took_s("vera") < 10, (
        "without its own hash it would be thousands of times faster"
    )


def test_guessing_is_slowed_down_and_told_once(
    known: App, visit: Callable[[], httpx.Client], serve: Callable[..., Running]
) -> None:
    client = visit()
    for _ in range(5):
        assert sign_in(client, "vera", "a wrong password").status_code == 401
    refused = client.post("/login", json={"name": "vera", "password": PASSWORD})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    page = sign_in(client, "vera")
    assert page.status_code == 429
    assert "try again in" in page.text
    assert len(known.timeline.query(kinds=["access.login_failed"])) == 1
    assert isinstance(known.clock, VirtualClock)
    known.clock.advance(31)
    assert sign_in(client, "vera").status_code == 303


def test_tokens_are_guessed_as_slowly(visit: Callable[[], httpx.Client]) -> None:
    client = visit()
    statuses = [client.post("/login", json={"token": f"sp_{n}"}).status_code for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2


def test_a_sender_cannot_sign_in(known: App, visit: Callable[[], httpx.Client]) -> None:
    _, secret = known.accounts.add_token("test", "collector", "sender")
    assert visit().post("/login", json={"token": secret}).status_code == 401
    metrics = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
    assert visit().post("/v1/metrics", content="{}", headers=metrics).status_code == 200
    refused = visit().get("/objectives", headers=JSON | metrics)
    assert refused.status_code == 403
    assert "collector" in refused.json()["error"]["message"]


def test_a_refusal_says_what_is_missing_and_who_gives_it(
    known: App, visit: Callable[[], httpx.Client]
) -> None:
    client = visit()
    sign_in(client, "vera")
    for _ in range(3):
        refused = client.post("/api/resources", json={"files": []})
    assert refused.status_code == 403
    message = refused.json()["error"]["message"]
    assert message.startswith("This needs the role editor; vera has viewer. An admin (ada) can change that")
    told = known.timeline.query(kinds=["access.refused"])
    assert [(event.actor, event.data["path"]) for event in told] == [("vera", "/api/resources")]
    page = client.get("/users", headers=HTML)
    assert page.status_code == 403
    assert "This needs the role admin" in page.text


def raw(address: str, *lines: str) -> bytes:
    """The status line that answers a request of just these lines."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=WITHIN_S) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(12)


def test_a_body_is_not_read_before_it_is_known_who_sends_it(address: str) -> None:
    head = ("POST /api/resources HTTP/1.1", "Host: localhost", "Content-Length: 1000000")
    assert raw(address, *head) == b"HTTP/1.1 401"


# ---- sessions ----------------------------------------------------------------------------------------------------


def test_a_planted_session_is_not_taken_over(known: App, visit: Callable[[], httpx.Client]) -> None:
    """Fixation: signing in gives another session than the one that was there before."""
    attacker, victim = visit(), visit()
    sign_in(attacker, "vera")
    planted = attacker.cookies["setpoint_session"]
    victim.cookies.set("setpoint_session", planted)
    done = sign_in(victim, "ada")
    assert planted not in done.headers["set-cookie"]
    attacker_sees = attacker.get("/account", headers=JSON).json()
    assert attacker_sees["name"] == "vera"


def test_of_several_cookies_none_counts(known: App, visit: Callable[[], httpx.Client]) -> None:
    client = visit()
    sign_in(client, "ada")
    mine = client.cookies["setpoint_session"]
    client.cookies.clear()
    for header in (
        f"setpoint_session=planted; setpoint_session={mine}",
        f"setpoint_session={mine}; setpoint_session=planted",
    ):
        assert client.get("/account", headers=JSON | {"Cookie": header}).status_code == 401
    one = f"other=1; setpoint_session={mine}; x_setpoint_session=2"
    assert client.get("/account", headers=JSON | {"Cookie": one}).status_code == 200


def test_two_headers_that_decide_are_refused(address: str, visit: Callable[[], httpx.Client]) -> None:
    known = ("GET /account HTTP/1.1", "Host: localhost", "Authorization: Bearer s3cret-token")
    assert raw(address, *known, "Accept: application/json") == b"HTTP/1.1 200"
    for more in ("Authorization: Bearer x", "Host: localhost", "Host: evil.example"):
        assert raw(address, *known, more) == b"HTTP/1.1 400"
    client = visit()
    for name in (
        "X-Forwarded-User",
        "X-Remote-User",
        "Remote-User",
        "X-Setpoint-Identity",
        "X-Authorization",
    ):
        assert client.get("/objectives", headers=JSON | {name: "ada"}).status_code == 401
    assert (
        client.get("/objectives", headers=JSON | {"Authorization": "Bearer " + "a" * 30_000}).status_code
        == 401
    )
    assert (
        client.get("/objectives", headers=JSON | {"Authorization": "Basic " + "Og" * 9000}).status_code == 401
    )


def test_paths_do_not_slip_past_the_guard(visit: Callable[[], httpx.Client]) -> None:
    client = visit()
    for path in (
        *("/static/../users", "/static/%2e%2e/users", "//users", "/users/", "/login/../users", "/users;x"),
        *("/USERS", "/-/healthy/../../users", "/static/..%2fusers", "/users%00", "/users?x=/login"),
    ):
        answer = client.get(path, headers=JSON)
        assert answer.status_code in (307, 400, 401, 404), path
        assert "vera" not in answer.text, path


@pytest.mark.parametrize(
    "end",
    [
        lambda client: client.delete("/users/vera", headers=ADMIN),
        lambda client: client.post("/users/vera", json={"role": "editor"}, headers=ADMIN),
        lambda client: client.post("/users/vera", json={"password": "another long one"}, headers=ADMIN),
    ],
    ids=["deleted", "role", "password"],
)
def test_a_live_session_and_its_stream_end(
    known: App,
    visit: Callable[[], httpx.Client],
    end: Callable[[httpx.Client], httpx.Response],
) -> None:
    browser = visit()
    sign_in(browser, "vera")
    began = time.monotonic()
    with browser.stream("GET", "/events", timeout=WITHIN_S) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        assert end(visit()).status_code == 200
        for _ in lines:  # the end of the stream ends this
            assert time.monotonic() - began < WITHIN_S
    assert browser.get("/objectives", headers=JSON).status_code == 401


def test_signing_out_everywhere(visit: Callable[[], httpx.Client]) -> None:
    one, other = visit(), visit()
    sign_in(one, "vera")
    sign_in(other, "vera")
    one.post("/logout", data={"everywhere": "yes"})
    assert other.get("/objectives", headers=JSON).status_code == 401


def test_a_session_ends_after_a_week(known: App, visit: Callable[[], httpx.Client]) -> None:
    client = visit()
    sign_in(client, "vera")
    cookie = client.cookies["setpoint_session"]
    assert isinstance(known.clock, VirtualClock)
    known.clock.advance(SESSION_S - 1)
    headers = JSON | {"Cookie": f"setpoint_session={cookie}"}
    assert client.get("/objectives", headers=headers).status_code == 200
    known.clock.advance(1)
    assert client.get("/objectives", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example"]
)
def test_signing_in_leads_nowhere_else(visit: Callable[[], httpx.Client], target: str) -> None:
    assert sign_in(visit(), "vera", next=target).headers["location"] == "/"


def test_another_site_signs_nobody_in(visit: Callable[[], httpx.Client]) -> None:
    client = visit()
    done = client.post(
        "/login", data={"name": "vera", "password": PASSWORD}, headers={"Origin": "https://evil.example"}
    )
    assert done.status_code == 403
    assert "set-cookie" not in done.headers


# ---- users and tokens ----------------------------------------------------------------------------------------------


def test_users_over_http(known: App, visit: Callable[[], httpx.Client]) -> None:
    admin = visit()
    admin.headers.update(JSON | ADMIN)
    made = admin.post(
        "/users", json={"name": "grace", "password": PASSWORD, "role": "editor", "email": "g@example.org"}
    )
    assert made.status_code == 201
    assert made.json()["role"] == "editor"
    assert admin.post("/users", json={"name": "grace", "password": PASSWORD}).status_code == 409
    for wrong in (
        {"name": "x", "password": PASSWORD, "role": "root"},
        {"name": "x", "password": PASSWORD, "rle": "admin"},
        {"name": "x", "password": 5},
        {"name": "x"},
        {},
    ):
        assert admin.post("/users", json=wrong).status_code == 400, wrong
    assert admin.post("/users/grace", json={"role": "admin"}).json()["role"] == "admin"
    assert admin.post("/users/nobody", json={"role": "admin"}).status_code == 404
    listed = admin.get("/users")
    assert {item["name"] for item in listed.json()["items"]} == {"vera", "rosa", "edda", "ada", "grace"}
    assert "scrypt" not in listed.text
    assert admin.delete("/users/grace").status_code == 200
    assert admin.delete("/users/grace").status_code == 404


def test_one_changes_ones_own_password(visit: Callable[[], httpx.Client]) -> None:
    vera = visit()
    sign_in(vera, "vera")
    wrong = vera.post("/account/password", json={"old": "wrong", "new": "another long one"})
    assert wrong.status_code == 403
    assert vera.post("/account/password", json={"old": PASSWORD, "new": "short"}).status_code == 400
    assert (
        vera.post("/account/password", json={"old": PASSWORD, "new": "another long one"}).status_code == 200
    )
    assert vera.get("/objectives", headers=JSON).status_code == 401
    assert sign_in(visit(), "vera").status_code == 401
    assert sign_in(visit(), "vera", "another long one").status_code == 303
    assert visit().post("/account/password", json={"old": "x", "new": "y"}, headers=ADMIN).status_code == 400


def test_tokens_over_http(known: App, visit: Callable[[], httpx.Client]) -> None:
    admin = visit()
    admin.headers.update(JSON | ADMIN)
    made = admin.post("/tokens", json={"name": "ci", "role": "editor", "expires": "90d"})
    assert made.status_code == 201
    secret = made.json()["token"]
    assert made.json()["expires_ms"] == known.clock.now_ms() + 90 * 86_400_000
    assert visit().get("/objectives", headers=JSON | {"Authorization": f"Bearer {secret}"}).status_code == 200
    listed = admin.get("/tokens")
    assert secret not in listed.text
    assert listed.json()["items"][0]["last_used_ms"] == known.clock.now_ms()
    assert isinstance(known.clock, VirtualClock)
    known.clock.advance(90 * 86400)
    assert visit().get("/objectives", headers=JSON | {"Authorization": f"Bearer {secret}"}).status_code == 401
    assert admin.delete("/tokens/ci").status_code == 200
    for wrong in (
        {"name": "x", "role": "root"},
        {"name": "x", "expires": "soon"},
        {"name": "x", "expires": "0s"},
    ):
        assert admin.post("/tokens", json=wrong).status_code == 400


def test_the_pages_do_what_the_api_does(known: App, visit: Callable[[], httpx.Client]) -> None:
    browser = visit()
    browser.headers.update(HTML | {"Origin": str(browser.base_url).rstrip("/")})
    sign_in(browser, "ada")
    assert (
        browser.post("/users", data={"name": "grace", "password": PASSWORD, "role": "viewer"}).status_code
        == 303
    )
    assert "grace" in browser.get("/users").text
    assert browser.post("/users/grace", data={"role": "editor", "password": ""}).status_code == 303
    made = browser.post("/tokens", data={"name": "ci", "role": "sender", "expires": ""})
    shown = re.search(r"sp_[\w-]{43}", made.text)
    assert shown
    assert shown[0] not in browser.get("/tokens").text
    assert browser.post("/tokens/ci/revoke").status_code == 303
    assert browser.post("/users/grace/delete").status_code == 303
    page = browser.get("/audit").text
    for told in ("grace may sign in as viewer", "token ci was revoked", "ada signed in"):
        assert told in page
    refused = browser.post("/users", data={"name": "Bad Name", "password": PASSWORD})
    assert refused.status_code == 400
    assert "cannot be a name" in refused.text


def test_the_audit_holds_changes_with_their_actor_and_no_more(
    known: App, visit: Callable[[], httpx.Client]
) -> None:
    known.timeline.append("objective.state", "found out by itself")
    client = visit()
    sign_in(client, "edda")
    client.post("/api/timeline", json={"kind": "deploy", "summary": "checkout 7"})
    told = client.get("/audit?limit=2", headers=JSON).json()
    assert [(item["actor"], item["kind"]) for item in told["items"]] == [
        ("edda", "deploy"),
        ("edda", "access.login"),
    ]
    assert client.get(told["next"], headers=JSON).json()["items"][0]["actor"] == "test"
    chosen = client.get("/audit?actor=edda&kind=deploy", headers=JSON).json()
    assert [item["summary"] for item in chosen["items"]] == ["checkout 7"]
    assert "found out by itself" not in client.get("/audit", headers=HTML).text


def test_nobody_needs_to_sign_in_until_there_is_a_user(client: httpx.Client, parts: App) -> None:
    assert client.get("/account", headers=JSON).json() == {
        "name": "local", "role": "admin", "kind": "local", "is_open": True,
    }  # fmt: skip
    assert client.get("/login", headers=HTML).status_code == 303
    assert "The first user" in client.get("/users", headers=HTML).text
    refused = client.post("/users", json={"name": "vera", "password": PASSWORD, "role": "viewer"})
    assert refused.status_code == 409
    assert (
        client.post("/users", json={"name": "ada", "password": PASSWORD, "role": "admin"}).status_code == 201
    )
    assert client.get("/account", headers=JSON).status_code == 401
    assert "Password" in client.get("/login", headers=HTML).text


def test_an_outside_address_is_never_open(make_app: MakeApp) -> None:
    outside = make_app(listen="0.0.0.0:7070")
    assert outside.directory.identify("") is None
    assert not outside.directory.knows_anybody
