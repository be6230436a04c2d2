"""Figures as people read them, and tables that keep to the terminal's width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from setpoint.cli.explained import show_explanation
from setpoint.cli.instant import instant_ms
from setpoint.cli.objectives import show_groups, show_objective, show_objectives
from setpoint.cli.output import ago, duration, figure, percent, table, to_yaml
from setpoint.errors import InvalidInput

DAY_MS = 86_400_000


def objective(name: str, state: str, left: float | None, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "state": state,
        "target": 0.999,
        "budget_left": left,
        "burn_now": 14.4,
        "burn_now_s": 30,
        "exhaustion_s": 13200.0,
        **more,
    }


STATUSES = [
    objective("search-latency-p95", "exhausted", -12.39),
    objective("a-very-long-name-of-an-objective-that-somebody-chose-in-anger-99", "burning", 0.31),
    objective("invoice-freshness", "no data", None, burn_now=None, exhaustion_s=None),
    objective("checkout-availability", "healthy", 0.998),
]


def draw(width: int, *arguments: Any, show: Any = show_objectives, color: bool = False) -> str:
    text = io.StringIO()
    show(Console(file=text, width=width, highlight=False, force_terminal=color, markup=False), *arguments)
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_objectives_fit_one_line_each(width: int) -> None:
    lines = draw(width, STATUSES).splitlines()
    assert len(lines) == 1 + len(STATUSES)
    assert max(map(len, lines)) <= width
    whole = draw(width, STATUSES)
    for shape_and_word in ("■ exhausted", "▲ burning", "○ no data", "● healthy"):
        assert shape_and_word in whole
    for value in (
        "−1239 %",
        "31.0 %",
        "99.8 %",
        "14.4×",
        "3 h 40 m",
        "checkout-availability",
        "GONE IN",
        "99.9 %",
    ):
        assert value in whole
    assert ("somebody-chose-in-anger-99" in whole) == (width == 200)


def test_only_states_are_coloured() -> None:
    line = draw(100, [STATUSES[3]], color=True).splitlines()[1]
    assert "\x1b[32m● healthy" in line
    assert "\x1b[32mcheckout" not in line


def test_an_empty_list_teaches_the_next_command() -> None:
    assert "setpoint apply -f FILE" in draw(80, [])


def test_one_objective_shows_its_figures_and_their_origin() -> None:
    status = objective("checkout-availability", "burning", 0.5) | {
        "reason": "the budget goes 14.4 times too fast",
        "service": "checkout",
        "window_s": 2_592_000,
        "is_rolling": True,
        "sli": 0.9995,
        "good": 9995.0,
        "total": 10000.0,
        "bad": 5.0,
        "allowed_bad": 10.0,
        "covered_s": 7200,
        "gap_minutes": 0,
        "burn": [
            {
                "severity": "page",
                "long_s": 3600,
                "short_s": 300,
                "long_burn": 14.5,
                "short_burn": None,
                "threshold": 14.4,
                "firing": True,
            }
        ],
        "explanation": "budget left = 1 − 5 / 10",
    }
    alert = {
        "policy": "page-1h",
        "severity": "page",
        "state": "firing",
        "since_ms": 0,
        "summary": "burning 14.5× in 1h",
    }
    status["alerts"] = [
        alert,
        alert | {"policy": "own", "state": "inactive", "since_ms": None, "warnings": ["it cannot fire"]},
    ]
    text = draw(80, status, 720_000, show=show_objective)
    for value in (
        "99.9500 %",
        "30 d rolling",
        "9,995 good of 10,000",
        "5.0 of 10.0 allowed",
        "1 h / 5 m",
        "▲ firing",
    ):
        assert value in text
    assert "budget left = 1 − 5 / 10" in text
    assert "◆ firing" in text
    assert "12 m ago" in text
    assert "page-1h: burning 14.5× in 1h" in text
    assert "own: it cannot fire" in text


def test_groups_are_one_line_each() -> None:
    counts = {"exhausted": 1, "burning": 0, "no data": 2, "healthy": 9997}
    one = {
        "value": "payments",
        "objectives": 10_000,
        "counts": counts,
        "budget_left": -0.5,
        "first": "checkout",
    }
    text = draw(100, [one, one | {"value": "", "budget_left": None}], "team", show=show_groups)
    assert len(text.splitlines()) == 3
    for value in ("TEAM", "payments", "10,000", "9,997", "−50.0 %", "(no team)", "checkout"):
        assert value in text


def test_an_explanation_has_each_formula_with_its_values() -> None:
    step = {"name": "SLI", "formula": "good / total", "values": "9 / 10", "result": "90 %", "value": 0.9}
    burn = {"name": "1 h", "formula": "f", "values": "(1 / 10) / 0.01", "result": "10.0×", "value": 10.0}
    text = draw(
        100,
        {
            "name": "checkout",
            "state": "burning",
            "reason": "burning 10×: at this rate …",
            "counted": ["Each minute is one event."],
            "queries": [{"role": "Total", "language": "PromQL", "text": "sum(x)"}],
            "window": {"words": "the last 30 d, rolling"},
            "steps": [step],
            "parts": [{"name": "gone", "weight": 2.0, "share": 0.5, "state": None, "sli": None, "target": None}],
            "burn": [
                {
                    "severity": "page", "threshold": 14.4, "long_s": 3600, "short_s": 300, "long": burn,
                    "short": burn | {"values": "no events", "result": "–", "value": None},
                    "is_firing": False, "is_reachable": False,
                }
            ],
            "alerts": [
                {"policy": "p", "severity": "page", "state": "inactive", "summary": "quiet", "warnings": ["never"]}
            ],
            "data": ["30 d of 30 d have history."],
            "warnings": ["look"],
        },
        show=show_explanation,
    )  # fmt: skip
    for value in (
        "good / total = 9 / 10 = 90 %", "(1 / 10) / 0.01", "not over", "no events", "out of reach", "does not exist",
        "Total, PromQL  sum(x)", "the last 30 d, rolling", "p, page, – quiet: quiet", "never", "look",
    ):  # fmt: skip
        assert value in text


@given(
    st.lists(st.tuples(st.text("abc xyz", max_size=120), st.text("123", max_size=9)), min_size=1, max_size=5)
)
def test_a_table_never_wraps_and_never_exceeds(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    Console(file=text, width=60).print(table(("NAME*", ">FIGURE"), rows))
    lines = text.getvalue().splitlines()
    assert len(lines) == 1 + len(rows)
    assert max(map(len, lines)) <= 60
    for (_, figures), line in zip(rows, lines[1:], strict=True):
        assert line.rstrip().endswith(figures)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0, "0 s"), (0.4, "0 s"), (59.6, "1 m"), (61, "1 m 1 s"), (3600, "1 h"),
        (13200, "3 h 40 m"), (86400 * 28, "28 d"), (90000, "1 d 1 h"), (86430, "1 d"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (0.123, "0.12"), (14.4, "14.4"), (1234.5, "1,234"), (-0.5, "−0.5")],
)
def test_figures(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_percentages_and_ages() -> None:
    assert percent(0.31) == "31.0 %"
    assert percent(-0.39, 0) == "−39 %"
    assert percent(None) == "–"
    assert ago(DAY_MS, DAY_MS + 65_000) == "1 m 5 s ago"
    assert ago(DAY_MS + 5_000, DAY_MS) == "in 5 s"
    assert ago(None, DAY_MS) == "–"
    assert ago(0, DAY_MS * 3).startswith(("1970-01-01 ", "1969-12-31 "))


def test_yaml_keeps_the_order_and_the_letters() -> None:
    assert to_yaml({"b": [1, {"ü": None}], "a": "x"}) == "b:\n- 1\n- ü: null\na: x\n"


NOW_MS = 1_767_323_045_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOW_MS - 1_800_000),
        ("2d", NOW_MS - 2 * DAY_MS),
        ("2026-01-02T03:04:05Z", NOW_MS),
        ("2026-01-02T04:04:05+01:00", NOW_MS),
        ("1767323045000", NOW_MS),
    ],
)
def test_instants(text: str, expected: int) -> None:
    assert instant_ms(text, NOW_MS) == expected


@given(st.text(max_size=12))
def test_any_text_is_an_instant_or_invalid_input(text: str) -> None:
    try:
        instant_ms(text, NOW_MS)
    except InvalidInput as error:
        assert "write 30m" in error.message
