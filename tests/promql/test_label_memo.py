"""What is made of labels is made once per tuple, and given up when there is too much of it."""

from __future__ import annotations

from setpoint.promql.label_memo import LabelMemo


def test_the_same_tuple_gives_the_same_object() -> None:
    memo = LabelMemo()
    labels = ({"a": "1"}, {"a": "2"})
    first = memo.remembered("names", lambda: [*labels], labels)
    assert memo.remembered("names", list, labels) is first
    # Another tuple of the same labels is another question, and so is another thing to make.
    assert memo.remembered("names", lambda: ["new"], ({"a": "1"}, {"a": "2"})) == ["new"]
    assert memo.remembered("other", lambda: ["other"], labels) == ["other"]
    assert memo.remembered("names", lambda: ["both"], labels, labels) == ["both"]


def test_the_longest_unused_goes_first() -> None:
    memo = LabelMemo(series_max=10)
    vectors = [tuple({"a": str(number)} for _ in range(4)) for number in range(3)]
    for vector in vectors[:2]:
        memo.remembered("n", list, vector)
    memo.remembered("n", list, vectors[0])
    memo.remembered("n", list, vectors[2])
    assert memo.series == 8
    assert memo.remembered("n", lambda: ["again"], vectors[0]) == []
    assert memo.remembered("n", lambda: ["again"], vectors[1]) == ["again"]
    # More than half of what may be remembered is not.
    large = tuple({"a": "1"} for _ in range(6))
    memo.remembered("n", list, large)
    assert memo.remembered("n", lambda: ["again"], large) == ["again"]
