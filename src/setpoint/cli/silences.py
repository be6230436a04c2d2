"""How silences look in a terminal, how matchers are typed, and how an id that was cut short is found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.cli.alerts import state_text
from setpoint.cli.output import ago, duration, program, table
from setpoint.errors import InvalidInput

__all__ = ["full_id", "show_added", "show_preview", "show_silences", "written"]

_MATCHER = re.compile(r"(?P<name>[^=!~\s]+)\s*(?P<kind>=~|!~|!=|=)\s*(?P<value>.*)", re.DOTALL)
_STATES = {"active": ("◆", "yellow"), "pending": ("◇", "default"), "expired": ("–", "bright_black")}
_SHORTEST = 4
_ALL = 1000
Answer = Mapping[str, Any]


def written(given: Sequence[str]) -> str:
    """Matchers as the server reads them. As amtool has it a word alone is a name of an alert, and quotes may be left
    out where a shell took them.
    """
    return ", ".join(_written(one) for one in given)


def _written(one: str) -> str:
    found = _MATCHER.fullmatch(one.strip())
    if found is None:
        if "=" in one or not one.strip():
            raise InvalidInput(
                f"'{one}' is no matcher\nwrite one such as service=checkout or service=~'checkout|cart'"
            )
        return f'alertname="{_escaped(one.strip())}"'
    value = found["value"]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return f"{found['name']}{found['kind']}{value}"
    return f'{found["name"]}{found["kind"]}"{_escaped(value)}"'


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def full_id(client: Any, given: str) -> str:
    """The id that begins so, as the list shows the first letters of one; `given` itself where none does."""
    if len(given) < _SHORTEST or len(given) >= 36:
        return given
    found = [one["id"] for one in client.get("/silences", limit=_ALL)["items"] if one["id"].startswith(given)]
    if len(found) > 1:
        raise InvalidInput(
            f"several silences begin with {given}\ngive more of the id:\n  " + "\n  ".join(found)
        )
    return str(found[0]) if found else given


def show_silences(console: Console, answer: Answer, now_ms: int) -> None:
    """The table, in the server's order."""
    if not answer["items"]:
        console.print("Nothing is silenced.")
        return
    rows = [
        (
            _state(one),
            one["id"][:8],
            _until(one, now_ms),
            f"{one['matches']:,}",
            ", ".join(one["matchers"]),
            one["created_by"],
            one["comment"],
        )
        for one in answer["items"]
    ]
    console.print(table(("STATE", "ID", "CHANGES", ">MUTES", "MATCHERS*", "BY*", "WHY*"), rows))
    if answer["next"]:
        console.print(f"\nThe first {len(rows):,} of {answer['matching']:,}.", style="bright_black")


def _state(one: Answer) -> Text:
    shape, style = _STATES[one["state"]]
    return Text(f"{shape} {one['state']}", style=style)


def _until(one: Answer, now_ms: int) -> str:
    if one["state"] == "expired":
        return f"ended {ago(one['ends_ms'], now_ms)}"
    when = ago(one["next_change_ms"], now_ms)
    repeats = f", {one['repeats']}" if one["recurrence"] else ""
    return f"{'ends' if one['state'] == 'active' else 'begins'} {when}{repeats}"


def show_added(console: Console, answer: Answer) -> None:
    """What was made, and how to end it."""
    lasts = duration((answer["ends_ms"] - answer["starts_ms"]) / 1000)
    often = f"{answer['repeats']}, over {lasts}" if answer["recurrence"] else f"for {lasts}"
    console.print(f"{answer['id']}  {', '.join(answer['matchers'])}  {often}", soft_wrap=True)
    matches = answer["matches"]
    console.print(f"It matches {matches:,} {'alert' if matches == 1 else 'alerts'} now.", soft_wrap=True)
    console.print(
        f"End it sooner: {program()} silence expire {answer['id']}", style="bright_black", soft_wrap=True
    )


def show_preview(console: Console, answer: Answer, now_ms: int) -> None:
    """What would be muted, and what to think of."""
    total = answer["total"]
    pages = f", {answer['paging']:,} of them page" if answer["paging"] else ""
    console.print(f"It would mute {total:,} {'alert' if total == 1 else 'alerts'} now{pages}.")
    if answer["advice"]:
        console.print(answer["advice"], style="yellow", soft_wrap=True)
    rows = [
        (state_text(one), one["name"], one["service"] or "–", ago(one["starts_ms"], now_ms), one["summary"])
        for one in answer["items"]
    ]
    if rows:
        console.print()
        console.print(table(("STATE", "ALERT*", "SERVICE*", ">SINCE", "WHAT*"), rows))
    if len(rows) < total:
        console.print(f"\nThe first {len(rows):,} of {total:,}.", style="bright_black")
