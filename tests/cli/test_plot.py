"""The graph in the terminal: every terminal gets one that fits and that can be read there."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from setpoint.cli.plot import Canvas, points_across, show_plot

START_S, END_S = 1_799_496_000, 1_799_499_600
EMPTY = " ⠀"


def series(name: str, value: Callable[[float], float], step_s: int = 60) -> dict[str, Any]:
    values = [[at_s, repr(value(at_s - START_S))] for at_s in range(START_S, END_S + 1, step_s)]
    return {"metric": {"__name__": name}, "values": values}


def drawn(*result: dict[str, Any], width: int = 80, encoding: str = "utf-8", **options: Any) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, "force_terminal": False}
    show_plot(Console(file=out, width=width, **(plain | options)), result, START_S, END_S)
    out.seek(0)
    return out.read()


def cells(text: str) -> list[str]:
    return [row.split("│")[1] for row in text.splitlines() if "│" in row]


def test_one_line_is_dots_and_rises() -> None:
    text = drawn(series("a", lambda at_s: at_s))
    top, *_, bottom = [row for row in cells(text) if row.strip(EMPTY)]
    assert len(top.rstrip(EMPTY)) > 60
    assert top[:50].strip(EMPTY) == ""
    assert len(bottom.rstrip(EMPTY)) < 12
    assert text.splitlines()[-1].split() == ["━━", "a", "3,600", "0", "1,800", "3,600"]


def test_several_lines_have_colours_or_letters() -> None:
    both = series("a", lambda _: 1.0), series("b", lambda _: 2.0)
    terminal: dict[str, Any] = {"force_terminal": True, "color_system": "standard"}
    coloured = drawn(*both, **terminal)
    assert "\x1b[34m" in coloured and "\x1b[33m" in coloured
    assert "aaa" not in coloured
    for plain in (drawn(*both), drawn(*both, **terminal, no_color=True)):
        assert "aaaaaaa" in plain and "bbbbbbb" in plain


def test_without_unicode_it_is_ascii() -> None:
    text = drawn(series("a", lambda at_s: -at_s * 1e6), encoding="ascii")
    assert text.isascii()
    assert "?" not in text
    assert "*" in text and "-3.6 G" in text
    assert "+---" in text


@given(width=st.integers(20, 200), scale=st.floats(1e-12, 1e12), count=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_it_fits_at_every_width(width: int, scale: float, count: int) -> None:
    def wave(phase: int) -> Callable[[float], float]:
        return lambda at_s: math.sin(at_s / 300 + phase) * scale

    text = drawn(*(series(f"metric_{number}", wave(number)) for number in range(count)), width=width)
    graph = [line for line in text.splitlines() if "│" in line or "└" in line]
    assert max(map(len, graph)) <= max(width, 32)
    assert (f"8 of {count} series" in text.replace("\n", " ")) == (count > 8)


def test_gaps_are_not_bridged() -> None:
    whole = series("a", lambda _: 5.0)
    values = [pair for pair in whole["values"] if not 600 < pair[0] - START_S < 3000]
    [row] = [row for row in cells(drawn(whole | {"values": values})) if row.strip(EMPTY)]
    assert row[20:50].strip(EMPTY) == ""
    assert row[:5].strip(EMPTY) == row[:5]


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf"])
def test_what_is_no_number_is_left_out(text: str) -> None:
    odd = {"metric": {"__name__": "odd"}, "values": [[START_S, text]]}
    shown = drawn(odd, series("a", lambda _: 1.0))
    assert "1 of 2 series" in shown
    assert "odd" not in shown
    assert "0 of 1 series" in drawn(odd)


def test_native_histograms_are_named() -> None:
    assert "1 series of native histograms" in drawn({"metric": {}, "histograms": [[START_S, {}]]})


def test_a_graph_has_two_points_in_a_cell() -> None:
    assert points_across(Console(width=80)) == 136
    assert points_across(Console(width=1000)) == 256
    canvas = Canvas(2, 1, is_braille=True)
    assert canvas.dots == (4, 4)
    canvas.draw(0, (0, 0), (3, 0))
    assert canvas.row(0, [("x", "")]).plain == "⠉⠉"
