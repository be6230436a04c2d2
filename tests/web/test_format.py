"""Figures on pages: rounded towards caution, typographic, exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from setpoint.web import format

GAP = "\u00a0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (59.6, "1 min"),
        (1560, "26 min"),
        (3600, "1 h"),
        (13_200, "3 h 40 m"),
        (187_200, "2 d 4 h"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert format.duration(seconds).replace(GAP, " ") == text


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (1.0, "100 %"),
        (0.9999, "99 %"),
        (0.31, "31 %"),
        (0.056, "5.6 %"),
        (0.0, "0 %"),
        (-0.003, "−0.3 %"),
        (-58.5, "−5,850 %"),
    ],
)
def test_budget(left: float, text: str) -> None:
    assert format.budget(left).replace(GAP, " ") == text


@pytest.mark.parametrize(
    ("value", "target", "text"),
    [
        (0.99931, 0.999, "99.931 %"),
        (0.98609, 0.99, "98.60 %"),
        (0.99999, 0.9999, "99.999 %"),
        (0.999999999, 0.999, "99.999 %"),
        (1.0, 0.999, "100 %"),
        (0.999, 0.999, "99.900 %"),
    ],
)
def test_sli(value: float, target: float, text: str) -> None:
    assert format.sli(value, target).replace(GAP, " ") == text


@given(st.floats(0, 1, exclude_max=True), st.sampled_from([0.9, 0.99, 0.995, 0.999, 0.9999]))
def test_what_is_not_whole_never_reads_whole(value: float, target: float) -> None:
    shown = format.sli(value, target).removesuffix(f"{GAP}%")
    assert not shown.startswith("100") or value > 1 - 1e-8


@given(st.floats(-100, 1))
def test_a_budget_never_shows_more_than_is_left(left: float) -> None:
    shown = float(format.budget(left).removesuffix(f"{GAP}%").replace("−", "-").replace(",", ""))
    assert shown <= left * 100 + 1e-6


@pytest.mark.parametrize(
    ("value", "text"), [(3105, "3,105"), (4500.2, "4,500"), (0.3, "0.3"), (7.0, "7"), (-1.5, "−1.5")]
)
def test_count(value: float, text: str) -> None:
    assert format.count(value) == text


@pytest.mark.parametrize(
    ("ago_ms", "text"),
    [
        (0, "just now"),
        (12_000, "12 s ago"),
        (300_000, "5 min ago"),
        (90_000_000, "1 d ago"),
        (-7_200_000, "in 2 h"),
    ],
)
def test_relative(ago_ms: int, text: str) -> None:
    assert format.relative(10**12 - ago_ms, 10**12).replace(GAP, " ") == text


def test_time_tag_tells_the_absolute_instant() -> None:
    tag = format.time_tag(1_799_496_000_000, 1_799_496_060_000)
    assert 'datetime="2027-01-09T12:00:00.000Z"' in tag
    assert 'title="2027-01-09 12:00:00 UTC"' in tag


@pytest.mark.parametrize(
    ("seconds", "text"), [(2_592_000, "30 d"), (300, "5 min"), (21_600, "6 h"), (10, "10 s"), (90, "90 s")]
)
def test_span(seconds: int, text: str) -> None:
    assert format.span(seconds).replace(GAP, " ") == text


def test_a_message_is_said_with_its_command_as_code_and_escaped() -> None:
    assert format.said("no `a<b>`; <i>") == "No <code>a&lt;b&gt;</code>; &lt;i&gt;"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("inf"), "–"),
        (0, "0"),
        (7.25, "7.2"),
        (970, "970"),
        (999.4, "999"),
        (999.5, "1.00 k"),
        (12_400, "12.4 k"),
        (99_960, "100 k"),
        (1_204_311, "1.20 M"),
        (5e15, "5,000 T"),
        (-1500, "−1.50 k"),
    ],
)
def test_compact(value: float | None, text: str) -> None:
    assert format.compact(value).replace(GAP, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (512, "512 B"),
        (1024, "1.00 kB"),
        (1_023_000_000, "976 MB"),
        (1.5 * 2**30, "1.50 GB"),
    ],
)
def test_size(value: float | None, text: str) -> None:
    assert format.size(value).replace(GAP, " ") == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 0, "–"),
        (None, 5, "–"),
        (0, 5, "0 %"),
        (0.001, 5, "< 0.1 %"),
        (2, 5, "40 %"),
        (1, 30, "3.3 %"),
        (5, 9, "56 %"),
        (999, 1000, "99 %"),
        (5, 5, "100 %"),
        (6, 5, "120 %"),
    ],
)
def test_share(part: float | None, whole: float, text: str) -> None:
    assert format.share(part, whole).replace(GAP, " ") == text


@given(st.text())
def test_a_breakable_name_is_itself_without_its_breaks(name: str) -> None:
    shown = format.breakable(name)
    assert shown.replace("<wbr>", "") == Markup.escape(name)
