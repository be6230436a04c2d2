"""Users, tokens and sessions on both databases: known at once here, within a refresh on another server."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Callable

import pytest

from setpoint.access import Directory, Identity
from setpoint.access.accounts import Accounts
from setpoint.access.directory import SESSION_S
from setpoint.access.model import LOCAL, Power, allows
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import Conflict, InvalidInput, NotFound
from setpoint.timeline import Timeline

NOW_MS = 1_799_496_000_000
pytestmark = pytest.mark.timeout(120)
PASSWORD = "three small words"

Open = Callable[..., tuple[Directory, Accounts]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW_MS)


@pytest.fixture
def timeline(state_database: StateDatabase, clock: VirtualClock) -> Timeline:
    return Timeline(state_database, clock)


@pytest.fixture
def server(state_database: StateDatabase, timeline: Timeline, clock: VirtualClock) -> Open:
    """Opens a server's directory; several share the database as replicas do."""

    def open_one(server_token: str = "", *, is_local: bool = True) -> tuple[Directory, Accounts]:
        directory = Directory(state_database, timeline, clock, server_token=server_token, is_local=is_local)
        return directory, Accounts(directory, state_database, clock)

    return open_one


def bearer(secret: str) -> str:
    return f"Bearer {secret}"


def test_a_server_that_knows_nobody_is_open_on_this_machine_only(server: Open) -> None:
    assert server()[0].identify("") == LOCAL
    assert server(is_local=False)[0].identify("") is None
    assert server("s3cret")[0].identify("") is None
    own = server(is_local=False)[0]
    assert own.identify(bearer(own.own_secret)) == own.of_secret(own.own_secret)
    assert own.of_secret(own.own_secret).role == "viewer"  # type: ignore[union-attr]


def test_the_first_user_closes_it_and_is_an_admin(server: Open) -> None:
    directory, accounts = server()
    with pytest.raises(Conflict, match="admin"):
        accounts.add_user("local", "eve", "viewer", PASSWORD)
    with pytest.raises(Conflict, match="admin"):
        accounts.add_token("local", "collector", "sender")
    assert directory.identify("") == LOCAL
    accounts.add_user("local", "ada", "admin", PASSWORD)
    assert directory.identify("") is None
    accounts.add_user("ada", "eve", "viewer", PASSWORD)
    for change in (
        lambda: accounts.remove_user("ada", "ada"),
        lambda: accounts.change_user("ada", "ada", role="editor"),
    ):
        with pytest.raises(Conflict):
            change()
    assert [user.role for user in directory.users] == ["admin", "viewer"]


def test_a_token_that_ends_is_no_last_admin(server: Open) -> None:
    _, accounts = server()
    with pytest.raises(Conflict):
        accounts.add_token("local", "laptop", "admin", NOW_MS + 60_000)
    accounts.add_token("local", "laptop", "admin")


def test_tokens_are_known_by_what_they_are_until_they_end(server: Open, clock: VirtualClock) -> None:
    directory, accounts = server("s3cret")
    token, secret = accounts.add_token("ada", "ci", "editor", NOW_MS + 60_000)
    assert secret.startswith("sp_")
    assert len(secret) > 40
    found = directory.identify(bearer(secret))
    assert found is not None
    assert (found.name, found.role, found.kind) == ("ci", "editor", "token")
    basic = b64encode(f"whoever:{secret}".encode()).decode()
    assert directory.identify(f"Basic {basic}") == found
    for wrong in (secret[:-1], secret + "x", secret.upper(), "", "sp_", "x" * 10_000):
        assert directory.identify(bearer(wrong)) is None
    assert directory.identify("", [secret]) is None, "a token is no cookie"
    assert [one.last_used_ms for one in directory.tokens] == [NOW_MS]
    clock.advance(60)
    assert directory.identify(bearer(secret)) is None
    assert not directory.is_still(found)
    assert token.created_by == "ada"
    with pytest.raises(InvalidInput, match="expired already"):
        accounts.add_token("ada", "late", "viewer", NOW_MS)


def test_when_a_token_was_used_survives_the_server(server: Open, clock: VirtualClock) -> None:
    directory, accounts = server("s3cret")
    _, secret = accounts.add_token("ada", "ci", "editor")
    clock.advance(5)
    directory.identify(bearer(secret))
    directory.tend()
    assert [one.last_used_ms for one in server("s3cret")[0].tokens] == [NOW_MS + 5000]


def test_a_revoked_token_is_nobodys(server: Open) -> None:
    directory, accounts = server("s3cret")
    _, secret = accounts.add_token("ada", "ci", "editor")
    session = directory.begin_session(directory.of_secret(secret))  # type: ignore[arg-type]
    found = directory.identify("", [session])
    assert found is not None
    accounts.revoke_token("ada", "ci")
    assert directory.identify(bearer(secret)) is None
    assert directory.identify("", [session]) is None
    assert not directory.is_still(found)
    with pytest.raises(NotFound, match="token list"):
        accounts.revoke_token("ada", "ci")


def test_passwords_are_kept_as_costly_hashes(server: Open, state_database: StateDatabase) -> None:
    directory, accounts = server("s3cret")
    accounts.add_user("ada", "eve", "viewer", PASSWORD)
    assert accounts.is_password("eve", PASSWORD)
    for name, password in (
        ("eve", PASSWORD + " "),
        ("eve", ""),
        ("nobody", PASSWORD),
        ("", ""),
        ("e\0", "x"),
    ):
        assert not accounts.is_password(name, password)
    _, secret = accounts.add_token("ada", "ci", "viewer")
    cookie = directory.begin_session(Identity("eve", "viewer", "user"))
    tables = ("access_users", "access_tokens", "access_sessions", "events")
    with state_database.read() as transaction:
        stored = "".join(str(transaction.rows(f"SELECT * FROM {table}")) for table in tables)
    assert "scrypt$32768$8$1$" in stored
    for told in (PASSWORD, secret, secret[3:], cookie, "s3cret"):
        assert told not in stored


def _sign_out_everywhere(directory: Directory, _: Accounts) -> None:
    directory.end_sessions(Identity("eve", "viewer", "user"))


@pytest.mark.parametrize(
    "change",
    [
        lambda _, accounts: accounts.remove_user("ada", "eve"),
        lambda _, accounts: accounts.change_user("ada", "eve", password="another long one"),
        lambda _, accounts: accounts.change_user("ada", "eve", role="editor"),
        _sign_out_everywhere,
    ],
    ids=["deleted", "password", "role", "everywhere"],
)
def test_a_change_ends_every_session_here_and_on_other_servers(
    server: Open, change: Callable[[Directory, Accounts], object]
) -> None:
    directory, accounts = server("s3cret")
    accounts.add_user("ada", "eve", "viewer", PASSWORD)
    cookies = [directory.begin_session(Identity("eve", "viewer", "user")) for _ in range(2)]
    other, _ = server("s3cret")
    found = [other.identify("", [cookie]) for cookie in cookies]
    assert all(one is not None and one.name == "eve" for one in found)
    change(directory, accounts)
    assert [directory.identify("", [cookie]) for cookie in cookies] == [None, None]
    other.refresh()
    assert [other.identify("", [cookie]) for cookie in cookies] == [None, None]
    assert not any(other.is_still(one) for one in found if one is not None)


def test_a_change_that_ends_no_session(server: Open) -> None:
    directory, accounts = server("s3cret")
    accounts.add_user("ada", "eve", "viewer", PASSWORD)
    cookie = directory.begin_session(Identity("eve", "viewer", "user"))
    changed = accounts.change_user("ada", "eve", display_name="Eve", email="eve@example.org")
    assert (changed.display_name, changed.email) == ("Eve", "eve@example.org")
    assert directory.identify("", [cookie]) is not None


def test_sessions_end_by_themselves_and_one_by_one(server: Open, clock: VirtualClock) -> None:
    directory, accounts = server("s3cret")
    accounts.add_user("ada", "eve", "viewer", PASSWORD)
    eve = Identity("eve", "viewer", "user")
    first, second = directory.begin_session(eve), directory.begin_session(eve)
    directory.end_session(eve, first)
    assert directory.identify("", [first]) is None
    assert directory.identify("", [second]) is not None
    assert directory.identify("", [second, second]) is not None
    assert directory.identify("", [second, "planted"]) is None, "of two cookies none can be trusted"
    clock.advance(SESSION_S)
    assert directory.identify("", [second]) is None


def test_somebody_has_so_many_sessions_at_most(server: Open, clock: VirtualClock) -> None:
    directory, _ = server("s3cret")
    who = directory.of_secret("s3cret")
    assert who is not None
    cookies = []
    for _ in range(25):
        clock.advance(1)
        cookies.append(directory.begin_session(who))
    living = [directory.identify("", [cookie]) is not None for cookie in cookies]
    assert living == [False] * 5 + [True] * 20


def test_another_server_token_ends_the_sessions_of_the_old_one(server: Open) -> None:
    directory, _ = server("one")
    cookie = directory.begin_session(directory.of_secret("one"))  # type: ignore[arg-type]
    assert directory.identify("", [cookie]) is not None
    assert server("one")[0].identify("", [cookie]) is not None
    assert server("two")[0].identify("", [cookie]) is None


def test_names_are_plain_and_mean_one(server: Open) -> None:
    _, accounts = server("s3cret")
    accounts.add_user("x", "eve", "viewer", PASSWORD)
    with pytest.raises(Conflict, match="already"):
        accounts.add_token("x", "eve", "viewer")
    with pytest.raises(Conflict, match="already"):
        accounts.add_user("x", "eve", "admin", PASSWORD)
    for name in (
        "",
        "Ada",
        "a b",
        "a/b",
        "\N{CYRILLIC SMALL LETTER A}da",
        "a" * 64,
        "-a",
        "setpoint",
        "local",
        "a\n",
    ):
        with pytest.raises(InvalidInput):
            accounts.add_user("x", name, "viewer", PASSWORD)
        with pytest.raises(InvalidInput):
            accounts.add_token("x", name, "viewer")


@pytest.mark.parametrize("password", ["short", "", "aaaaaaaaaaaa", "x" * 257, "evelyn.long"])
def test_weak_passwords(server: Open, password: str) -> None:
    with pytest.raises(InvalidInput, match="password"):
        server("s3cret")[1].add_user("x", "evelyn.long", "viewer", password)


def test_every_change_is_told_with_its_actor(server: Open, timeline: Timeline) -> None:
    directory, accounts = server("s3cret")
    heard: list[str] = []
    timeline.subscribe(lambda event: heard.append(event.kind))
    accounts.add_user("ada", "eve", "viewer", PASSWORD)
    accounts.change_user("ada", "eve", role="editor", password="another long one")
    accounts.add_token("ada", "ci", "sender")
    accounts.revoke_token("ada", "ci")
    directory.begin_session(Identity("eve", "editor", "user"), "192.0.2.1")
    accounts.remove_user("ada", "eve")
    events = timeline.query(limit=10)[::-1]
    assert [event.kind for event in events] == heard
    assert [(event.kind.removeprefix("access."), event.actor) for event in events] == [
        ("user_created", "ada"),
        ("user_changed", "ada"),
        ("token_created", "ada"),
        ("token_revoked", "ada"),
        ("login", "eve"),
        ("user_deleted", "ada"),
    ]
    assert events[1].summary == "eve: now editor, was viewer, another password"


def test_what_is_refused_changes_and_tells_nothing(server: Open, timeline: Timeline) -> None:
    _, accounts = server()
    accounts.add_user("local", "ada", "admin", PASSWORD)
    with pytest.raises(Conflict):
        accounts.change_user("ada", "ada", role="viewer")
    assert [event.kind for event in timeline.query()] == ["access.user_created"]


def test_what_happens_again_is_told_as_a_number(
    server: Open, timeline: Timeline, clock: VirtualClock
) -> None:
    bundles = server()[0].bundles
    for _ in range(30):
        bundles.note(
            "access.login_failed", "eve 192.0.2.1", "a sign-in as eve failed", "eve", {"user": "eve"}
        )
    for number in range(600):
        bundles.note("access.login_failed", f"unknown {number}", "a sign-in failed", "unknown", {})
    told = timeline.query(limit=1000)
    assert len(told) == 501
    bundles.tell_due()
    assert len(timeline.query(limit=1000)) == 501
    clock.advance(600)
    bundles.tell_due()
    summaries = {event.summary for event in timeline.query(limit=2)}
    assert summaries == {"a sign-in as eve failed, 29 more times", "a sign-in failed, 100 more times"}


@pytest.mark.parametrize(
    ("role", "needs"),
    [
        ("sender", {"anyone", "sender"}),
        ("viewer", {"anyone", "viewer"}),
        ("responder", {"anyone", "sender", "viewer", "responder"}),
        ("editor", {"anyone", "sender", "viewer", "responder", "editor"}),
        ("admin", {"anyone", "sender", "viewer", "responder", "editor", "admin"}),
    ],
)
def test_what_a_role_is_enough_for(role: Power, needs: set[str]) -> None:
    every = {"anyone", "sender", "viewer", "responder", "editor", "admin", "nonsense"}
    assert {need for need in every if allows(role, need)} == needs


def test_the_shop_of_the_demo_comes_in_whoever_was_added(
    state_database: StateDatabase, timeline: Timeline, clock: VirtualClock
) -> None:
    directory = Directory(state_database, timeline, clock, shop_secret="made at this start")
    Accounts(directory, state_database, clock).add_user("local", "ada", "admin", PASSWORD)
    found = directory.identify(bearer("made at this start"))
    assert found is not None
    assert (found.name, found.role, found.is_named) == ("shop", "editor", True)
    assert directory.is_still(found)
    assert directory.identify(bearer("made at another")) is None


def test_sessions_that_ended_are_forgotten(
    server: Open, state_database: StateDatabase, clock: VirtualClock
) -> None:
    directory, _ = server("s3cret")
    directory.begin_session(directory.of_secret("s3cret"))  # type: ignore[arg-type]
    directory.tend()
    clock.advance(SESSION_S)
    directory.tend()
    with state_database.read() as transaction:
        assert transaction.rows("SELECT * FROM access_sessions") == []


def test_the_loop_follows_other_servers_and_ends(server: Open) -> None:
    (directory, _), (_, accounts) = server("s3cret"), server("s3cret")
    stop = threading.Event()
    loop = threading.Thread(target=directory.run, args=(stop,))
    loop.start()
    try:
        accounts.add_user("ada", "eve", "viewer", PASSWORD)
        deadline = time.monotonic() + 90
        while directory.user("eve") is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        stop.set()
        loop.join(90)
    assert not loop.is_alive()
