"""Which selectors share a request, and that what comes back holds what each of them selects."""

from __future__ import annotations

from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.promql.selector import read_selector
from setpoint.telemetry.datasource.selectors import Selector, cover, gather, show, union
from setpoint.telemetry.match import matches
from setpoint.telemetry.model import Matcher


def selector(text: str) -> Selector:
    return frozenset(read_selector(text))


def test_the_weaker_covers_the_stronger() -> None:
    total, good = selector('hits{job="a"}'), selector('hits{job="a",code!~"5.."}')
    other = selector('hits{job="b",code!~"5.."}')
    assert cover([total, good, other]) == {total: total, good: total, other: other}
    everything = selector("hits")
    assert set(cover([total, good, other, everything]).values()) == {everything}


def test_a_thousand_jobs_are_twenty_requests() -> None:
    wanted = [selector(f'hits{{job="job-{at}",env="prod"}}') for at in range(1000)]
    groups = gather(wanted, 50)
    assert len(groups) == 20
    assert sorted(map(show, (one for group in groups for one in group))) == sorted(map(show, wanted))
    assert all(len(show(union(group))) < 4500 for group in groups)


def test_names_are_not_joined_and_long_values_end_a_group() -> None:
    assert len(gather([selector("a"), selector("b")], 50)) == 2
    assert len(gather([selector(f'a{{x="{letter * 1500}"}}') for letter in "abcde"], 50)) == 3
    assert gather([selector('a{x="1"}'), selector('a{x="2"}')], 1) == [
        [selector('a{x="1"}')],
        [selector('a{x="2"}')],
    ]


def test_shown_so_that_every_server_reads_it() -> None:
    found = show(
        frozenset({Matcher("__name__", "=", "a"), Matcher("http.x", "=", 'q"\\\n'), Matcher("b", "!=", "")})
    )
    assert found == '{__name__="a",b!="","http.x"="q\\"\\\\\\n"}'


VALUES = st.text(alphabet='ab.*|()[]\\^$+?{}-"é\n', max_size=4)
OPERATORS: tuple[Literal["=", "!="], ...] = ("=", "!=")
MATCHERS = st.builds(Matcher, st.sampled_from(["x", "y"]), st.sampled_from(OPERATORS), VALUES)
SELECTORS = st.frozensets(MATCHERS, max_size=3).map(lambda some: some | {Matcher("__name__", "=", "m")})


@settings(max_examples=200, deadline=None)
@given(st.lists(SELECTORS, min_size=1, max_size=8), st.lists(st.tuples(VALUES, VALUES), max_size=8))
def test_whatever_is_selected_is_asked_for(wanted: list[Selector], series: list[tuple[str, str]]) -> None:
    roots = cover(wanted)
    groups = gather(list(dict.fromkeys(roots.values())), 3)
    requests = {one: union(group) for group in groups for one in group}
    for x, y in series:
        labels = {"__name__": "m", "x": x, "y": y}
        for one in wanted:
            if matches(tuple(one), labels):
                request = requests[roots[one]]
                assert matches(tuple(request), labels)
                # What is written reads back as the same.
                assert frozenset(read_selector(show(request))) == request
