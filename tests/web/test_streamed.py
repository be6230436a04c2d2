"""A streamed answer that nobody takes is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from setpoint.web.streamed import Streamed


def test_a_reader_that_takes_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Streamed, "patience_s", 0.05)
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            made.append(number)
            yield b"x"

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def answer() -> None:
        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        response = Streamed(pieces(), {})
        with pytest.raises((TimeoutError, BaseExceptionGroup)):
            await asyncio.wait_for(response(scope, receive, send), 20)
        assert len(made) == 1
        assert next(response._pieces, None) is None

    asyncio.run(answer())
