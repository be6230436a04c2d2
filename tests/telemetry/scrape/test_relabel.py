"""Relabelling, action by action; the results are those of Prometheus's own table of cases (relabel_test.go)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from setpoint.telemetry.scrape.relabel import Rule, relabel

ABC = {"a": "foo", "b": "bar", "c": "baz"}


def run(labels: dict[str, str], *rules: dict[str, Any]) -> dict[str, str] | None:
    """The labels afterwards, or None when they are dropped."""
    left = dict(labels)
    return left if relabel(left, [Rule.model_validate(rule) for rule in rules]) else None


@pytest.mark.parametrize(
    ("labels", "rules", "expected"),
    [
        (
            ABC,
            [{"source_labels": ["a"], "regex": "f(.*)", "target_label": "d", "replacement": "ch${1}-ch${1}"}],
            ABC | {"d": "choo-choo"},
        ),
        (
            ABC,
            [
                {"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "a", "replacement": "b${1}${2}m"},
                {"source_labels": ["c", "a"], "regex": "(b).*b(.*)ba(.*)", "target_label": "d",
                 "replacement": "$1$2$2$3"},
            ],
            {"a": "boobam", "b": "bar", "c": "baz", "d": "boooom"},
        ),
        (
            {"a": "foo"},
            [
                {"source_labels": ["a"], "regex": ".*o.*", "action": "drop"},
                {"source_labels": ["a"], "regex": "f(.*)", "target_label": "d", "replacement": "ch$1-ch$1"},
            ],
            None,
        ),
        ({"a": "foo", "b": "bar"}, [{"source_labels": ["a"], "regex": ".*o.*", "action": "drop"}], None),
        ({"a": "abc"}, [{"source_labels": ["a"], "regex": ".*(b).*", "target_label": "d", "replacement": "$1"}],
         {"a": "abc", "d": "b"}),
        ({"a": "foo"}, [{"source_labels": ["a"], "regex": "no-match", "action": "drop"}], {"a": "foo"}),
        ({"a": "foo"}, [{"source_labels": ["a"], "regex": "f|o", "action": "drop"}], {"a": "foo"}),
        ({"a": "foo"}, [{"source_labels": ["a"], "regex": "no-match", "action": "keep"}], None),
        ({"a": "foo"}, [{"source_labels": ["a"], "regex": "f.*", "action": "keep"}], {"a": "foo"}),
        ({"a": "boo"}, [{"source_labels": ["a"], "regex": "f", "target_label": "b", "replacement": "bar"}],
         {"a": "boo"}),
        ({"a": "foo", "b": "bar"}, [{"target_label": "a", "replacement": ""}], {"b": "bar"}),
        (ABC, [{"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000}],
         ABC | {"d": "976"}),
        ({"a": "foo\nbar"}, [{"source_labels": ["a"], "target_label": "b", "action": "hashmod", "modulus": 1000}],
         {"a": "foo\nbar", "b": "734"}),
        (
            {"a": "foo", "b1": "bar", "b2": "baz"},
            [{"regex": "(b.*)", "replacement": "bar_${1}", "action": "labelmap"}],
            {"a": "foo", "b1": "bar", "b2": "baz", "bar_b1": "bar", "bar_b2": "baz"},
        ),
        (
            {"a": "foo", "__meta_my_bar": "aaa", "__meta_my_baz": "bbb", "__meta_other": "ccc"},
            [{"regex": "__meta_(my.*)", "replacement": "${1}", "action": "labelmap"}],
            {"a": "foo", "__meta_my_bar": "aaa", "__meta_my_baz": "bbb", "__meta_other": "ccc", "my_bar": "aaa",
             "my_baz": "bbb"},
        ),
        (
            {"a": "some-name-value"},
            [{"source_labels": ["a"], "regex": "some-([^-]+)-([^,]+)", "replacement": "${2}", "target_label": "${1}"}],
            {"a": "some-name-value", "name": "value"},
        ),
        (
            {"a": "some-name-"},
            [{"source_labels": ["a"], "regex": "some-([^-]+)-([^,]*)", "replacement": "${2}", "target_label": "${3}"}],
            {"a": "some-name-"},
        ),
        ({"a": "foo", "b1": "bar", "b2": "baz"}, [{"regex": "(b.*)", "action": "labelkeep"}],
         {"b1": "bar", "b2": "baz"}),
        ({"a": "foo", "b1": "bar", "b2": "baz"}, [{"regex": "(b.*)", "action": "labeldrop"}], {"a": "foo"}),
        (
            {"foo": "bAr123Foo"},
            [{"source_labels": ["foo"], "target_label": "foo_upper", "action": "uppercase"},
             {"source_labels": ["foo"], "target_label": "foo_lower", "action": "lowercase"}],
            {"foo": "bAr123Foo", "foo_upper": "BAR123FOO", "foo_lower": "bar123foo"},
        ),
        ({"__tmp_port": "1234", "__port1": "1234", "__port2": "5678"},
         [{"source_labels": ["__tmp_port"], "target_label": "__port1", "action": "keepequal"}],
         {"__tmp_port": "1234", "__port1": "1234", "__port2": "5678"}),
        ({"__tmp_port": "1234", "__port1": "1234"},
         [{"source_labels": ["__tmp_port"], "target_label": "__port1", "action": "dropequal"}], None),
        ({"__tmp_port": "1234", "__port2": "5678"},
         [{"source_labels": ["__tmp_port"], "target_label": "__port2", "action": "keepequal"}], None),
        ({"a": "x"}, [{"regex": "", "replacement": "static", "target_label": "b"}], {"a": "x", "b": "static"}),
        ({"a": "x"}, [{"source_labels": ["a"], "regex": "", "replacement": "y", "target_label": "b"}], {"a": "x"}),
        ({"a": "x"}, [{"replacement": "static", "target_label": "b"}], {"a": "x", "b": "static"}),
        ({"a": "1", "b": "2"}, [{"source_labels": ["a", "b"], "separator": "", "target_label": "c"}],
         {"a": "1", "b": "2", "c": "12"}),
        ({"a": "ab"}, [{"source_labels": ["a"], "regex": "(?P<n>.)(.)", "target_label": "b",
                        "replacement": "$n-${n}x-$2x-$$-${9}-$-${"}], {"a": "ab", "b": "a-ax--$--$-${"}),
        ({"a": "x\ny"}, [{"source_labels": ["a"], "regex": "x.y", "action": "keep"}], {"a": "x\ny"}),
        ({"a": "straße"}, [{"source_labels": ["a"], "target_label": "b", "action": "uppercase"}],
         {"a": "straße", "b": "STRAßE"}),
    ],
)  # fmt: skip
def test_cases(labels: dict[str, str], rules: list[dict[str, Any]], expected: dict[str, str] | None) -> None:
    assert run(labels, *rules) == expected


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "hashmod", "target_label": "a"}, {"action": "replace"}, {"action": "lowercase"},
        {"action": "lowercase", "target_label": "a", "replacement": "x"}, {"regex": "("}, {"regex": "a(?=b)"},
        {"action": "keepequal", "target_label": "a", "regex": "x"}, {"action": "labeldrop", "source_labels": ["a"]},
        {"action": "labelmap", "replacement": ""}, {"action": "none"}, {"modulus": -1}, {"labels": []},
    ],
)  # fmt: skip
def test_rules_that_cannot_work_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rule.model_validate(rule)
