"""How commands print: tables for people, JSON and YAML with the API's field names for programs.

Tables are as wide as the terminal, never wrap a cell and have no boxes; piped output takes the width it
needs, unless COLUMNS says otherwise. Colour means state and nothing else, with a shape and a word beside it;
rich respects NO_COLOR.
"""

from __future__ import annotations

import enum
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "Output",
    "ago",
    "budget",
    "clean",
    "console",
    "duration",
    "emit",
    "facts",
    "figure",
    "percent",
    "program",
    "series_name",
    "state",
    "table",
    "to_yaml",
]

_PIPED_WIDTH = 240
_STATES = {
    "healthy": ("●", "green"),
    "burning": ("▲", "yellow"),
    "exhausted": ("■", "red"),
    "no data": ("○", "bright_black"),
}
_BAR_CELLS = 8


class Output(enum.StrEnum):
    """What `--output` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def console(stderr: bool = False) -> Console:
    """A calm console: no automatic highlighting, no emoji codes, no markup in data."""
    width = shutil.get_terminal_size((_PIPED_WIDTH, 24)).columns
    return Console(highlight=False, markup=False, emoji=False, stderr=stderr, width=width)


def program() -> str:
    """How a person in this shell calls us again: `setpoint`, or the path where that is not on PATH."""
    if shutil.which("setpoint") is not None or not sys.argv[0].endswith("setpoint"):
        return "setpoint"
    near = os.path.relpath(sys.argv[0])
    return sys.argv[0] if near.startswith("..") else near


def emit(data: Any, output: Output, render: Callable[[Console], None]) -> None:
    """Print `data` as JSON or YAML, or let `render` print it for a person."""
    if output is Output.JSON:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    elif output is Output.YAML:
        sys.stdout.write(to_yaml(data))
    else:
        render(console())


_STEERING: dict[int, str | None] = {
    code: "\ufffd" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}
_STEERING |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F))


def clean(data: Any) -> Any:
    """`data` without what would steer a terminal or turn text around: anybody may send an alert."""
    if isinstance(data, str):
        return data.translate(_STEERING)
    if isinstance(data, dict):
        return {clean(name): clean(value) for name, value in data.items()}
    return [clean(one) for one in data] if isinstance(data, list) else data


def to_yaml(data: Any) -> str:
    """`data` as YAML in block style, keys in the order given."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table without boxes. `>NAME` is right-aligned; `NAME*` is shortened first."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        # rich shortens the columns that may wrap before it touches the others; the cells themselves never do.
        made.add_column(
            _cell(column.strip(">*")),
            justify="right" if column.startswith(">") else "left",
            no_wrap=not column.endswith("*"),
            overflow="ellipsis",
        )
    for row in rows:
        made.add_row(*(_cell(cell) for cell in row))
    return made


def _cell(content: str | Text) -> Text:
    text = Text(content) if isinstance(content, str) else content
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def facts(pairs: Iterable[tuple[str, str | Text]]) -> Table:
    """Names and values below each other; long values wrap beside their name."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, value)
    return made


def series_name(labels: Mapping[str, str]) -> str:
    """A series as PromQL writes it: `up{job="shop"}`."""
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return (
        f"{labels.get('__name__', '')}{{{pairs}}}"
        if pairs or "__name__" not in labels
        else labels["__name__"]
    )


def state(name: str) -> Text:
    """A state as shape and word, coloured."""
    shape, colour = _STATES.get(name, ("·", "default"))
    return Text(f"{shape} {name}", style=colour)


def figure(value: float | None, unit: str = "") -> str:
    """A number with up to three significant digits, or a dash when there is none."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"
    return f"{text}{unit}".replace("-", "−")


def percent(ratio: float | None, digits: int = 1) -> str:
    """A ratio as per cent, or a dash."""
    return "–" if ratio is None else f"{ratio * 100:.{digits}f} %".replace("-", "−")


def budget(left: float | None, name: str) -> Text:
    """The budget that is left, as bar and figure; `name` is the state, which gives the colour."""
    if left is None:
        return Text(f"{'╌' * _BAR_CELLS}     –", style="bright_black")
    full = min(_BAR_CELLS, max(0, round(left * _BAR_CELLS)))
    colour = _STATES.get(name, ("", "default"))[1]
    bar = Text("█" * full, style=colour)
    bar.append("░" * (_BAR_CELLS - full), style="bright_black")
    figures = percent(left, 1 if abs(left) < 1 else 0)
    return bar.append(f" {figures:>7}", style="default")


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units that matter, such as `3 h 40 m`; a dash when there is none."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"


def ago(at_ms: int | None, now_ms: int) -> str:
    """An instant relative to now, as local time once it is older than a day; a dash when there is none."""
    if at_ms is None:
        return "–"
    age_s = (now_ms - at_ms) / 1000
    if age_s < 0:
        return f"in {duration(-age_s)}"
    if age_s < 86400:
        return f"{duration(age_s)} ago"
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
