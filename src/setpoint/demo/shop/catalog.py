"""The catalog: what there is to buy and what it costs. Keeps everything in memory and calls nobody."""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request

from setpoint.demo.shop.goods import PRODUCTS
from setpoint.demo.shop.service import Context, Refusal, Service, endpoint, think

__all__ = ["make"]

log = logging.getLogger("shop.catalog")

_FRONT_PAGE = 8


def make(context: Context) -> Service:
    """GET /products and /products/{id}."""

    async def products(_request: Request) -> dict[str, Any]:
        await think(8)
        return {"products": [product.as_json() for product in list(PRODUCTS.values())[:_FRONT_PAGE]]}

    async def product(request: Request) -> dict[str, Any]:
        await think(5)
        number = request.path_params["id"]
        if number not in PRODUCTS:
            log.warning("product %d is not in the catalog", number, extra={"product.id": number})
            raise Refusal(404, f"there is no product {number}")
        return PRODUCTS[number].as_json()

    return Service(
        [
            endpoint("/products", "GET", context.switch, products),
            endpoint("/products/{id:int}", "GET", context.switch, product),
        ]
    )
