"""The text formats: what is read of a body, what is refused and where, beside prometheus_client's own parsers."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from setpoint.errors import InvalidInput
from setpoint.telemetry.scrape.exposition import (
    NO_TIME,
    Samples,
    is_openmetrics,
    key_of,
    read_exemplar,
    read_labels,
    read_metadata,
    read_samples,
)

SECRET = np.array([11, 22, 33, 44], np.uint64)


def scanned(text: str | bytes, *, openmetrics: bool = False) -> Samples:
    body = text.encode() if isinstance(text, str) else text
    return read_samples(body, openmetrics=openmetrics, secret=SECRET)


def lines(text: str | bytes, *, openmetrics: bool = False) -> list[tuple[dict[str, str], float, int | None]]:
    """Labels, value and time in ms of every sample."""
    found = scanned(text, openmetrics=openmetrics)
    return [
        (
            read_labels(found.series(row), openmetrics=openmetrics),
            float(found.values[row]),
            None if found.times_ms[row] == NO_TIME else int(found.times_ms[row]),
        )
        for row in range(len(found))
    ]


def bits(value: float) -> bytes:
    return struct.pack("<d", value) if not math.isnan(value) else b"nan"


def test_the_forms_of_a_text_line() -> None:
    text = (
        "plain 1\n"
        "  led_in\t2   1700000000123  \n"
        'with{a="b",c="d e } # { \\" \\\\ \\n \\x",} 3\n'
        'blank { a = "b" , c = "" }4\n'
        '{"utf-8 name", "odd.label"="ü"} 5\n'
        "\n   \n# a comment\n#another\n"
        "not_a_number NaN\ninf +Inf\nless -Inf\nbare inf\n"
        'two_lines{a="x\ny"} 6\n'
        "last 7"
    )
    found = lines(text)
    assert [value for _, value, _ in found[:5]] == [1, 2, 3, 4, 5]
    assert [labels for labels, _, _ in found[:5]] == [
        {"__name__": "plain"},
        {"__name__": "led_in"},
        {"__name__": "with", "a": "b", "c": 'd e } # { " \\ \n \\x'},
        {"__name__": "blank", "a": "b", "c": ""},
        {"__name__": "utf-8 name", "odd.label": "ü"},
    ]
    assert found[1][2] == 1_700_000_000_123
    assert math.isnan(found[5][1])
    assert [value for _, value, _ in found[6:9]] == [math.inf, -math.inf, math.inf]
    assert found[9][0]["a"] == "x\ny"
    assert found[10] == ({"__name__": "last"}, 7.0, None)


def test_the_forms_of_an_openmetrics_line() -> None:
    text = (
        "# TYPE a counter\n# UNIT b_seconds seconds\n# HELP a text\n"
        "a_total 1\n"
        'a_total{x="1"} 2.5e3 1700000000.123\n'
        'a_bucket{le="1.0"} 3 # {trace_id="abc"} 0.5 1700000000.5\n'
        'a_bucket{le="2.0"} 4 1.5 # {} 0.25\n'
        '{"a.b",x="1"} 5 -1.5\n'
        "# EOF\n"
    )
    found = scanned(text, openmetrics=True)
    assert found.values.tolist() == [1, 2500, 3, 4, 5]
    assert found.times_ms.tolist() == [NO_TIME, 1_700_000_000_123, NO_TIME, 1500, -1500]
    assert found.timed == 3
    assert [row for row, _, _ in found.exemplars.tolist()] == [2, 3]
    told = [read_exemplar(found.body, start, end) for _, start, end in found.exemplars.tolist()]
    assert told == [({"trace_id": "abc"}, 0.5, 1_700_000_000_500), ({}, 0.25, None)]
    assert scanned("# EOF", openmetrics=True).values.tolist() == []
    assert lines(text, openmetrics=True)[4][0] == {"__name__": "a.b", "x": "1"}


def test_metadata() -> None:
    text = "# HELP a one \\\\ two\\n three\n# TYPE a counter\n#  TYPE\tb untyped\n# HELP c\na 1\n# TYPO a\n"
    told = read_metadata(scanned(text), openmetrics=False)
    assert [(one.metric, one.type, one.help) for one in told] == [
        ("a", "counter", "one \\ two\n three"), ("b", "unknown", ""), ("c", "unknown", ""),
    ]  # fmt: skip
    modern = '# TYPE a_s gauge\n# UNIT a_s s\n# HELP a_s say \\"hi\\"\n# TYPE "x.y" info\n# EOF\n'
    told = read_metadata(scanned(modern, openmetrics=True), openmetrics=True)
    assert [(one.metric, one.type, one.unit, one.help) for one in told] == [
        ("a_s", "gauge", "s", 'say "hi"'), ("x.y", "info", "", ""),
    ]  # fmt: skip
    digests = [scanned(f"# HELP a {word}\na 1\n").comments_key for word in ("x", "x", "y")]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a 1\nb\n", 2, "no value"),
        ("a 1\nb \n", 2, "no value"),
        ("a{ 1\n", 1, "not closed"),
        ('a{b="c} 1\n', 1, "not closed"),
        ("a 1 2 3\n", 1, "behind a sample"),
        ("a 1 x\n", 1, "timestamp"),
        ("a 1 -5\n", 1, "timestamp"),
        ("a 1 1.5\n", 1, "timestamp"),
        ("a 1 99999999999999999999\n", 1, "timestamp"),
        ("a one\n", 1, "no number"),
        ("a 0x1p3\n", 1, "no number"),
        ("a 1_000\n", 1, "no number"),
        ("a +nan1\n", 1, "no number"),
        ("a 1e\n", 1, "no number"),
        ("a 1\r\n", 1, "no number"),
        ("\n\n a 1\nb{c} d\n", 4, "no number"),
    ],
)
def test_a_fault_in_the_text_is_told_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        scanned(text)
    assert caught.value.message.startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a 1\n", 1, "end is missing"),
        ("a 1\n# EOF\nb 2\n", 3, "behind a sample"),
        ("a 1\n# EOF\n\n", 3, "behind a sample"),
        ("\n# EOF\n", 1, "neither"),
        (" a 1\n# EOF\n", 1, "neither"),
        ("a  1\n# EOF\n", 1, "no value"),
        ("a\t1\n# EOF\n", 1, "no value"),
        ("a 1 \n# EOF\n", 1, "timestamp"),
        ("a 1 2 3\n# EOF\n", 1, "behind a sample"),
        ("a 1 nan\n# EOF\n", 1, "timestamp"),
        ("a 1 # x\n# EOF\n", 1, "behind a sample"),
        ("a 1 #{} 1\n# EOF\n", 1, "behind a sample"),
        ('a{b="x\ny"} 1\n# EOF\n', 1, "not closed"),
    ],
)
def test_a_fault_in_openmetrics_is_told_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        scanned(text, openmetrics=True)
    assert caught.value.message.startswith(f"line {line}: ")


@pytest.mark.parametrize(
    "series",
    [
        '{a="b"}', '{"x",a="b","y"}', 'n{"x"}', "n{a}", "n{a=b}", 'n{a="b",a="c"}', '1n{a="b"}', "n-m", 'n{,a="b"}',
        'n{a="b"}}', 'n{a="b",,c="d"}', '{""}', "n{=\"b\"}", 'n{a="b"c="d"}', 'n{1a="b"}', 'n{""="b"}', "ü",
    ],
)  # fmt: skip
def test_a_series_that_is_not_valid_is_refused(series: str) -> None:
    with pytest.raises(ValueError, match=" "):
        read_labels(series.encode(), openmetrics=True)


def test_labels_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        read_labels(b'n{a="\xff"}', openmetrics=False)


@pytest.mark.parametrize(
    "comment",
    [
        "# TYPE a",
        "# TYPE a b",
        "# TYPE 1a counter",
        "# HELP",
        "# TYPE  a counter",
        "# UNIT a s",
        "#",
        "# hello",
    ],
)
def test_openmetrics_takes_no_other_comments(comment: str) -> None:
    with pytest.raises(InvalidInput, match=r"^line 2: "):
        read_metadata(scanned(f"a 1\n{comment}\n# EOF\n", openmetrics=True), openmetrics=True)


@pytest.mark.parametrize("comment", ["# TYPE a", "# TYPE a info", "# TYPE 1a counter", "# HELP 1a x"])
def test_a_broken_comment_in_the_text_is_refused(comment: str) -> None:
    with pytest.raises(InvalidInput, match=r"^line 2: "):
        read_metadata(scanned(f"a 1\n{comment}\n"), openmetrics=False)


@pytest.mark.parametrize(
    "exemplar",
    [
        "{",
        "{} ",
        "{}",
        "{} x",
        "{}  1",
        "{} 1 2 3",
        "{} 1 ",
        '{a="b" 1',
        "{a} 1",
        '{"a"} 1',
        "{} 1 inf",
        '{a="\xff',
    ],
)
def test_broken_exemplars_are_refused(exemplar: str) -> None:
    found = scanned(f"a 1 # {exemplar}\n# EOF\n", openmetrics=True)
    _, start, end = found.exemplars.tolist()[0]
    with pytest.raises(InvalidInput, match=r"^line 1: "):
        read_exemplar(found.body, start, end)


def test_an_exemplar_with_long_labels_is_left_out() -> None:
    body = f'{{a="{"x" * 200}"}} 1'.encode()
    assert read_exemplar(body, 0, len(body)) is None


def test_the_content_type_names_the_format() -> None:
    assert is_openmetrics("application/openmetrics-text; version=1.0.0; charset=utf-8", None)
    assert not is_openmetrics("Text/Plain;version=0.0.4", None)
    assert is_openmetrics("text/html", "OpenMetricsText1.0.0")
    assert not is_openmetrics("", "PrometheusText0.0.4")
    for content_type in ("", "text/html"):
        with pytest.raises(InvalidInput, match="fallback_scrape_protocol"):
            is_openmetrics(content_type, None)


def test_keys_differ_by_content_length_and_secret() -> None:
    texts = [b"", b"\0", b"\0\0", b"a", b"a\0", *(b"x" * size for size in range(1, 70))]
    keys = {tuple(key_of(text, SECRET).tolist()) for text in texts}
    assert len(keys) == len(texts)
    other = SECRET.copy()
    other[0] ^= np.uint64(1)
    assert key_of(b"series", SECRET).tolist() != key_of(b"series", other).tolist()
    found = scanned('b{c="d"} 1\nb 2\n')
    assert found.keys.tolist() == [key_of(text, SECRET).tolist() for text in (b'b{c="d"}', b"b")]


def number_texts() -> st.SearchStrategy[str]:
    return st.one_of(
        st.floats(allow_nan=False).map(repr),
        st.integers(-(2**70), 2**70).map(str),
        st.builds("{}.{}e{}".format, st.integers(0, 10**18), st.integers(0, 10**9), st.integers(-345, 310)),
        st.builds(
            "{}{}".format,
            st.sampled_from(["", "-", "+"]),
            st.from_regex(r"[0-9]{1,25}\.?[0-9]{0,25}", fullmatch=True),
        ),
        st.builds("{:.{}g}".format, st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 17)),
        st.builds("{:.{}e}".format, st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 25)),
        st.sampled_from(
            ["-0", "0", "-0.0", "1e400", "-1e400", "4.9e-324", "2.4e-324", "9007199254740993", ".5", "5."]
        ),
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(number_texts(), min_size=1, max_size=60))
def test_numbers_are_those_of_python_to_the_last_bit(texts: list[str]) -> None:
    found = scanned("".join(f"a {text}\n" for text in texts))
    assert [bits(value) for value in found.values.tolist()] == [bits(float(text)) for text in texts]


def test_numbers_at_halfway_points_round_as_python_does() -> None:
    rng = np.random.default_rng(5)
    texts = []
    for pattern in rng.integers(0, 0x7FE0_0000_0000_0000, 3000, np.int64).tolist():
        lower, upper = (struct.unpack("<d", struct.pack("<q", pattern + step))[0] for step in (0, 1))
        numerator, denominator = (int(part) for part in ((lower + upper) / 2).as_integer_ratio())
        if denominator < 2**60 and numerator < 10**19:
            texts.append(repr(numerator / denominator))
        texts += [f"{lower:.17g}", f"{lower:.18e}", f"{upper:.16e}"]
    found = scanned("".join(f"a {text}\n" for text in texts))
    assert [bits(value) for value in found.values.tolist()] == [bits(float(text)) for text in texts]


NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True)
LABELS = st.dictionaries(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(
        lambda name: not name.startswith("__")
    ),
    st.text(
        st.characters(codec="utf-8", exclude_characters="\0\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e\r"),
        max_size=12,
    ),
    max_size=4,
)
VALUES = st.floats(allow_nan=False)


def written(name: str, labels: dict[str, str]) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

    inside = ",".join(f'{label}="{escaped(value)}"' for label, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, LABELS, VALUES, st.none() | st.integers(0, 2**45)), max_size=8))
def test_the_text_is_read_as_prometheus_client_reads_it(
    samples: list[tuple[str, dict[str, str], float, int | None]],
) -> None:
    text = "".join(
        f"{written(name, labels)} {value!r}{'' if at_ms is None else f' {at_ms}'}\n"
        for name, labels, value, at_ms in samples
    )
    expected = sorted(
        (sample.name, sorted(sample.labels.items()), sample.value)
        for family in text_families(text)
        for sample in family.samples
    )
    found = lines(text)
    assert [at_ms for _, _, at_ms in found] == [at_ms for *_, at_ms in samples]
    got = sorted(
        (labels["__name__"], sorted((key, text) for key, text in labels.items() if key != "__name__"), value)
        for labels, value, _ in found
    )
    assert got == expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(LABELS, max_size=5, unique_by=lambda labels: str(sorted(labels.items()))),
    st.lists(st.floats(0, 1e12), min_size=5, max_size=5),
)
def test_openmetrics_is_read_as_prometheus_client_reads_it(
    sets: list[dict[str, str]], values: list[float]
) -> None:
    text = "# TYPE c counter\n# HELP c Counts.\n"
    for labels, value in zip(sets, values, strict=False):
        text += f'{written("c_total", labels)} {value!r} # {{trace="a b"}} 1.5 17.25\n'
    text += "# EOF\n"
    expected: list[Any] = [
        (sample.labels, sample.value, sample.exemplar.value, float(sample.exemplar.timestamp))
        for family in openmetrics_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    ]
    found = scanned(text, openmetrics=True)
    got = []
    for row, start, end in found.exemplars.tolist():
        labels = read_labels(found.series(row), openmetrics=True)
        del labels["__name__"]
        told = read_exemplar(found.body, start, end)
        assert told is not None
        got.append((labels, found.values[row], told[1], (told[2] or 0) / 1000))
    assert got == expected
