"""One objective of every kind, method and plight, as the book would report it, to test the page of one with."""

from __future__ import annotations

import json
from dataclasses import replace

from setpoint.objective import BurnRate, Objective, ObjectiveStatus
from setpoint.objective.model import (
    AlertPolicy,
    AlertStatus,
    Calendar,
    Condition,
    NoData,
    Part,
    Target,
)
from setpoint.objective.overview import Overview, from_statuses
from tests.web.big_fleet import NOW_MS, BigBook, status_of

__all__ = ["KINDS", "KindsBook"]

_DAY_S = 86_400
_BEGIN_MS = NOW_MS - (8 * 24 + 13) * 3_600_000
_BASE = Objective(
    name="checkout-availability",
    service="checkout",
    target=0.999,
    window_s=30 * _DAY_S,
    good_query='sum(requests_total{service="checkout",code!~"5.."})',
    total_query='sum(requests_total{service="checkout"})',
    display_name="Orders are answered",
    description="Carts and orders are answered without a server error.",
    labels={"team": ("payments",), "tier": ("1",)},
)
_BURN = (
    BurnRate(3600, 300, 14.4, 20.5, 31.0, firing=True, severity="page"),
    BurnRate(21600, 1800, 6.0, 4.1, 20.1, firing=False, severity="page"),
    BurnRate(86400, 7200, 3.0, 1.2, 9.0, firing=False, severity="ticket"),
    BurnRate(259200, 21600, 1.0, None, 4.1, firing=False, severity="ticket"),
    BurnRate(15, 5, 6.0, 30.0, 31.0, firing=True, severity="watch"),
)
_ALERTS = (
    AlertStatus(
        "page-1h",
        "page",
        "firing",
        NOW_MS - 720_000,
        "burning 20.5× in 1h (820 bad of 40,000; fires over 14.4×) and burning 31× in 5m (103 bad of 3,333; fires over "
        "14.4×); at this rate the rest of the budget (31.0 %) is gone in 10 h 53 m",
        {
            "burn_1h": 20.5,
            "threshold_burn_1h": 14.4,
            "bad_1h": 820.0,
            "total_1h": 40_000.0,
            "bad_5m": 103.0,
            "total_5m": 3333.0,
        },
        is_default=True,
    ),
    AlertStatus(
        "page-6h",
        "page",
        "pending",
        NOW_MS - 30_000,
        "burning 4.1× in 6h (fires over 6×)",
        {},
        is_default=True,
    ),
    AlertStatus(
        "ticket-1d", "ticket", "inactive", None, "burning 1.2× in 1d (fires over 3×)", {}, is_default=True
    ),
    AlertStatus(
        "ticket-3d", "ticket", "inactive", None, "no events in 3d (fires over 1×)", {}, is_default=True
    ),
)
_OWN = AlertPolicy(
    "fast-loss",
    "page",
    (Condition("budgetDrop", "gte", 0.1, lookback_s=900),),
    targets=(Target("ops", "webhook", "https://example.test/hook"),),
    display_name="A tenth of the budget in 15 minutes",
    description="Something is very wrong.",
)
_OWN_STATUS = AlertStatus(
    "fast-loss",
    "page",
    "inactive",
    None,
    "0.1 % of the budget went in 15m (fires at least 10 %)",
    {},
    warnings=("it cannot fire: the budget cannot fall by 10 % in 15m at this target",),
)
_LONG = "a-service-with-a-name-that-somebody-generated-from-a-whole-sentence"


def _made(name: str, **changed: object) -> Objective:
    return replace(_BASE, name=name, display_name="", **changed)  # type: ignore[arg-type]


def _burning() -> tuple[Objective, ObjectiveStatus]:
    told = {
        "state": "burning",
        "reason": "burning 31.0×: at this rate the budget is gone in 10 h 53 m",
        "budget_left": 0.31,
        "burn_now": 31.0,
        "exhaustion_s": 39_180.0,
        "burn": _BURN,
        "alerts": _ALERTS,
    }
    return _BASE, status_of(_BASE, **told)


def _huge() -> tuple[Objective, ObjectiveStatus]:
    objective = _made(
        _LONG,
        service=_LONG[:60],
        total_query="sum(" + " or ".join(f'requests_total{{shard="{n}"}}' for n in range(300)) + ")",
        labels={f"label-{n}": (f"value-{n}",) for n in range(40)},
        policies=tuple(replace(_OWN, name=f"policy-{n}") for n in range(30)),
        group={"region": "eu-central-1", "tenant": "a" * 60},
        slo="a-service",
    )
    alerts = tuple(
        replace(_OWN_STATUS, policy=f"policy-{n}", state="firing" if n < 5 else "inactive") for n in range(30)
    )
    figures = {
        "good": 1e15 - 5,
        "total": 1e15,
        "bad": 5.0,
        "allowed_bad": 1e12,
        "burn": _BURN,
        "alerts": alerts,
    }
    return objective, status_of(objective, **figures)


def _all() -> list[tuple[Objective, ObjectiveStatus]]:
    month = Calendar("2026-01-01T00:00:00", "Europe/Berlin", 1, "M")
    spans = {"service": "checkout", "kind": ["server"], "status": ["unset", "ok"], "duration": "<300ms"}
    plain = [
        _made("bad-and-total", good_query=None, bad_query='errors_total{code="5xx"}'),
        _made("gauge", is_counter=False),
        _made("raw-success", kind="raw", good_query=None, total_query="avg(up)"),
        _made("raw-failure", kind="raw", good_query=None, total_query="1 - avg(up)", raw_is_failure=True),
        _made(
            "latency",
            kind="threshold",
            good_query=None,
            total_query="histogram_quantile(0.99, x)",
            op="lte",
            value=0.5,
        ),
        _made("slices", method="Timeslices", slice_s=300, slice_target=0.95),
        _made("ratio-slices", method="RatioTimeslices", slice_s=60),
        _made("sql", engine="sql", total_query="SELECT minute, count() AS value FROM spans GROUP BY minute"),
        _made("spans", engine="spans", good_query=json.dumps(spans), total_query=json.dumps(spans)),
        _made(
            "spans.pay",
            engine="spans",
            good_query=json.dumps(spans),
            total_query=json.dumps(spans),
            group={"operation": "POST /pay", "resource.region": "eu"},
        ),
        _made("from-elsewhere", source="main-prometheus"),
        _made("shop.eu", slo="shop", group={"region": "eu"}),
        _made("shop.us", slo="shop", group={"region": "us"}),
        _made(
            "journey-all",
            kind="composite",
            all_of=True,
            good_query=None,
            total_query="",
            parts=(Part("latency"), Part("slices")),
        ),
        _made("silence-is-bad", no_data=NoData("bad", 600)),
        _made("silence-is-told", no_data=NoData("alert")),
    ]
    composite = _made(
        "journey",
        kind="composite",
        good_query=None,
        total_query="",
        parts=(Part("checkout-availability", 3.0), Part("latency", 1.0), Part("gone-meanwhile", 1.0)),
    )
    calendar = _made("monthly", calendar=month, is_rolling=False, window_s=31 * _DAY_S)
    fast = replace(calendar, name="monthly-and-fast")
    lonely = _made("nobody-is-told", policies=())
    own = _made("own-policies", policies=(_OWN,))
    young = _made("young")
    silent = _made("silent")
    nothing = {
        "state": "no data",
        "reason": "no events for 26 min: the total query returns nothing",
        "last_event_ms": NOW_MS - 1_560_000,
        "sli": None,
        "budget_left": None,
        "burn_now": None,
        "good": 0.0,
        "total": 0.0,
        "bad": 0.0,
        "allowed_bad": 0.0,
    }
    return [
        _burning(),
        _huge(),
        *((objective, status_of(objective)) for objective in plain),
        (composite, status_of(composite, bad=0.4)),
        (calendar, status_of(calendar, window_start_ms=_BEGIN_MS)),
        (
            fast,
            status_of(fast, window_start_ms=_BEGIN_MS, exhaustion_s=0.6 * (NOW_MS - _BEGIN_MS) / 1000 / 3),
        ),
        (lonely, status_of(lonely)),
        (own, status_of(own, alerts=(_OWN_STATUS,), warnings=_OWN_STATUS.warnings)),
        (young, status_of(young, backfilling=True, history_done=0.43, covered_s=9000.0, gap_minutes=12)),
        (
            silent,
            status_of(silent, **nothing),
        ),
    ]


KINDS = {objective.name: (objective, status) for objective, status in _all()}


class KindsBook(BigBook):
    """A book of these objectives."""

    def __init__(self) -> None:
        self._known = dict(sorted(KINDS.items()))
        pairs = list(self._known.values())
        self._overview: Overview = from_statuses(
            [one for one, _ in pairs], [status for _, status in pairs], NOW_MS
        )

    def _status(self, index: int) -> ObjectiveStatus:
        return self._known[self._overview.names[index]][1]
