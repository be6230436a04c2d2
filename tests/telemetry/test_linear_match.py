"""The automaton for dangerous expressions says what `re` says, also where `re` would take for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.telemetry.linear_match import Automaton, is_dangerous
from setpoint.telemetry.match import value_test
from setpoint.telemetry.model import Matcher

PIECES = (
    "a", "b", "A", ".", ".*", "a+", "|", "(", ")", "(?:", "(?i:", "[ab]", "[^a]", "[a-c]", "*", "+", "?", "{2}",
    "{1,3}", "{2,}", "*?", r"\d", r"\W", r"\.", "é", "[\\d_]", "^", "$",
)  # fmt: skip
expressions = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
texts = st.lists(st.sampled_from("abcABé1._\n "), max_size=8).map("".join)


@pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")
@settings(max_examples=2000, deadline=None)
@given(expressions, st.lists(texts, min_size=1, max_size=8))
def test_it_says_what_re_says(expression: str, some: list[str]) -> None:
    try:
        pattern = re.compile(expression, re.DOTALL | re.ASCII)
        automaton = Automaton(pattern)
    except (re.error, InvalidInput):
        return
    plain = re.compile(expression.replace("$", r"\Z"), re.DOTALL | re.ASCII)
    assert [automaton.fullmatch(text) for text in some] == [
        plain.fullmatch(text) is not None for text in some
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+b",
        "([a-z_]+)+X",
        "(a|aa)+$",
        "(.*)*x",
        "(a*)*b",
        ".*[ab].*[ab].*[ab].*c",
        "(?i)(x+x+)+y",
        "((a{0,20}){20})b",
    ],
)
def test_what_would_take_for_ever_ends(expression: str) -> None:
    test = value_test(Matcher("a", "=~", expression))
    assert not test.accepts("a" * 4000 + "!")
    assert not test.accepts("x" * 4000 + "!")


@pytest.mark.parametrize(
    ("expression", "dangerous"),
    [
        ("api-[a-z]+-(eu|us)", False),
        ("^(5..|4[0-9]{2})$", False),
        (".*[0-9]+", False),
        ("(a+)+", True),
        ("(ab|a)*", True),
        (".*[a].*[b].*", True),
    ],
)
def test_what_counts_as_dangerous(expression: str, dangerous: bool) -> None:
    assert is_dangerous(re.compile(expression)) == dangerous


def test_what_is_too_large_or_has_edges_inside_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too large"):
        value_test(Matcher("a", "=~", "(((a{0,50}){0,50}){0,50})*"))
    with pytest.raises(InvalidInput, match="word's edge"):
        value_test(Matcher("a", "=~", r"(a+\b)+"))
    assert value_test(Matcher("a", "=~", "^(.*a.*[0-9].*|b)$")).accepts("xa1")
