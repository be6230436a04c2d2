"""The checkout: carts, and orders that reserve the goods and charge the card, or give the goods back."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any
from uuid import uuid4

from opentelemetry import metrics
from starlette.requests import Request

from setpoint.demo.shop.goods import PRODUCTS
from setpoint.demo.shop.service import Context, PeerFailed, Refusal, Service, body_of, endpoint, think

__all__ = ["make"]

log = logging.getLogger("shop.checkout")

_CARTS_MAX = 10_000  # the oldest cart goes when there are more
_ITEMS_MAX = 20
_QUANTITY_MAX = 10

Cart = dict[int, int]  # product id -> quantity


class Carts:
    """The carts in memory; a restart of the service forgets them, as a cheap shop would."""

    def __init__(self) -> None:
        self._carts: OrderedDict[str, Cart] = OrderedDict()

    def get(self, customer: str) -> Cart:
        return self._carts.get(customer, {})

    def add(self, customer: str, product: int, quantity: int) -> Cart:
        cart = self._carts.setdefault(customer, {})
        if product not in cart and len(cart) >= _ITEMS_MAX:
            raise Refusal(409, "the cart is full")
        cart[product] = min(cart.get(product, 0) + quantity, _QUANTITY_MAX)
        self._carts.move_to_end(customer)
        while len(self._carts) > _CARTS_MAX:
            self._carts.popitem(last=False)
        return cart

    def empty(self, customer: str) -> None:
        self._carts.pop(customer, None)


def make(context: Context) -> Service:
    """GET /carts/{customer}, POST /carts/{customer}/items, POST /orders."""
    carts = Carts()
    placed = metrics.get_meter("shop").create_counter(
        "shop.orders.placed", unit="{order}", description="Orders that were paid."
    )

    async def show(request: Request) -> dict[str, Any]:
        await think(3)
        return _as_json(carts.get(request.path_params["customer"]))

    async def add(request: Request) -> dict[str, Any]:
        body = await body_of(request)
        product, quantity = body.get("product"), body.get("quantity", 1)
        if product not in PRODUCTS or not isinstance(quantity, int) or not 0 < quantity <= _QUANTITY_MAX:
            raise Refusal(
                400, f"an item needs a product of the catalog and a quantity of 1 to {_QUANTITY_MAX}"
            )
        await think(4)
        return _as_json(carts.add(request.path_params["customer"], product, quantity))

    async def order(request: Request) -> dict[str, Any]:
        customer = str((await body_of(request)).get("customer", ""))
        cart = carts.get(customer)
        if not cart:
            raise Refusal(409, "the cart is empty")
        number = f"o-{uuid4().hex[:12]}"
        total = _total_cents(cart)
        await think(6)
        await _fulfil(context, number, cart, total)
        carts.empty(customer)
        placed.add(1)
        told = {
            "order.id": number,
            "customer.id": customer,
            "amount_cents": total,
            "items": sum(cart.values()),
        }
        log.info("order %s placed: %d items, %.2f EUR", number, told["items"], total / 100, extra=told)
        return {"order": number, "amount_cents": total}

    switch = context.switch
    return Service(
        [
            endpoint("/carts/{customer}", "GET", switch, show),
            endpoint("/carts/{customer}/items", "POST", switch, add),
            endpoint("/orders", "POST", switch, order),
        ]
    )


async def _fulfil(context: Context, number: str, cart: Cart, total: int) -> None:
    items = [{"product": product, "quantity": quantity} for product, quantity in cart.items()]
    await context.call("inventory", "POST", "/reservations", order=number, items=items)
    try:
        await context.call("payment", "POST", "/charges", order=number, amount_cents=total)
    except (PeerFailed, Refusal) as reason:
        log.warning("order %s gives its goods back: %s", number, reason, extra={"order.id": number})
        await context.call("inventory", "DELETE", f"/reservations/{number}")
        raise


def _total_cents(cart: Cart) -> int:
    return sum(PRODUCTS[product].price_cents * quantity for product, quantity in cart.items())


def _as_json(cart: Cart) -> dict[str, Any]:
    items = [{"product": product, "quantity": quantity} for product, quantity in cart.items()]
    return {"items": items, "amount_cents": _total_cents(cart)}
