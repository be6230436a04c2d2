"""How alerts look in a terminal, and how one is found by its fingerprint or the name of its rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.cli.client import segment
from setpoint.cli.output import ago, duration, facts, figure, program, table
from setpoint.errors import InvalidInput, NotFound

__all__ = [
    "find_alert",
    "find_why",
    "joined",
    "read_history",
    "show_alert",
    "show_alerts",
    "show_history",
    "show_noise",
    "show_why",
    "state_text",
]

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_MATCHER = re.compile(r"[^:\s]+?(=~|!~|!=|=)")
_PAGE, _NAMED = 999, 10
Answer = Mapping[str, Any]


def joined(given: Sequence[str]) -> str:
    """The arguments as one query: matchers with commas between, words with spaces."""
    are_matchers = [_MATCHER.match(one) is not None and ":=" not in one for one in given]
    if any(are_matchers) and not all(are_matchers):
        raise InvalidInput(
            'matchers and words stand side by side\nwrite only matchers, such as severity="page", or only words'
        )
    return (", " if any(are_matchers) else " ").join(given)


def state_text(item: Answer) -> Text:
    """An alert's state as shape and word, coloured."""
    if item["state"] != "firing":
        return Text(f"◇ {item['state']}", style="bright_black")
    return Text("◆ pages", style="red") if item["is_paging"] else Text("◆ fires", style="yellow")


def show_alerts(console: Console, answer: Answer, q: str, now_ms: int) -> None:
    """The table, in the server's order."""
    items = answer["items"]
    if not items:
        console.print(
            f"None of {answer['total']:,} alerts matches: {q}" if answer["total"] else "Nothing fires."
        )
        return
    rows = [
        (
            state_text(item),
            item["severity"] or "–",
            item["name"],
            item["service"] or "–",
            item["team"] or "–",
            ago(item["starts_ms"], now_ms),
            item["fingerprint"],
            item["summary"],
        )
        for item in items
    ]
    console.print(
        table(("STATE", "SEVERITY", "ALERT*", "SERVICE*", "TEAM*", ">SINCE", "FINGERPRINT", "WHAT*"), rows)
    )
    if len(items) < answer["matching"]:
        console.print(
            f"\nThe first {len(items):,} of {answer['matching']:,}; --limit 0 shows all", style="bright_black"
        )


# ---- one alert -------------------------------------------------------------------------------------------------------


def find_alert(client: Any, name: str) -> dict[str, Any]:
    """An alert by its fingerprint, or by the name of its rule where one alone fires. Raises NotFound, InvalidInput."""
    if _FINGERPRINT.fullmatch(name):
        found: dict[str, Any] = client.get(f"/alerts/{name}")
        return found
    quoted = name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    items = client.get("/alerts", q=f'alertname="{quoted}"', limit=_NAMED)["items"]
    if not items:
        raise NotFound(f"no alert '{name}' fires\n'{program()} alert list' shows those that do")
    if len(items) > 1:
        lines = "\n".join(
            f"  {one['fingerprint']}  {one['service'] or '–'}  {one['summary']}" for one in items
        )
        raise InvalidInput(f"several alerts of '{name}' fire\ngive the fingerprint of one:\n{lines}")
    one: dict[str, Any] = client.get(f"/alerts/{items[0]['fingerprint']}")
    return one


def show_alert(console: Console, answer: Answer, now_ms: int) -> None:
    """What it says, who was told, what happened to it."""
    if "labels" not in answer:
        console.print(f"It does not fire. What was told of {answer['fingerprint']}:\n")
        show_history(console, answer["events"][:_NAMED], now_ms)
        return
    _show_head(console, answer, now_ms)
    console.print()
    pairs = [*answer["labels"].items(), *answer["annotations"].items()]
    console.print(facts([(str(name), str(value)) for name, value in pairs]))
    _show_told(console, answer)
    console.print(
        f"\nWhy it fires: {program()} alert why {answer['fingerprint']}", style="bright_black", soft_wrap=True
    )


def _show_head(console: Console, answer: Answer, now_ms: int) -> None:
    state = state_text(answer) if answer["fires"] else Text("– ended", style="bright_black")
    since = f"since {ago(answer['starts_ms'], now_ms)}" if answer["fires"] else ago(answer["ends_ms"], now_ms)
    whose = " · ".join(part for part in (answer["severity"], answer["service"], answer["team"]) if part)
    console.print(Text.assemble(state, "  ", (answer["name"], "bold"), f"  {since}  {whose}"), soft_wrap=True)
    if answer["summary"]:
        console.print(answer["summary"], soft_wrap=True)


def _show_told(console: Console, answer: Answer) -> None:
    told = answer["told"]
    console.print(f"\n{told['summary']}", soft_wrap=True)
    for line in told["lines"]:
        console.print(f"  {line}", soft_wrap=True)
    for route in told["routes"]:
        console.print(f"\n{route['receiver']}: {route['outcome']}", style="bold", soft_wrap=True)
        if route["group_key"]:
            console.print(f"  group {route['group_key']}", soft_wrap=True)
        for one in route["integrations"]:
            console.print(f"  {one['integration']}: {one['decision']}", soft_wrap=True)
        for line in route["lines"]:
            console.print(f"  {line}", soft_wrap=True)
    for one in answer["deliveries"]:
        error = f": {one['error']}" if one["error"] else ""
        console.print(
            f"  {one['receiver']} ({one['integration']}): {one['state']}, {one['attempts']} attempts{error}",
            soft_wrap=True,
        )


# ---- why -------------------------------------------------------------------------------------------------------------


def find_why(client: Any, name: str) -> dict[str, Any]:
    """Of an alert that fires, why; else of the rules of this name, why they do not. Raises NotFound."""
    try:
        return find_alert(client, name)
    except NotFound:
        if _FINGERPRINT.fullmatch(name):
            raise
    items = [one for one in client.get("/rules", q=name, limit=5000)["items"] if one["name"] == name]
    if not items:
        raise NotFound(
            f"no alert '{name}' fires, and no rule is called so\n'{program()} alert list' shows those that do"
        )
    whys = []
    for one in items[:_NAMED]:
        whys += client.get(f"/rules/{segment(one['group'])}/{segment(name)}", file=one["file"])["items"]
    return {"name": name, "fires": False, "rules": whys}


def show_why(console: Console, answer: Answer, now_ms: int) -> None:
    """The values against the thresholds, then the way to each receiver."""
    if "rules" in answer:
        for why in answer["rules"]:
            rule = why["rule"]
            console.print(f"{answer['name']}  {_place(rule)}", style="bold", soft_wrap=True)
            _show_rule(console, why)
        return
    if "labels" not in answer:
        show_alert(console, answer, now_ms)
        return
    _show_head(console, answer, now_ms)
    why = answer["why"]
    if why["sentence"]:
        console.print(f"\n{why['sentence']}", soft_wrap=True)
    for one in why["rules"]:
        _show_rule(console, one, with_summary=False)
    if why["objective"]:
        console.print(
            f"\nHow it is computed: {program()} slo explain {why['objective']}", style="bright_black"
        )
    _show_told(console, answer)


def _place(rule: Answer) -> str:
    return f"{rule['file']}:{rule['line']}" if rule["line"] else str(rule["file"])


def _show_rule(console: Console, why: Answer, *, with_summary: bool = True) -> None:
    if with_summary:
        console.print(why["summary"], soft_wrap=True)
    for condition in why["conditions"]:
        join = f"{condition['join']} " if condition["join"] else ""
        console.print(f"\n{join}{condition['text']}", soft_wrap=True)
        console.print(
            f"  {condition['holding']:,} of {condition['total']:,} series hold", style="bright_black"
        )
        rows = [
            (
                "  " + (", ".join(f"{name}={value}" for name, value in one["labels"].items()) or "no labels"),
                _value(one["left"]),
                f"{condition['op']} {_value(one['right'])}" if condition["op"] else "",
                Text("holds", style="red") if one["holds"] else Text("does not hold", style="bright_black"),
            )
            for one in condition["series"]
        ]
        if rows:
            console.print(table(("  SERIES*", ">VALUE", "THRESHOLD", ""), rows))
    for one in why["alerts"][:_NAMED]:
        console.print(f"  {one['text']}", soft_wrap=True)
    for text in why["missing"]:
        console.print(text, style="yellow", soft_wrap=True)
    if why["error"]:
        console.print(why["error"], style="yellow", soft_wrap=True)


def _value(value: float | None) -> str:
    return "no value" if value is None else f"{value:.6g}"


# ---- history and noise -----------------------------------------------------------------------------------------------


def read_history(
    client: Any, service: str | None, kind: str | None, since_ms: int | None, limit: int
) -> list[dict[str, Any]]:
    """Events until there are `limit`, or they are older than `since_ms`."""
    found: list[dict[str, Any]] = []
    before_id: int | None = None
    while len(found) < limit:
        wanted = min(_PAGE, limit - len(found))
        answer = client.get("/alerts/history", service=service, kind=kind, before_id=before_id, limit=wanted)
        recent = [one for one in answer["items"] if since_ms is None or one["at_ms"] >= since_ms]
        found += recent
        if not answer["next"] or len(recent) < len(answer["items"]):
            break
        before_id = answer["items"][-1]["id"]
    return found


def show_history(console: Console, items: Sequence[Answer], now_ms: int) -> None:
    """One line for each event."""
    if not items:
        console.print("Nothing happened that matches.")
        return
    rows = [(ago(one["at_ms"], now_ms), one["kind"], one["service"] or "–", one["summary"]) for one in items]
    console.print(table(("WHEN", "KIND", "SERVICE", "WHAT*"), rows))


def show_noise(console: Console, answer: Answer, *, explain: bool) -> None:
    """What shifts had to bear, then the rules with what would mend them."""
    console.print(answer["lead"], soft_wrap=True)
    if answer["teams"]:
        heads = ("TEAM*", ">PER SHIFT", ">PAGES", ">AT NIGHT", ">FOR NOTHING", ">SHIFTS OVER 2")
        most = answer["pages_per_shift_at_most"]
        rows = [
            (
                one["team"] or "(no team)",
                Text(figure(one["per_shift"]), style="red" if one["per_shift"] > most else ""),
                *(f"{one[name]:,}" for name in ("pages", "night_pages", "wasted", "over")),
            )
            for one in answer["teams"]
        ]
        console.print()
        console.print(table(heads, rows))
    for one in answer["rules"]:
        _show_rule_noise(console, one, explain=explain)
    if len(answer["rules"]) < answer["total"]:
        console.print(
            f"\nThe first {len(answer['rules'])} of {answer['total']:,}; --limit shows more",
            style="bright_black",
        )


def _show_rule_noise(console: Console, one: Answer, *, explain: bool) -> None:
    counted = f"noise {one['noise']}, {_number(one['pages'], 'page')}" if one["is_paging"] else "no page"
    console.print(f"\n{one['rule']}", style="bold", end="")
    console.print(
        f"  {one['severity'] or 'no severity'}  {counted}, {_number(one['firings'], 'firing')}",
        soft_wrap=True,
    )
    if one["ended"]:
        told = f"{one['unanswered']} of {one['ended']} ended before anyone looked"
        console.print(
            f"  {told}; {one['again']} again soon; longest {duration(one['longest_ms'] / 1000)}",
            soft_wrap=True,
        )
    for hint in one["proposals"]:
        console.print(f"  {hint['reason']}: {hint['mend']}", soft_wrap=True)
    if explain:
        for line in one["formulas"].values():
            console.print(f"    {line}", style="bright_black", soft_wrap=True)


def _number(number: int, word: str) -> str:
    return f"{number:,} {word if number == 1 else f'{word}s'}"
