"""A month of a service, for tests of the backtest: minutes put into the ledger of an objective of a real server."""

from __future__ import annotations

import httpx
import numpy as np

from setpoint.app import App
from setpoint.objective.ledger.ledger import Slots
from tests.web.conftest import NOW_MS, apply, services, slo

__all__ = ["FAST", "SLOW", "a_month"]

FAST = """apiVersion: openslo/v1
kind: AlertPolicy
metadata:
  name: fast
spec:
  conditions:
    - kind: AlertCondition
      metadata: {name: burning}
      spec:
        severity: page
        condition: {kind: burnrate, op: gt, threshold: 8, lookbackWindow: 10m}
"""
SLOW = FAST.replace("fast", "slow").replace("10m", "6h").replace("threshold: 8", "threshold: 20")

_MINUTES = 30 * 1440
_A_MINUTE = 300
_INCIDENTS = ((3.2, 12, 0.9), (9.5, 240, 0.012), (15.1, 4, 0.5), (21.7, 95, 0.06), (27.3, 30, 0.25))
"""(day, minutes, part that fails)"""


def a_month(parts: App, client: httpx.Client, *more: str, spec: str = "") -> None:
    """The objective `checkout-availability` with 30 days of history and five incidents."""
    apply(client, services("checkout"), slo("checkout-availability", "checkout") + spec, *more)
    chance = np.random.default_rng(5)
    day = np.arange(_MINUTES) / 1440
    total = np.round(_A_MINUTE * (1 + 0.4 * np.sin(2 * np.pi * day))).astype(np.int64)
    share = np.full(_MINUTES, 0.0002)
    for begin, minutes, part in _INCIDENTS:
        first = round(begin * 1440)
        share[first : first + minutes] = part
    bad = chance.binomial(total, share)
    present = np.ones(_MINUTES, np.bool_)
    present[20_000:20_040] = False
    first = NOW_MS // 60_000 - _MINUTES
    good = (total - bad).astype(np.float64)
    parts.objectives.put(
        "checkout-availability", Slots(first, good * present, (total * present).astype(np.float64), present)
    )
