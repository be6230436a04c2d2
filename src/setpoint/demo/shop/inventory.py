"""The inventory: what is in stock, in a real SQL database (a SQLite file), with reservations in transactions.

Queries run in threads, one connection each, so that a slow one holds up its own request and the writers
behind it, as it would anywhere. The statements stand here and not in a `queries.sql`, because reading those
through `setpoint.database` would bring the engines into this small process.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry import metrics
from starlette.requests import Request

from setpoint.demo.shop.goods import PRODUCTS
from setpoint.demo.shop.service import Context, Refusal, Service, body_of, endpoint, think

__all__ = ["Stock", "make"]

log = logging.getLogger("shop.inventory")

_FULL = 500  # pieces of each product after a delivery
_DELIVERY_EVERY_S = 30.0
_KEPT_RESERVATIONS = 10_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (
    product INTEGER PRIMARY KEY, category TEXT NOT NULL, quantity INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS reservation (
    number INTEGER PRIMARY KEY, order_id TEXT NOT NULL, product INTEGER NOT NULL, quantity INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS reservation_order ON reservation (order_id);
"""
_SEED = "INSERT OR IGNORE INTO stock (product, category, quantity) VALUES (?, ?, ?)"
_LEFT = "SELECT quantity FROM stock WHERE product = ?"
_TAKE = "UPDATE stock SET quantity = quantity - ? WHERE product = ? AND quantity >= ?"
_RESERVE = "INSERT INTO reservation (order_id, product, quantity) VALUES (?, ?, ?)"
_GIVE_BACK = """UPDATE stock SET quantity = quantity + (
    SELECT sum(quantity) FROM reservation WHERE order_id = ? AND reservation.product = stock.product)
WHERE product IN (SELECT product FROM reservation WHERE order_id = ?)"""
_RELEASE = "DELETE FROM reservation WHERE order_id = ?"
_FORGET = "DELETE FROM reservation WHERE number <= (SELECT max(number) FROM reservation) - ?"
_LOW = "SELECT count(*) FROM stock WHERE quantity < ?"
_DELIVER = "UPDATE stock SET quantity = ? WHERE quantity < ?"
_LEVELS = "SELECT category, sum(quantity) FROM stock GROUP BY category"
_SLOW = """WITH RECURSIVE movement (number, product) AS (
    SELECT 1, 1 UNION ALL SELECT number + 1, (number * 7) % 48 + 1 FROM movement WHERE number < ?)
SELECT count(*) FROM movement WHERE product = ?"""


class Stock:
    """The database; its methods block, and each thread has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connection()
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(_SCHEMA)
        connection.executemany(_SEED, [(number, made.category, _FULL) for number, made in PRODUCTS.items()])

    def left(self, product: int) -> int:
        """Pieces of `product` in stock."""
        with self._cursor() as cursor:
            row = cursor.execute(_LEFT, (product,)).fetchone()
            return 0 if row is None else int(row[0])

    def walk(self, rows: int, product: int) -> None:
        """The slow query: computes and reads `rows` rows without an index."""
        with self._cursor() as cursor:
            cursor.execute(_SLOW, (rows, product)).fetchall()

    def reserve(self, order: str, items: Iterable[tuple[int, int]]) -> None:
        """Take all `items` (product, quantity) or none; raises Refusal (409) when one is sold out."""
        with self._cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                for product, quantity in items:
                    if cursor.execute(_TAKE, (quantity, product, quantity)).rowcount == 0:
                        raise Refusal(409, f"product {product} is sold out")
                    cursor.execute(_RESERVE, (order, product, quantity))
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise

    def release(self, order: str) -> None:
        """Put the goods of `order` back; a second time does nothing."""
        with self._cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                cursor.execute(_GIVE_BACK, (order, order))
                cursor.execute(_RELEASE, (order,))
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise

    def deliver(self) -> int:
        """Fill up what has fallen below half, forget old reservations; returns how many products came."""
        with self._cursor() as cursor:
            cursor.execute(_FORGET, (_KEPT_RESERVATIONS,))
            (low,) = cursor.execute(_LOW, (_FULL // 2,)).fetchone()
            if low:
                cursor.execute(_DELIVER, (_FULL, _FULL // 2))
            return int(low)

    def levels(self) -> dict[str, int]:
        """Pieces in stock by category."""
        with self._cursor() as cursor:
            return {str(category): int(pieces) for category, pieces in cursor.execute(_LEVELS).fetchall()}

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(self._path, isolation_level=None, timeout=5.0)
            found.execute("PRAGMA synchronous=NORMAL")
            self._local.connection = found
        return found

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        cursor = self._connection().cursor()
        try:
            yield cursor
        finally:
            cursor.close()


def make(context: Context) -> Service:
    """GET /stock/{product}, POST /reservations, DELETE /reservations/{order}."""
    stock = Stock(context.data / "shop.sqlite")
    levels = stock.levels()

    def observe(_options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        return [metrics.Observation(pieces, {"category": name}) for name, pieces in levels.items()]

    metrics.get_meter("shop").create_observable_gauge(
        "shop.stock.level", [observe], unit="{piece}", description="Pieces in stock, by category."
    )

    async def check(product: int) -> None:
        if rows := context.switch.slow_query_rows:
            await asyncio.to_thread(stock.walk, rows, product)

    async def left(request: Request) -> dict[str, Any]:
        product = request.path_params["product"]
        await check(product)
        return {"product": product, "quantity": await asyncio.to_thread(stock.left, product)}

    async def reserve(request: Request) -> dict[str, Any]:
        order, items = _reservation(await body_of(request))
        await check(items[0][0])
        await think(3)
        await asyncio.to_thread(stock.reserve, order, items)
        log.info("reserved %d products for order %s", len(items), order, extra={"order.id": order})
        return {"order": order}

    async def release(request: Request) -> dict[str, Any]:
        order = request.path_params["order"]
        await asyncio.to_thread(stock.release, order)
        log.info("goods of order %s are back in stock", order, extra={"order.id": order})
        return {"order": order}

    async def keep_stocked() -> None:
        while True:
            if came := await asyncio.to_thread(stock.deliver):
                log.info("delivery: %d products filled up to %d pieces", came, _FULL)
            levels.update(await asyncio.to_thread(stock.levels))
            await asyncio.sleep(_DELIVERY_EVERY_S)

    switch = context.switch
    return Service(
        [
            endpoint("/stock/{product:int}", "GET", switch, left),
            endpoint("/reservations", "POST", switch, reserve),
            endpoint("/reservations/{order}", "DELETE", switch, release),
        ],
        background=[keep_stocked],
    )


def _reservation(body: dict[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    try:
        order = str(body["order"])
        items = [(int(item["product"]), int(item["quantity"])) for item in body["items"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(400, "a reservation needs an order and items of product and quantity") from error
    if not items or any(quantity <= 0 for _, quantity in items):
        raise Refusal(400, "a reservation needs at least one item, with a quantity above 0")
    return order, items
