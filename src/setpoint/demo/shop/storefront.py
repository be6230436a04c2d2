"""The storefront: what customers see. It keeps nothing itself and asks the catalog and the checkout.

It degrades where it can: without the checkout, customers still browse, and their cart stays in the browser;
only buying fails. So a broken checkout spends its own budget first and the storefront's more slowly.
"""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request

from setpoint.demo.shop.service import Context, PeerFailed, Refusal, Service, body_of, endpoint, think

__all__ = ["make"]

log = logging.getLogger("shop.storefront")

_CART_TIMEOUT_S = 2.0  # a cart is worth less waiting than an order


def make(context: Context) -> Service:
    """GET /, /product/{id} and /cart; POST /cart and /checkout."""

    async def home(_request: Request) -> dict[str, Any]:
        listed = await context.call("catalog", "GET", "/products")
        await think(4)
        return {"title": "The Setpoint shop", **listed}

    async def product(request: Request) -> dict[str, Any]:
        found = await context.call("catalog", "GET", f"/products/{request.path_params['id']}")
        await think(3)
        return {"title": found["name"], "product": found}

    async def show_cart(request: Request) -> dict[str, Any]:
        customer = _customer(request.query_params.get("customer"))
        try:
            cart = await context.call("checkout", "GET", f"/carts/{customer}", timeout_s=_CART_TIMEOUT_S)
        except PeerFailed as failure:
            log.warning(
                "cart of %s shown from the browser: %s", customer, failure, extra=_told(customer, failure)
            )
            return {
                "cart": None,
                "notice": "We cannot reach your cart; what you put in stays in the browser.",
            }
        return {"cart": cart}

    async def add_to_cart(request: Request) -> dict[str, Any]:
        body = await body_of(request)
        customer, item = _customer(body.get("customer")), {"product": body.get("product")}
        try:
            path = f"/carts/{customer}/items"
            cart = await context.call("checkout", "POST", path, timeout_s=_CART_TIMEOUT_S, **item)
        except PeerFailed as failure:
            log.warning(
                "cart of %s kept in the browser: %s", customer, failure, extra=_told(customer, failure)
            )
            return {"cart": None, "notice": "We keep it in your browser and try again."}
        return {"cart": cart}

    async def buy(request: Request) -> dict[str, Any]:
        customer = _customer((await body_of(request)).get("customer"))
        order = await context.call("checkout", "POST", "/orders", customer=customer)
        await think(4)
        return {"thanks": customer, **order}

    switch = context.switch
    return Service(
        [
            endpoint("/", "GET", switch, home),
            endpoint("/product/{id:int}", "GET", switch, product),
            endpoint("/cart", "GET", switch, show_cart),
            endpoint("/cart", "POST", switch, add_to_cart),
            endpoint("/checkout", "POST", switch, buy),
        ]
    )


def _customer(given: Any) -> str:
    if isinstance(given, str) and given.isalnum() and len(given) <= 32:
        return given
    raise Refusal(400, "name the customer: up to 32 letters and digits")


def _told(customer: str, failure: PeerFailed) -> dict[str, Any]:
    return {"customer.id": customer, "peer.service": failure.peer}
