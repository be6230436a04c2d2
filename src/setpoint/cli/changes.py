"""How `apply`, `diff` and `delete` show what changes: one line each, and the differing lines when asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.cli.output import table

__all__ = ["send", "show_changes"]

_SIGNS = {"created": "+", "changed": "~", "unchanged": "=", "deleted": "−"}
_ORDER = tuple(_SIGNS)


def send(client: Any, files: Sequence[tuple[str, str]], *, dry_run: bool, prune: bool) -> dict[str, Any]:
    """Send `files` to be applied (or only planned); returns the server's answer with its `changes`."""
    body = {
        "files": [{"name": name, "text": text} for name, text in files],
        "dry_run": dry_run,
        "prune": prune,
    }
    answer: dict[str, Any] = client.post("/api/resources", body)
    return answer


def show_changes(
    console: Console, changes: Sequence[Mapping[str, Any]], *, with_diff: bool, planned: bool
) -> None:
    """A table of the changes and their count; `with_diff` adds the lines that differ."""
    if with_diff:
        for change in changes:
            if change["action"] != "unchanged" and change.get("diff"):
                _show_diff(console, str(change["diff"]))
    rows = [
        (
            f"{_SIGNS.get(change['action'], ' ')} {change['action']}",
            change["kind"],
            change["name"],
            str(change["revision"]),
        )
        for change in changes
    ]
    console.print(table(("CHANGE", "KIND", "NAME*", ">REVISION"), rows))
    for change in changes:
        for warning in change.get("warnings") or []:
            console.print(f"▲ {change['kind']} {change['name']}: {warning}", soft_wrap=True)
    counts = Counter(str(change["action"]) for change in changes)
    told = ", ".join(f"{counts[action]} {action}" for action in _ORDER if counts[action]) or "nothing to do"
    console.print(f"{told}{' (planned; nothing was changed)' if planned else ''}")


def _show_diff(console: Console, diff: str) -> None:
    styles = {"+": "green", "-": "red", "@": "bright_black"}
    for line in diff.rstrip("\n").split("\n"):
        console.print(Text(line, style=styles.get(line[:1], "default")), soft_wrap=True)
    console.print()
