"""Two servers on one database: what was changed on one holds on the other, and guessing costs no reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from setpoint.access import Directory, Identity
from setpoint.access.accounts import Accounts
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import Forbidden, NotEnough
from setpoint.settings import Address
from setpoint.timeline import Timeline
from setpoint.web.access import Access
from setpoint.web.doors import grpc_guard

pytestmark = pytest.mark.timeout(120)

Replica = tuple[Directory, Accounts, Access]


async def _tell_who(scope: Scope, receive: Receive, send: Send) -> None:
    identity: Identity | None = scope["state"]["identity"]
    await send({"type": "http.response.start", "status": 200 if identity else 401, "headers": []})
    await send({"type": "http.response.body", "body": (identity.name if identity else "").encode()})


@pytest.fixture
def replica(state_database: StateDatabase) -> Callable[[], Replica]:
    clock = VirtualClock(1_799_496_000_000)
    timeline = Timeline(state_database, clock)

    def open_one() -> Replica:
        directory = Directory(state_database, timeline, clock, server_token="s3cret")
        access = Access(_tell_who, directory, Address("127.0.0.1:7070"))
        return directory, Accounts(directory, state_database, clock), access

    return open_one


async def _statuses(access: Access, headers: dict[str, str], times: int = 1) -> list[int]:
    transport = httpx.ASGITransport(access)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answers = await asyncio.gather(*(client.get("/objectives", headers=headers) for _ in range(times)))
    return [answer.status_code for answer in answers]


def test_who_came_in_on_one_server_is_known_on_the_other(replica: Callable[[], Replica]) -> None:
    (one, accounts, _), (other, _, access) = replica(), replica()
    if not other.may_be_behind:
        return  # one server has an SQLite database
    _, secret = accounts.add_token("ada", "ci", "viewer")
    token = {"Authorization": f"Bearer {secret}"}
    assert asyncio.run(_statuses(access, token)) == [200]
    cookie = one.begin_session(Identity("token", "admin", "server_token"))
    assert asyncio.run(_statuses(access, {"Cookie": f"setpoint_session={cookie}"})) == [200]
    accounts.revoke_token("ada", "ci")
    other.refresh()  # `run` does so every other second
    assert asyncio.run(_statuses(access, token)) == [401]


def test_guesses_that_come_together_ask_the_database_once(
    replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, _, access = replica()
    asked: list[Directory] = []
    ask = Directory._ask

    def count(one: Directory) -> None:
        asked.append(one)
        ask(one)

    monkeypatch.setattr(Directory, "_ask", count)
    assert asyncio.run(_statuses(access, {"Authorization": "Bearer guess"}, 50)) == [401] * 50
    assert len(asked) == (1 if directory.may_be_behind else 0)
    asyncio.run(_statuses(access, {"Authorization": "Bearer s3cret"}, 50))
    assert len(asked) <= 1, "who is known costs no read"


def test_grpc_asks_the_same(replica: Callable[[], Replica]) -> None:
    (directory, accounts, _), (other, _, _) = replica(), replica()
    here = grpc_guard(directory)
    _, sender = accounts.add_token("ada", "collector", "sender")
    _, viewer = accounts.add_token("ada", "dashboard", "viewer")
    for secret in (sender, "s3cret"):
        here(f"Bearer {secret}")
    with pytest.raises(NotEnough, match="dashboard"):
        here(f"Bearer {viewer}")
    for wrong in ("", "Bearer x", sender, f"bearer{sender}"):
        with pytest.raises(Forbidden):
            here(wrong)
    if other.may_be_behind:
        grpc_guard(other)(f"Bearer {sender}")
