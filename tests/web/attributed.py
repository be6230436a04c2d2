"""A day of a shop whose budget somebody spent: the story that docs/howto/who-spent-it.md tells, with its numbers.

`checkout` answers 1,200 requests a minute and calls `payment`. One request a minute is bad on any day. On this one:

- 05:00 to 05:10, 24 more a minute; nobody knows why;
- 07:00 to 07:05, 36 more, while payment failed, nobody knows why;
- 09:00, checkout 1.4.2 is deployed: 120 more a minute, until 1.4.1 is put back at 09:20;
- 10:30 to 10:40, an experiment on payment: 60 more.
"""

from __future__ import annotations

import httpx

from setpoint.app import App
from tests.web.conftest import NOW_MS, apply, requests, send, slo

__all__ = ["BAD", "DAY_MS", "at", "spend", "tell"]

DAY_MS = 86_400_000
_STEP_MS = 5_000
_MINUTES = 1440

BAD = {"usual": 1440, "unknown": 240, "dependency": 180, "deploy": 2400, "experiment": 600}
"""What is bad of the day's requests of checkout, by why."""


def at(clock: str) -> int:
    """An instant of the day, such as 09:20."""
    hour, minute = map(int, clock.split(":"))
    return NOW_MS + ((hour - 12) * 60 + minute) * 60_000


def _day(bad_a_step: dict[tuple[str, str], int], usual: int) -> list[int]:
    """Bad requests of each 5 s of the day that ends now; `usual` of them in the first step of each minute."""
    steps = [usual if step % 12 == 0 else 0 for step in range(_MINUTES * 12)]
    for (start, end), more in bad_a_step.items():
        low, high = ((at(clock) - (NOW_MS - DAY_MS)) // _STEP_MS for clock in (start, end))
        for step in range(low, high):
            steps[step] += more
    return steps


def spend(parts: App, client: httpx.Client) -> None:
    """Send the day's requests, declare two objectives, and count them."""
    of_checkout = {
        ("05:00", "05:10"): 2,
        ("07:00", "07:05"): 3,
        ("09:00", "09:20"): 10,
        ("10:30", "10:40"): 5,
    }
    of_payment = {("07:00", "07:05"): 20, ("10:30", "10:40"): 20}
    send(parts, requests("checkout", NOW_MS, _day(of_checkout, 1)))
    send(parts, requests("payment", NOW_MS, _day(of_payment, 0)))
    service = "apiVersion: openslo/v1\nkind: Service\nmetadata: {{name: {}}}\nspec: {}"
    apply(
        client,
        service.format("checkout", "{dependsOn: [payment]}"),
        service.format("payment", "{}"),
        slo("checkout-availability", "checkout", 0.995),
        slo("payment-availability", "payment", 0.999),
    )
    for _ in range(200):
        parts.objectives.tick()
        if not any(status.backfilling for status in parts.objectives.statuses()):
            return
    raise AssertionError("the history was not counted within 200 ticks")


def tell(client: httpx.Client) -> None:
    """Put what is known of the day on the timeline."""
    for clock, kind, name, summary, data in (
        ("00:10", "deploy", "checkout", "checkout 1.4.1", {"version": "1.4.1"}),
        ("09:00", "deploy", "checkout", "checkout 1.4.2", {"version": "1.4.2"}),
        ("09:20", "deploy", "checkout", "checkout 1.4.1 is back", {"version": "1.4.1"}),
        (
            "10:30",
            "experiment.started",
            "payment",
            "payment loses its card gateway",
            {"experiment": "gateway"},
        ),
        ("10:40", "experiment.ended", "payment", "the card gateway is back", {"experiment": "gateway"}),
    ):
        event = {"kind": kind, "service": name, "summary": summary, "data": data, "at": at(clock)}
        client.post("/api/timeline", json=event).raise_for_status()
