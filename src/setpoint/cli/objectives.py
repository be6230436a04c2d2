"""How objectives look in a terminal: the table of `status` and `slo list`, groups, and one with its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.cli.output import ago, budget, duration, facts, figure, percent, state, table

__all__ = [
    "alert_state",
    "show_alerts",
    "show_groups",
    "show_objective",
    "show_objectives",
    "show_rest",
    "target",
]

Status = Mapping[str, Any]
_STATES = ("exhausted", "burning", "no data", "healthy")


def show_objectives(
    console: Console, statuses: Sequence[Status], total: int | None = None, filter_: str = ""
) -> None:
    """The table, in the server's order; fits 80 columns. `total` is how many objectives there are at all."""
    if not statuses:
        if total:
            console.print(f"None of {total:,} objectives matches: {filter_}")
        else:
            console.print("No objective is declared yet; declare one with: setpoint apply -f FILE")
        return
    rows = [
        (
            state(status["state"]),
            status["name"],
            target(status["target"]),
            budget(status.get("budget_left"), status["state"]),
            figure(status.get("burn_now"), "×"),
            _gone_in(status),
        )
        for status in statuses
    ]
    console.print(table(("STATE", "OBJECTIVE*", ">TARGET", "BUDGET LEFT", ">BURN", ">GONE IN"), rows))


def show_groups(console: Console, groups: Sequence[Mapping[str, Any]], by: str) -> None:
    """One line for each group: how many are in each state, and the least budget."""
    if not groups:
        console.print("No objective matches.")
        return
    rows = [
        (
            group["value"] or f"(no {by})",
            f"{group['objectives']:,}",
            *(_count(name, group["counts"].get(name, 0)) for name in _STATES),
            percent(group.get("budget_left")),
            group["first"],
        )
        for group in groups
    ]
    heads = (">EXHAUSTED", ">BURNING", ">NO DATA", ">HEALTHY")
    console.print(table((f"{by.upper()}*", ">ALL", *heads, ">LEAST BUDGET", "FIRST*"), rows))


def _count(name: str, number: int) -> Text:
    return Text("–", style="bright_black") if not number else Text(f"{number:,}", style=state(name).style)


def show_rest(console: Console, answer: Mapping[str, Any], hint: str) -> None:
    """One line for what is not shown, and how to see it."""
    groups, items = answer.get("groups"), answer.get("items") or []
    shown = f"{len(groups):,} groups" if groups else f"{len(items):,} of {answer['matching']:,} objectives"
    console.print(f"\nThe first {shown}; {hint}.", style="bright_black")


def target(ratio: float) -> str:
    """A target as it was written."""
    return f"{ratio * 100:.6g} %"


def _gone_in(status: Status) -> str:
    if status["state"] == "exhausted":
        return "gone"
    seconds = status.get("exhaustion_s")
    if status["state"] != "burning" or seconds is None:
        return "–"
    return "later" if seconds > status.get("window_s", seconds) else duration(seconds)


def show_objective(console: Console, status: Status, now_ms: int) -> None:
    """Everything about one objective: figures, alerts, burn rates per window."""
    name = status["state"]
    reason = str(status.get("reason") or "").removeprefix(name).lstrip(": ")
    console.print(
        Text.assemble(state(name), "  ", (str(status["name"]), "bold"), f"  {reason}"), soft_wrap=True
    )
    console.print()
    console.print(facts([(label, value) for label, value in _figures(status) if value]))
    show_alerts(console, status.get("alerts") or [], now_ms)
    _show_burn_rates(console, status.get("burn") or [])
    of_alerts = [warning for alert in status.get("alerts") or [] for warning in alert.get("warnings") or []]
    for warning in status.get("warnings") or []:
        if warning in of_alerts:
            continue  # it stands beside its alert
        console.print(f"\nWarning: {warning}", style="yellow", soft_wrap=True)
    if status.get("explanation"):
        console.print(f"\n{status['explanation']}", soft_wrap=True)
    console.print(f"\nHow these come about: setpoint slo explain {status['name']}", style="bright_black")


def _figures(status: Status) -> list[tuple[str, str | Text]]:
    name = status["state"]
    good, total, bad = (status.get(key) for key in ("good", "total", "bad"))
    window = f"{duration(status['window_s'])} {'rolling' if status.get('is_rolling') else 'of the calendar'}"
    covered = f"{duration(status.get('covered_s'))}, {status.get('gap_minutes') or 0} min without data"
    if status.get("backfilling"):
        covered += f"; {100 * (status.get('history_done') or 0):.0f} % of the past is counted"
    group = ", ".join(f"{key}={value}" for key, value in (status.get("group") or {}).items())
    of_slo = f"{status.get('slo')} ({group})" if group else ""
    kind = " · ".join(str(status[key]) for key in ("kind", "method") if status.get(key))
    return [
        ("Service", str(status.get("service") or "–")),
        ("SLO", of_slo),
        ("Kind", kind),
        ("Target", f"{target(status['target'])} over {window}"),
        ("SLI", percent(status.get("sli"), 4)),
        ("Budget left", budget(status.get("budget_left"), name)),
        ("Counted", f"{figure(good)} good of {figure(total)}"),
        ("Bad", f"{figure(bad)} of {figure(status.get('allowed_bad'))} allowed"),
        ("Gone in", _gone_in(status)),
        ("Covered", covered),
        ("Source", str(status.get("source") or "")),
    ]


def show_alerts(console: Console, alerts: Sequence[Mapping[str, Any]], now_ms: int) -> None:
    """Each alert policy: state, since when, why; and what is wrong with it."""
    if not alerts:
        return
    rows = [
        (
            alert_state(alert["state"]),
            str(alert["severity"]),
            str(alert["policy"]),
            ago(alert.get("since_ms"), now_ms),
        )
        for alert in alerts
    ]
    console.print()
    console.print(table(("ALERT", "SEVERITY", "POLICY*", ">SINCE"), rows))
    for alert in alerts:
        if alert["state"] != "inactive":
            console.print(f"{alert['policy']}: {alert['summary']}", soft_wrap=True)
        for warning in alert.get("warnings") or []:
            console.print(f"{alert['policy']}: {warning}", style="yellow", soft_wrap=True)


def alert_state(name: str) -> Text:
    """An alert's state as shape and word, coloured."""
    shape, style = {"firing": ("◆", "red"), "pending": ("◇", "yellow")}.get(name, ("–", "bright_black"))
    return Text(f"{shape} {'quiet' if name == 'inactive' else name}", style=style)


def _show_burn_rates(console: Console, rates: Sequence[Mapping[str, Any]]) -> None:
    if not rates:
        return
    rows = [
        (
            "state only" if rate.get("severity") == "watch" else str(rate.get("severity") or ""),
            f"{duration(rate['long_s'])} / {duration(rate['short_s'])}",
            figure(rate.get("long_burn"), "×"),
            figure(rate.get("short_burn"), "×"),
            figure(rate.get("threshold"), "×"),
            Text("▲ firing", style="yellow") if rate.get("firing") else Text("– quiet"),
        )
        for rate in sorted(rates, key=lambda rate: (rate["long_s"], rate["short_s"]))
    ]
    console.print()
    console.print(table(("SEVERITY", "WINDOWS", ">LONG", ">SHORT", ">THRESHOLD", "NOW"), rows))
