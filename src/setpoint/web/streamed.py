"""Answers that are made while they are sent, and let go of what they are made from as soon as nobody takes them.

The query API and remote read use it. A response whose reader went away ends with an exception, whose traceback keeps
it until the garbage collector finds the cycle; a server that has much in memory looks for it seldom, and what the
answer stands for would count as held until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

__all__ = ["Streamed"]

_PATIENCE_S = 30.0
"""How long a reader may take no piece at all; then the answer breaks off, for it holds memory that others wait for."""


class _Pieces:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces: Iterator[bytes] = pieces

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def let_go(self) -> None:
        self._pieces = iter(())


class Streamed(StreamingResponse):
    """`pieces` as the body; they are gone when the last one was sent or the reader has left, or takes none any more."""

    patience_s = _PATIENCE_S

    def __init__(
        self, pieces: Iterator[bytes], headers: Mapping[str, str], media_type: str | None = None
    ) -> None:
        self._pieces = _Pieces(pieces)
        super().__init__(self._pieces, headers=headers, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self.patience_s):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            self._pieces.let_go()
