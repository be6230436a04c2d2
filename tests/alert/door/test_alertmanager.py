"""What Alertmanager's clients post, read as Alertmanager reads it; what was made to hurt is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.door.alertmanager import Refused, read_alerts

NOW_MS = 1_800_000_000_000
TIMEOUT_MS = 300_000


def read(value: Any) -> Any:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_alerts(body, NOW_MS, TIMEOUT_MS)


def test_only_labels_are_required() -> None:
    posted = read(
        [{"labels": {"alertname": "A", "empty": ""}, "annotations": {"note": ""}, "unknown": {"x": 1}}]
    )
    (alert,) = posted.alerts
    assert posted.faults == []
    assert alert.labels == {"alertname": "A"}
    assert alert.annotations == {"note": ""}
    assert (alert.starts_ms, alert.ends_ms, alert.is_timeout) == (NOW_MS, NOW_MS + TIMEOUT_MS, True)
    assert (alert.updated_ms, alert.source) == (NOW_MS, "alertmanager")


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        (None, None, (NOW_MS, NOW_MS + TIMEOUT_MS, True)),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", (NOW_MS, NOW_MS + TIMEOUT_MS, True)),
        ("2027-01-01T00:00:00.123456789Z", None, (1_798_761_600_123, NOW_MS + TIMEOUT_MS, True)),
        ("2027-01-01T02:00:00+02:00", "2027-01-01T00:00:01Z", (1_798_761_600_000, 1_798_761_601_000, False)),
        (None, "2027-01-01T00:00:00Z", (1_798_761_600_000, 1_798_761_600_000, False)),
    ],
)
def test_times(starts: str | None, ends: str | None, expected: tuple[int, int, bool]) -> None:
    (alert,) = read([{"labels": {"alertname": "A"}, "startsAt": starts, "endsAt": ends}]).alerts
    assert (alert.starts_ms, alert.ends_ms, alert.is_timeout) == expected


def test_of_several_alerts_the_valid_ones_count() -> None:
    good = {"labels": {"alertname": "A"}}
    backwards = {**good, "startsAt": "2026-01-02T00:00:00Z", "endsAt": "2026-01-01T00:00:00Z"}
    posted = read([good, {"labels": {}}, {"labels": {"": "x"}}, backwards, {"labels": {"alertname": "B"}}])
    assert [alert.name for alert in posted.alerts] == ["A", "B"]
    assert posted.faults == [
        "at least one label pair required",
        'invalid label set: invalid name ""',
        "start time must be before end time",
    ]


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (b"", 422, 602, "alerts in body is required"),
        (b"[{}]", 422, 602, "0.labels in body is required"),
        (b'[{"labels":{"a":"b"}},{"labels":null}]', 422, 602, "1.labels in body is required"),
        (
            b'[{"labels":{"a":"b"},"generatorURL":"::not a url"}]',
            422,
            601,
            '0.generatorURL in body must be of type uri: "::not a url"',
        ),
        (b"{}", 400, 400, "the alerts stand in a list"),
        (b"[1]", 400, 400, "[0] is no object"),
        (b'[{"labels":{"a":1}}]', 400, 400, "[0].labels.a is no text"),
        (b'[{"labels":[]}]', 400, 400, "[0].labels is no object"),
        (b'[{"labels":{"a":"b"},"startsAt":"soon"}]', 400, 400, "[0].startsAt: 'soon' is no instant"),
        (b'[{"labels":{"a":"b"},"endsAt":12}]', 400, 400, "[0].endsAt is no text"),
        (b"[{", 400, 400, "line 1, column 3"),
        (b"\xff", 400, 400, "byte 0 of the body is no UTF-8"),
        (b'[{"labels":{"a":"b"},"x":NaN}]', 400, 400, "NaN is no JSON"),
        (b'[{"labels":{"a":"b"},"x":1e999}]', 400, 400, "too large"),
        (b'[{"labels":{"a":"b"},"x":' + b"9" * 5000 + b"}]", 400, 400, "limit"),
        (b"[" * 100_000, 400, 400, "nested deeper"),
    ],
)
def test_a_body_that_cannot_be_read_changes_nothing(
    body: bytes, status: int, code: int, message: str
) -> None:
    with pytest.raises(Refused) as raised:
        read(body)
    assert (raised.value.status, raised.value.code) == (status, code)
    assert message in raised.value.message
    if status == 400:
        assert raised.value.message.startswith('parsing alerts body from "" failed, because ')


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    """vmalert sends `alertname` twice."""
    assert read(b'[{"labels":{"a":"b","a":"c"}}]').alerts[0].labels == {"a": "c"}


def test_null_is_no_alert() -> None:
    assert list(read(b"null").alerts) == []


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ({"a": "\ud800"}, "[0].labels.a: half of a surrogate pair"),
        ({"\udfff": "a"}, "half of a surrogate pair"),
        ({"a": "x\0y"}, "[0].labels.a: a character NUL"),
        ({"a": "x" * (1 << 20)}, "[0].labels.a: 1,048,576 characters are too many"),
        ({f"l{number}": "x" for number in range(100_000)}, "[0].labels: 100,000 labels are too many"),
    ],
)
def test_hostile_labels_are_refused_with_their_place(labels: dict[str, str], fault: str) -> None:
    posted = read([{"labels": labels}, {"labels": {"alertname": "good"}}])
    assert [alert.name for alert in posted.alerts] == ["good"]
    assert fault in posted.faults[0]
    posted.faults[0].encode()


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2027-01-01T00:00:00Z"),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["labels", "annotations", "startsAt", "endsAt", "generatorURL"])
                | st.text(max_size=3),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    try:
        posted = read(value)
    except Refused:
        return
    for alert in posted.alerts:
        assert alert.labels and all(alert.labels.values())
        assert alert.ends_ms is not None and alert.starts_ms <= alert.ends_ms
        json.dumps(dict(alert.labels), ensure_ascii=False).encode()
