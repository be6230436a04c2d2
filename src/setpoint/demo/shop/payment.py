"""The payment service: charges a card at a bank that is only pretended, and now and then declines one."""

from __future__ import annotations

import logging
import random
from typing import Any
from uuid import uuid4

from opentelemetry import metrics
from starlette.requests import Request

from setpoint.demo.shop.service import Context, Refusal, Service, body_of, endpoint, think

__all__ = ["make"]

log = logging.getLogger("shop.payment")

_DECLINED = 0.01  # a declined card is an answer (402), not a failure of the service


def make(context: Context) -> Service:
    """POST /charges {order, amount_cents}."""
    meter = metrics.get_meter("shop")
    charged = meter.create_counter("shop.payment.charged", unit="EUR", description="Money charged.")

    async def charge(request: Request) -> dict[str, Any]:
        body = await body_of(request)
        order, cents = body.get("order"), body.get("amount_cents")
        if not isinstance(order, str) or not isinstance(cents, int) or cents <= 0:
            raise Refusal(400, "a charge needs an order and a positive amount_cents")
        await think(25)
        told = {"order.id": order, "amount_cents": cents}
        if random.random() < _DECLINED:
            log.warning("card declined for order %s", order, extra=told)
            raise Refusal(402, "the card was declined")
        charged.add(cents / 100)
        log.info("charged %.2f EUR for order %s", cents / 100, order, extra=told)
        return {"charge": str(uuid4()), "amount_cents": cents}

    return Service([endpoint("/charges", "POST", context.switch, charge)])
