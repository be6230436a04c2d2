"""Interned strings against a dictionary: uses, reuse of numbers, renumbering, any text."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry.table.symbols import Symbols, encode

texts = st.lists(st.text("aéb\0\U0001f600", max_size=18), max_size=12)


def make() -> Symbols:
    return Symbols(np.array([1, 2], np.uint64))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("hold", "release", "compact")), texts), max_size=10))
def test_equals_a_dictionary(steps: list[tuple[str, list[str]]]) -> None:
    symbols, uses = make(), dict[str, int]()
    for kind, some in steps:
        if kind == "hold":
            symbols.hold(symbols.intern(*encode(some)))
            for text in some:
                uses[text] = uses.get(text, 0) + 1
        elif kind == "release":
            held = [text for text in dict.fromkeys(some) if text in uses]
            symbols.release(symbols.find(held))
            for text in held:
                uses[text] -= 1
            uses = {text: count for text, count in uses.items() if count}
        else:
            before = symbols.find(list(uses))
            renumbered = symbols.compact()
            assert sorted(renumbered[before].tolist()) == list(range(len(uses)))
            assert renumbered[before].tolist() == symbols.find(list(uses)).tolist()
        assert len(symbols) == len(uses)
        assert symbols.texts(symbols.find(list(uses))).decode() == list(uses)
        assert (symbols.find([text for text in some if text not in uses]) == -1).all()


def test_lone_surrogates_are_texts_too() -> None:
    symbols = make()
    ids = symbols.intern(*encode(["\ud800", "\udc00", "\ud800\udc00"]))
    symbols.hold(ids)
    assert len(set(ids.tolist())) == 3
    assert symbols.texts(ids).decode() == ["\ud800", "\udc00", "\ud800\udc00"]


def test_what_was_copied_out_stays_readable_while_strings_go() -> None:
    symbols = make()
    names = [f"pod-{number}" for number in range(1000)]
    ids = symbols.intern(*encode(names))
    symbols.hold(ids)
    held = symbols.texts(ids)
    symbols.release(ids[10:])
    symbols.hold(symbols.intern(*encode([f"other-{number}" for number in range(1000)])))
    symbols.compact()
    assert held.decode() == names
