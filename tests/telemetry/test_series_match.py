"""Who matches, against a list: any matchers over series that come, go and come back, in Prometheus's order."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.telemetry.columns import label_key
from setpoint.telemetry.model import Labels, Matcher
from setpoint.telemetry.series_table import SeriesTable
from setpoint.telemetry.table import answers, pairs, rows, symbols
from tests.telemetry.naive import EXPRESSIONS, NAMES, VALUES, accepted, label_sets, series

MORE_EXPRESSIONS = (
    *EXPRESSIONS, ".*a", "a.+", ".+b", ".*a.*", "a.*|b", "(a|b|)", "(?:ab|é).*", "a\\\\.*", "it's|q\"", "^a|b$",
    ".*\\{value_0.*", "(a|.*b)", ".+a.*", "()", "[a]b?", "a+", ".*[ab].*[^c]*.*", "(a+)+b", "([ab]*)*a",
)  # fmt: skip

queries = st.lists(
    st.builds(Matcher, st.sampled_from(NAMES), st.sampled_from(("=", "!=")), st.sampled_from(VALUES))
    | st.builds(
        Matcher, st.sampled_from(NAMES), st.sampled_from(("=~", "!~")), st.sampled_from(MORE_EXPRESSIONS)
    ),
    max_size=3,
)
steps = st.lists(
    st.tuples(st.just("add"), st.sets(st.integers(0, 19), max_size=12))
    | st.tuples(st.just("remove"), st.sets(st.integers(0, 19), max_size=12))
    | st.tuples(st.just("compact"), st.just(0)),
    min_size=1,
    max_size=8,
)


def expected(held: dict[int, Labels], query: list[Matcher]) -> list[Labels]:
    return sorted((labels for labels in held.values() if accepted(query, labels)), key=label_key)


@settings(max_examples=400, deadline=None)
@given(
    universe=st.lists(
        label_sets, min_size=20, max_size=20, unique_by=lambda labels: tuple(sorted(labels.items()))
    ),
    changes=steps,
    asked=st.lists(queries, min_size=1, max_size=4),
    is_tidy=st.booleans(),
)
def test_answers_follow_the_series(
    universe: list[dict[str, str]], changes: list[Any], asked: list[list[Matcher]], is_tidy: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if is_tidy:  # waste is cleared away at once
            for part in (pairs, rows, symbols):
                patch.setattr(part, "_WASTE_MIN", 0)
        _follow(universe, changes, asked)


def _follow(universe: list[dict[str, str]], changes: list[Any], asked: list[list[Matcher]]) -> None:
    table = SeriesTable()
    held: dict[int, Labels] = {}
    for kind, places in changes:
        if kind == "add":
            lease = table.lease()
            some = [series(universe[place]) for place in sorted(places, reverse=True)]
            for ref, one in zip(table.resolve(some, lease).tolist(), some, strict=True):
                assert held.setdefault(ref, one.labels) == one.labels
            lease.release()
        elif kind == "remove":
            gone = [ref for ref, labels in held.items() if universe.index(dict(labels)) in places]
            assert sorted(table.remove(gone).tolist()) == sorted(gone)
            for ref in gone:
                del held[ref]
        else:
            table.compact()
        for query in asked:
            refs, labels = table.match_labels(query)
            assert list(labels) == expected(held, query)
            assert [held[ref] for ref in refs.tolist()] == list(labels)
            assert table.match(query).tolist() == refs.tolist()
    assert table.size == len(held)
    assert table.labels_of(list(held)) == tuple(held.values())
    assert table.label_names() == sorted({name for labels in held.values() for name in labels})
    for name in NAMES:
        assert table.label_values(name) == sorted({one[name] for one in held.values() if name in one})


texts = st.text(st.sampled_from("\0\x01aAzé€\U0001f600"), max_size=20)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.dictionaries(texts, texts, min_size=1, max_size=4),
        min_size=2,
        max_size=30,
        unique_by=lambda labels: tuple(sorted(labels.items())),
    ),
    st.integers(0, 30),
)
def test_the_order_is_that_of_label_key_for_any_text(universe: list[dict[str, str]], cut: int) -> None:
    table = SeriesTable()
    lease = table.lease()
    table.resolve([series(labels) for labels in universe[:cut]], lease)
    table.match([])
    table.resolve([series(labels) for labels in universe[cut:]], lease)
    assert list(table.match_labels([])[1]) == sorted(universe, key=label_key)
    fresh = SeriesTable()
    fresh.resolve([series(labels) for labels in universe], fresh.lease())
    assert list(fresh.match_labels([])[1]) == sorted(universe, key=label_key)


def many(count: int, first: int = 0) -> list[dict[str, str]]:
    return [
        {"__name__": f"m{n % 7}", "pod": f"pod-{n * 7919 % 100_003}", "zone": "ab"[n % 2]}
        for n in range(first, first + count)
    ]


def test_more_series_than_are_looked_through_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_LOOKED_THROUGH", 100)
    monkeypatch.setattr(rows, "_LOG_MAX", 1000)
    table = SeriesTable()
    held: dict[int, Labels] = {}
    query = [Matcher("pod", "=~", "pod-1.*"), Matcher("__name__", "!=", "m3"), Matcher("zone", "=", "a")]
    for first, count in ((0, 500), (500, 50), (550, 1200), (1750, 1), (1751, 5000)):
        lease = table.lease()
        some = many(count, first)
        held.update(zip(table.resolve([series(one) for one in some], lease).tolist(), some, strict=True))
        lease.release()
        assert list(table.match_labels(query)[1]) == expected(held, query)
        gone = sorted(held)[: count // 3]
        table.remove(gone)
        for ref in gone:
            del held[ref]
        assert list(table.match_labels(query)[1]) == expected(held, query)


def test_a_kept_answer_shares_its_labels_with_the_one_after_a_change() -> None:
    table = SeriesTable()
    lease = table.lease()
    table.resolve([series(one) for one in many(100)], lease)
    query = [Matcher("zone", "=", "a")]
    before = {id(labels) for labels in table.match_labels(query)[1]}
    table.resolve([series(one) for one in many(10, 100)], lease)
    after = table.match_labels(query)[1]
    assert len(after) == 55
    assert before < {id(labels) for labels in after}


def test_what_is_kept_of_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_LABELS_MAX", 150)
    monkeypatch.setattr(answers, "_ANSWERS_MAX", 20)
    table = SeriesTable()
    table.resolve([series(one) for one in many(200)], table.lease())
    assert len(table.match_labels([])[1]) == 200
    small = table.memory_bytes["answers"]
    for zone in "ab":
        assert len(table.match_labels([Matcher("zone", "=", zone)])[1]) == 100
    for number in range(100):
        table.match([Matcher("pod", "!=", str(number))])
    assert table.memory_bytes["answers"] < small + 20 * (500 + 4 * 200) + 150 * 400


@pytest.mark.parametrize("expression", ["(", "a(?=b)", "*", "a**", "[b-a]", r"(a)\1"])
def test_a_bad_expression_is_refused_with_a_reason(expression: str) -> None:
    table = SeriesTable()
    with pytest.raises(InvalidInput, match="regular expression"):
        table.match([Matcher("job", "=~", expression)])


def test_more_conditions_than_fit_into_a_byte() -> None:
    table = SeriesTable()
    refs = table.resolve([series(one) for one in many(100)], table.lease())
    query = [Matcher("pod", "!=", f"pod-{n * 7919 % 100_003}") for n in range(20)]
    assert sorted(table.match(query).tolist()) == sorted(refs[20:].tolist())


def test_answers_are_right_while_series_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers on threads see each series that stays, none twice, and only series that match."""
    monkeypatch.setattr(symbols, "_WASTE_MIN", 64)
    table = SeriesTable()
    lease = table.lease()
    staying = [{"__name__": "stays", "pod": f"pod-{n}", "zone": "a"} for n in range(300)]
    table.resolve([series(one) for one in staying], lease)
    lease.release()
    stop, faults = threading.Event(), []

    def read(expression: str) -> None:
        query = [Matcher("pod", "=~", expression), Matcher("zone", "=", "a")]
        wanted = {label_key(one) for one in staying}
        asked = 0
        while not stop.is_set() or asked < 3:
            asked += 1
            refs, labels = table.match_labels([*query, Matcher(f"none{asked % 3}", "=", "")])
            keys = [label_key(one) for one in labels]
            if not wanted <= set(keys) or sorted(keys) != keys or len(set(keys)) < len(keys):
                faults.append(f"{len(keys)} series")
            if len(set(refs.tolist())) < len(refs) or any(one["zone"] != "a" for one in labels):
                faults.append("a series that does not match, or one twice")

    readers = [threading.Thread(target=read, args=(one,)) for one in ("pod.*", "p[o]d-.*", ".+")]
    for reader in readers:
        reader.start()
    try:
        for turn in range(60):
            brief = table.lease()
            coming = [
                {"__name__": "comes", "pod": f"pod-{turn % 3}-{n}", "zone": "ab"[n % 2], "turn": f"{turn}"}
                for n in range(200)
            ]
            refs = table.resolve([series(one) for one in coming], brief)
            brief.release()
            assert len(table.remove(refs)) == 200
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not faults
    assert table.size == 300
    assert np.array_equal(np.sort(table.match([])), np.sort(table.match([Matcher("zone", "=", "a")])))
