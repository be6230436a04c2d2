"""Expressions as globs and as `re`, case by case the same; and which of them avoid `re`."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.telemetry.match import matches, predicate, value_test
from setpoint.telemetry.model import Matcher
from setpoint.telemetry.table.glob_kernels import match_globs
from setpoint.telemetry.table.matching import _match_globs
from setpoint.telemetry.table.symbols import Texts, encode

PIECES = (
    "a", "b", "ab", "é", "\n", ".", ".*", ".+", "|", "(", ")", "(?:", "^", "$", "\\.", "\\-", "\\\\", "\\", "\\|",
    "\\d", "*", "+", "?", "{2}", "{", "[ab]", "[|]", "[", "]", " ", "\\$", "-", "(?i)", "\\é", "\U0001f600",
)  # fmt: skip
expressions = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
values = st.lists(
    st.sampled_from(("a", "b", "A", "é", "\n", ".", "|", "\\", "$", "-", "1", "\U0001f600")), max_size=6
).map("".join)


@pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")
@settings(max_examples=1500, deadline=None)
@given(expressions, st.lists(values, min_size=1, max_size=10), st.sampled_from(("=~", "!~")))
def test_an_expression_means_what_it_means_to_re(
    expression: str, some: list[str], op: Literal["=~", "!~"]
) -> None:
    assume("(?i)" not in expression[1:])  # RE2 takes flags anywhere, see below
    try:
        test = value_test(Matcher("a", op, expression))
    except InvalidInput:
        return
    compiled = re.compile(expression, re.DOTALL | re.ASCII)  # whatever has a meaning is valid here as well
    wanted = [(compiled.fullmatch(value) is not None) == (op == "=~") for value in some]
    assert [test.accepts(value) for value in some] == wanted
    assert all(value.startswith(test.prefix) for value in some if compiled.fullmatch(value))
    blob, offsets = encode(some)
    texts = Texts(blob, offsets[:-1].copy(), np.diff(offsets).astype(np.int32))
    if test.search is None:
        found = [value in test.texts for value in some]
        if test.globs:
            found = (np.array(found) | _match_globs(test.globs, texts)).tolist()
        assert [one != test.negated for one in found] == wanted


@pytest.mark.parametrize(
    ("expression", "accepted", "refused"),
    [
        ("((?i)PRO).*", ("pro1", "PRo"), ("xpro",)),
        ("a(?i)b|c", ("ab", "aB", "C"), ("Ab", "AC")),
        ("(a(?i)b|c)d", ("aBd", "Cd"), ("aBD", "Abd")),
        ("[(?i)]a", ("ia", "?a"), ("iA",)),
        (r"\((?i)a", ("(A",), ("A",)),
        ("(?i)a(?-i)b", ("Ab",), ("AB",)),
    ],
)
def test_flags_last_to_the_end_of_their_group(
    expression: str, accepted: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    test = value_test(Matcher("a", "=~", expression))
    assert [value for value in (*accepted, *refused) if test.accepts(value)] == list(accepted)


@pytest.mark.parametrize(
    ("expression", "texts", "globs"),
    [
        ("shop", {"shop"}, []),
        ("shop|till", {"shop", "till"}, []),
        ("(shop|till|)", {"shop", "till", ""}, []),
        ("^(?:shop|till)$", {"shop", "till"}, []),
        (r"10\.0\.0\.1:9100", {"10.0.0.1:9100"}, []),
        (r"a\|b", {"a|b"}, []),
        (".*", set(), [(("", ""), (False,))]),
        (".+", set(), [(("", ""), (True,))]),
        ("web-.*", set(), [(("web-", ""), (False,))]),
        (r".*\.svc", set(), [(("", ".svc"), (False,))]),
        (".*err.*|till", {"till"}, [(("", "err", ""), (False, False))]),
        ("^a.+b.*c$", set(), [(("a", "b", "c"), (True, False))]),
    ],
)
def test_common_shapes_need_no_re(
    expression: str, texts: set[str], globs: list[tuple[tuple[str, ...], tuple[bool, ...]]]
) -> None:
    test = value_test(Matcher("a", "=~", expression))
    assert test.search is None
    assert test.texts == texts
    assert [(glob.texts, glob.gaps) for glob in test.globs] == globs


@pytest.mark.parametrize(
    ("expression", "prefix"),
    [
        ("web-[0-9]+", "web-"),
        (r"10\.0\.\d+", "10.0."),
        ("web-?[0-9]", "web"),
        ("web(a|b[c])", ""),
        ("ab[|]", "ab"),
        ("(?i)web.", ""),
        ("a{2}", ""),
        ("^ab.", "ab"),
        ("[ab]c", ""),
    ],
)
def test_what_needs_re_is_asked_only_of_values_with_its_beginning(expression: str, prefix: str) -> None:
    test = value_test(Matcher("a", "=~", expression))
    assert test.search is not None
    assert test.prefix == prefix


@pytest.mark.parametrize(
    "expression", ["(", "a(?=b)", "a**", "a.**", ".*+", "a|*", "\\", "a\\", r"\1", r"a\Z", "(a"]
)
def test_what_is_invalid_stays_invalid(expression: str) -> None:
    with pytest.raises(InvalidInput):
        predicate(Matcher("a", "=~", expression))


def test_a_missing_label_is_the_empty_string() -> None:
    assert matches([Matcher("a", "=", ""), Matcher("b", "!=", "x"), Matcher("c", "=~", ".*")], {})
    assert not matches([Matcher("a", "!=", "")], {})


def test_the_compiled_glob_stays_within_the_value() -> None:
    data = np.frombuffer(b"abcabc", np.uint8).copy()
    texts = np.frombuffer(b"abca", np.uint8).copy()
    offsets, gaps, bounds = np.array([0, 2, 4]), np.array([0, 0]), np.array([0, 2])
    starts, lengths = np.array([0, 3], np.int64), np.array([3, 3], np.int32)
    assert match_globs(texts, offsets, gaps, bounds, data, starts, lengths).tolist() == [False, False]
