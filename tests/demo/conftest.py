"""A running shop for the tests here: real processes, a real `FaultBoard`, a receiver that keeps all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from setpoint.clock import SystemClock
from setpoint.database import StateDatabase
from setpoint.demo.fault import SERVICES, FaultBoard
from setpoint.demo.runner import ShopRunner
from setpoint.timeline import Timeline
from tests.demo.receiver import Receiver, eventually


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop that runs, without customers."""

    receiver: Receiver
    runner: ShopRunner
    said: list[str]
    client: httpx.Client

    def get(self, service: str, path: str) -> httpx.Response:
        return self.client.get(self.runner.urls[service] + path)

    def post(self, service: str, path: str, **body: object) -> httpx.Response:
        return self.client.post(self.runner.urls[service] + path, json=body)

    def is_serving(self, service: str) -> bool:
        try:
            return self.get(service, "/_health").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def open_shop(
    folder: Path, token: str = "", prepare: Callable[[FaultBoard], object] = lambda _board: None
) -> Iterator[Shop]:
    """Run the shop from this process; `prepare` gets the board before the runner polls it first."""
    database, clock = StateDatabase(f"sqlite:///{folder / 'state.sqlite'}"), SystemClock()
    timeline = Timeline(database, clock)
    board = FaultBoard(timeline, clock)
    prepare(board)
    said: list[str] = []
    receiver, stop = Receiver(timeline, board, token), threading.Event()
    runner = ShopRunner(receiver.url, folder, token, say=said.append, rate=0)
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    client = httpx.Client(timeout=5, trust_env=False)
    shop = Shop(receiver, runner, said, client)
    try:
        eventually(lambda: all(shop.is_serving(name) for name in SERVICES) and board.is_shop_running())
        yield shop
    finally:
        stop.set()
        thread.join()
        client.close()
        receiver.close()
        database.close()


@pytest.fixture(scope="module")
def _open_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def shop(_open_shop: Shop) -> Iterator[Shop]:
    """The module's shop, healed afterwards."""
    yield _open_shop
    if _open_shop.receiver.board.heal():
        eventually(lambda: all(_open_shop.is_serving(name) for name in SERVICES))
