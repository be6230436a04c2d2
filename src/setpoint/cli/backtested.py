"""How a backtest looks in a terminal: figures of each side, then the episodes and who saw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.cli.objectives import target
from setpoint.cli.output import duration, figure, percent, table

__all__ = ["show_backtest"]

_EPISODES_MOST = 30

Found = Mapping[str, Any]


def show_backtest(console: Console, found: Found) -> None:
    """All of the answer of `/objectives/{name}/backtest` but the single alerts."""
    if not found["minutes"]:
        console.print(f"{found['objective']}: {found['notes'][0]}.", soft_wrap=True)
        return
    sides, episodes = found["sides"], found["episodes"]
    length = duration((found["end_ms"] - found["start_ms"]) / 1000)
    console.print(
        Text.assemble(
            (str(found["objective"]), "bold"),
            f"  {target(found['target'])} in {duration(found['window_s'])}; {length}, {_time(found['start_ms'])} to "
            f"{_time(found['end_ms'])} UTC",
        ),
        soft_wrap=True,
    )
    for letter, side in zip("AB", sides, strict=False):
        console.print(
            Text.assemble((f"{letter}  " if len(sides) > 1 else "", "bold"), side["name"]), soft_wrap=True
        )
    heads = list("AB") if len(sides) > 1 else ["FIGURE"]
    console.print()
    console.print(
        table(
            ("", *(f">{head}" for head in heads)),
            [(name, *map(tell, sides)) for name, tell in _rows(episodes)],
        )
    )
    console.print()
    _episodes(console, found, heads)
    for side in sides:
        for warning in side["warnings"]:
            console.print(f"{side['name']}: {warning}", style="yellow", soft_wrap=True)
    for note in found["notes"]:
        console.print(f"Note: {note}.", style="bright_black", soft_wrap=True)


def _rows(episodes: Sequence[Found]) -> list[tuple[str, Callable[[Found], str]]]:
    def of(name: str) -> Callable[[Found], Any]:
        return lambda side: side["totals"][name]

    def most(name: str, tell: Callable[[float | None], str]) -> Callable[[Found], str]:
        def told(side: Found) -> str:
            values = of(name)(side)
            return "–" if values is None else f"{tell(values[0])} / {tell(values[1])}"

        return told

    return [
        ("Episodes paged", lambda side: f"{of('seen')(side)} of {len(episodes)}"),
        ("Missed (told nobody)", lambda side: f"{of('missed')(side)} ({of('unheard')(side)})"),
        ("Until the page (median / most)", most("delay_s", duration)),
        ("Budget gone at the page", most("spent", percent)),
        ("Pages (for no episode)", lambda side: f"{of('pages')(side)} ({of('noise')(side)})"),
        ("Time paged", lambda side: duration(of("paged_s")(side)) if of("pages")(side) else "–"),
        ("Tickets", lambda side: f"{of('tickets')(side)}"),
    ]


def _episodes(console: Console, found: Found, heads: Sequence[str]) -> None:
    episodes = found["episodes"]
    if not episodes:
        console.print(
            f"No stretch spent {percent(found['least'])} of the budget or more: nothing to page for."
        )
        return
    rows: list[tuple[str | Text, ...]] = [
        (
            _time(one["begin_ms"])[5:],
            duration((one["end_ms"] - one["begin_ms"]) / 1000) + ("+" if one["is_open"] else ""),
            percent(one["spent"]),
            figure(one["burn"], "×"),
            *map(_sight, one["sights"]),
        )
        for one in episodes[-_EPISODES_MOST:]
    ]
    sides = [f"{letter} PAGED, GONE" for letter in "AB"] if len(heads) > 1 else ["PAGED, BUDGET GONE"]
    console.print(table(("BEGAN (UTC)", ">LASTED", ">SPENT", ">BURN", *sides), rows))
    if len(episodes) > _EPISODES_MOST:
        console.print(
            f"The newest {_EPISODES_MOST} of {len(episodes):,}; -o json shows all.", style="bright_black"
        )


def _sight(sight: Found) -> Text:
    if sight["page_ms"] is not None:
        told = f"+{duration(sight['delay_s'])}" if sight["delay_s"] else "at once"
        return Text.assemble(("● ", "green"), f"{told}, {percent(sight['spent'])}")
    return Text("■ ticket only" if sight["ticket_ms"] is not None else "■ missed", style="red")


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
