"""The notation of test files: series, samples, scripts; and what is wrong with them, with the line."""

from __future__ import annotations

import math
import struct

import pytest

from setpoint.errors import InvalidInput
from setpoint.promql.notation import STALE, milliseconds, sequence, split_series, unquote
from setpoint.promql.promqltest import Case, Clear, Expectation, Load, read


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2.5 -3", [1, 2.5, -3]),
        ("1+2x3", [1, 3, 5, 7]),
        ("-2-0.5x2", [-2, -2.5, -3]),
        ("7x2 _ 8", [7, 7, 7, None, 8]),
        ("_x3", [None, None, None]),
        ("1e3 .5 5. Inf -inf +Inf", [1000, 0.5, 5, math.inf, -math.inf, math.inf]),
        ("0x2", [0, 0, 0]),
        ("", []),
    ],
)
def test_values(text: str, values: list[float | None]) -> None:
    assert list(sequence(text)) == values


def test_stale_is_the_marker_and_nan_is_not() -> None:
    stale, nan = sequence("stale NaN")
    assert isinstance(stale, float)
    assert isinstance(nan, float)
    assert struct.pack("<d", stale) == struct.pack("<d", STALE) != struct.pack("<d", nan)


@pytest.mark.parametrize("text", ["one", "1+x3", "1++2x3", "_x", "1 2,3", "1x99999999999", "1+1x-3"])
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(InvalidInput):
        list(sequence(text))


@pytest.mark.parametrize(
    ("text", "labels", "rest"),
    [
        ("up 1 2", {"__name__": "up"}, "1 2"),
        ("up{a=\"1\", b = '2',} 5x3", {"__name__": "up", "a": "1", "b": "2"}, "5x3"),
        ("{} 1", {}, "1"),
        ('{"a name", "a label"="x"} 1', {"__name__": "a name", "a label": "x"}, "1"),
        ('a:b{c="\\"q\\" \\\\ }"}', {"__name__": "a:b", "c": '"q" \\ }'}, ""),
        ("h {{schema:0}}", {"__name__": "h"}, "{{schema:0}}"),
        ("up {a=`raw\\n`} 1", {"__name__": "up", "a": "raw\\n"}, "1"),
    ],
)
def test_series(text: str, labels: dict[str, str], rest: str) -> None:
    assert split_series(text) == (labels, rest)


@pytest.mark.parametrize(
    "text", ['up{a="1"', "up{a=1} 2", "up{=} 1", 'up{a "b"} 1', 'up{a="1" b="2"} 1', "up{a} 1"]
)
def test_what_is_no_series(text: str) -> None:
    with pytest.raises(InvalidInput):
        split_series(text)


def test_durations_and_texts() -> None:
    assert [milliseconds(text) for text in ("5m", "1h30m", "10s53ms", "30", "-1m", "0", "1.5")] == [
        300_000, 5_400_000, 10_053, 30_000, -60_000, 0, 1500,
    ]  # fmt: skip
    assert unquote('"a\\tb\\u00e9\\x41\\101"') == "a\tbéAA"
    for wrong in ("5 minutes", "5x", ""):
        with pytest.raises(InvalidInput):
            milliseconds(wrong)


def test_a_script() -> None:
    load, instant, clear, ranged = read(
        'load 1m\n  up{a="1"} 1 _ 3\n\n'
        "# a comment\n"
        "eval instant at 2m up + 1\n"
        "  expect warn msg: PromQL warning: odd (1:1)\n"
        "  expect no_info\n"
        '  {a="1"} 4\n\n'
        "clear\n"
        "eval_ordered range from 0 to 4m step 2m up\n"
        "  up 1 _x2\n"
    )
    assert load == Load(1, [({"__name__": "up", "a": "1"}, [(0, 1), (120_000, 3)])])
    assert isinstance(instant, Case)
    assert (instant.line, instant.query, instant.start_ms, instant.is_range) == (5, "up + 1", 120_000, False)
    assert instant.expectations == [
        Expectation("warn", "msg", "PromQL warning: odd (1:1)"),
        Expectation("no_info"),
    ]
    assert instant.expected == [((("a", "1"),), [4])]
    assert clear == Clear(10)
    assert isinstance(ranged, Case)
    assert (ranged.start_ms, ranged.end_ms, ranged.step_ms, ranged.ordered) == (0, 240_000, 120_000, True)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("lode 1m\n", 1, "is no command"),
        ("load 1m\n  up 1\n  up{ 2\n", 3, "labels of this series"),
        ("load 1m\n  up@st 1\n", 2, "start timestamps"),
        ("load 1x\n", 1, "is not a duration"),
        ("\neval instant at 1m up\n  expect luck\n", 3, "is no expectation"),
        ("eval instant at 1m up\n  up one\n", 2, "is not a value"),
        ("eval instant at 1m up\n  expect range vector from 1m to 5m step 0\n", 2, "must be positive"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as raised:
        list(read(text, "x.test"))
    (problem,) = raised.value.problems
    assert (problem.file, problem.line) == ("x.test", line)
