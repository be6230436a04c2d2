"""A cache is bounded by bytes, and finds only what is still true; one thread at a time makes what is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.cache import Cache, Turns


@dataclass(frozen=True)
class Entry:
    size_bytes: int
    state: int = 0
    age_s: Callable[[], float] = lambda: 0.0


def cache(limit_bytes: int = 100, entry_part: int = 4, life_s: float = 60.0) -> Cache[Any, Entry]:
    return Cache(limit_bytes, entry_part, life_s)


def test_what_is_kept_is_found_until_the_state_changes() -> None:
    kept, one = cache(), Entry(10)
    kept.keep("a", one)
    assert kept.find("a", 0) is kept.peek("a") is one
    assert kept.find("b", 0) is kept.peek("b") is None
    assert kept.size_bytes == 10
    assert kept.find("a", 1) is None
    assert kept.peek("a") is None
    assert kept.size_bytes == 0


def test_what_is_old_is_not_found() -> None:
    age = [60.0]
    kept = cache()
    kept.keep("a", Entry(10, age_s=lambda: age[0]))
    assert kept.find("a", 0)
    age[0] = 60.5
    assert kept.peek("a")
    assert kept.find("a", 0) is None
    assert kept.size_bytes == 0


def test_what_is_over_gives_its_memory_back() -> None:
    kept = cache()
    kept.keep("true", Entry(10, state=1))
    kept.keep("of another state", Entry(10))
    kept.keep("old", Entry(10, state=1, age_s=lambda: 61.0))
    kept.expire(1)
    assert kept.size_bytes == 10
    assert kept.find("true", 1)
    kept.drop("true")
    kept.drop("true")
    assert kept.size_bytes == 0


def test_what_is_too_large_is_not_kept_and_what_was_there_stays() -> None:
    kept, small = cache(), Entry(25)
    kept.keep("a", small)
    kept.keep("a", Entry(26))
    assert kept.find("a", 0) is small


def test_the_one_that_was_not_asked_for_longest_goes_first() -> None:
    kept = cache()
    for key in "abcd":
        kept.keep(key, Entry(25))
    assert kept.find("a", 0)
    kept.keep("e", Entry(25))
    assert [key for key in "abcde" if kept.peek(key)] == ["a", "c", "d", "e"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.sampled_from(["keep", "drop", "find"]))))
def test_its_size_is_that_of_its_entries_and_bounded(steps: list[tuple[int, int, str]]) -> None:
    kept = cache()
    for key, number, step in steps:
        if step == "keep":
            kept.keep(key, Entry(number, state=number % 2))
        elif step == "drop":
            kept.drop(key)
        else:
            kept.find(key, number % 2)
        held = [entry.size_bytes for entry in map(kept.peek, range(6)) if entry]
        assert kept.size_bytes == sum(held) <= 100


def test_who_asks_alike_waits_for_its_turn() -> None:
    turns, seen, looked = Turns(60.0), ["made"], threading.Event()

    def ask() -> None:
        with turns.turn("a", looked.set):
            seen.append("found")

    with turns.turn("a"):
        other = threading.Thread(target=ask)
        other.start()
        assert looked.wait(30)
        seen.append("kept")
    other.join(30)
    assert seen == ["made", "kept", "found"]


def test_nobody_waits_longer_than_its_patience() -> None:
    turns = Turns(0.01)
    with turns.turn("a"), turns.turn("a"):
        pass
    with turns.turn("a"):
        pass


def test_who_looks_may_give_up_and_leaves_the_turn_to_its_owner() -> None:
    turns, looks = Turns(60.0), []

    def look() -> None:
        looks.append(1)
        if len(looks) == 2:
            raise TimeoutError

    with turns.turn("a"):
        with pytest.raises(TimeoutError), turns.turn("a", look):
            pytest.fail("it was not its turn")
        assert len(looks) == 2
    with turns.turn("a", look):
        assert len(looks) == 2, "a free turn is taken at once"
