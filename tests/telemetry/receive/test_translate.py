"""Names, units and labels against the tables of prometheus/otlptranslator's own tests and documentation."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.telemetry.receive.translate import (
    Kind,
    bound_text,
    label_name,
    merge_labels,
    metric_name,
    unit_name,
)

# (OpenTelemetry name, unit, kind, Prometheus name)
NAMES: list[tuple[str, str, Kind, str]] = [
    ("requests", "", "counter", "requests_total"),
    ("requests_total", "", "counter", "requests_total"),
    ("total.requests", "", "counter", "requests_total"),
    ("cpu_usage", "1", "gauge", "cpu_usage_ratio"),
    ("cpu_usage_ratio", "1", "gauge", "cpu_usage_ratio"),
    ("items", "1", "counter", "items_total"),
    ("items", "1", "updown", "items"),
    ("response_time", "ms", "gauge", "response_time_milliseconds"),
    ("memory_usage", "By", "gauge", "memory_usage_bytes"),
    ("requests", "1/s", "gauge", "requests_per_second"),
    ("throughput", "By/s", "gauge", "throughput_bytes_per_second"),
    ("speed", "m/m", "gauge", "speed_meters_per_minute"),
    ("custom_metric", "custom_unit", "gauge", "custom_metric_custom_unit"),
    ("custom_metric", "{custom}", "gauge", "custom_metric"),
    ("custom_metric", "By/{custom}", "gauge", "custom_metric_bytes"),
    ("custom_metric", "{custom}/s", "gauge", "custom_metric_per_second"),
    ("response_time_seconds", "s", "gauge", "response_time_seconds"),
    ("otelcol_process_cpu_seconds", "s", "counter", "otelcol_process_cpu_seconds_total"),
    (
        "metric__with__multiple__underscores",
        "unit__multiple__underscores",
        "gauge",
        "metric_with_multiple_underscores_unit_multiple_underscores",
    ),
    ("custom_metric", "unit@with#special/chars", "gauge", "custom_metric_unit_with_special_per_chars"),
    ("http.server.request.duration", "s", "histogram", "http_server_request_duration_seconds"),
    ("(lambda).function.executions(#)", "", "gauge", "lambda_function_executions"),
    ("system.network.dropped", "{packets}", "updown", "system_network_dropped"),
    ("system.network.dropped", "packets", "updown", "system_network_dropped_packets"),
    ("_leading.and.trailing_", "", "gauge", "leading_and_trailing"),
    ("3.requests", "", "counter", "_3_requests_total"),
    ("job:rate", "", "gauge", "job:rate"),
    ("temperature", "Cel", "gauge", "temperature_celsius"),
    ("fill", "%", "gauge", "fill_percent"),
    ("fill", "  %  ", "gauge", "fill_percent"),
    ("x", "/s", "gauge", "x_per_second"),
    ("x", "By/", "gauge", "x_bytes"),
    ("größe", "By", "gauge", "gr_e_bytes"),
]

LABELS = [
    ("http.method", "http_method"),
    ("label:with:colons", "label_with_colons"),
    ("LabelWithCapitalLetters", "LabelWithCapitalLetters"),
    ("label!with&special$chars)", "label_with_special_chars_"),
    ("label_with_foreign_characters_字符", "label_with_foreign_characters___"),
    (".foo", "key_foo"),
    ("123label", "key_123label"),
    ("_label_starting_with_underscore", "key_label_starting_with_underscore"),
    ("__label_starting_with_2underscores", "__label_starting_with_2underscores"),
    ("label__with__double__underscores", "label__with__double__underscores"),
    ("__reserved__label__name__", "__reserved__label__name__"),
    ("trailing_underscores___", "trailing_underscores___"),
]

UNITS = [
    ("s", "seconds"),
    ("By/s", "bytes_per_second"),
    ("1", ""),
    ("1/s", "per_second"),
    ("{request}", ""),
    ("requests/s", "requests_per_second"),
    ("unit@with#special/chars", "unit_with_special_per_chars"),
    ("", ""),
    ("KiBy", "kibibytes"),
    ("%", "percent"),
    ("_odd_", "odd"),
]


@pytest.mark.parametrize(("name", "unit", "kind", "expected"), NAMES)
def test_metric_names(name: str, unit: str, kind: Kind, expected: str) -> None:
    assert metric_name(name, unit, kind) == expected


@pytest.mark.parametrize(
    ("name", "kind"), [("", "gauge"), ("@#$%", "gauge"), ("ようこそ", "histogram"), ("__", "gauge")]
)
def test_a_name_of_which_nothing_is_left_is_refused(name: str, kind: Kind) -> None:
    with pytest.raises(ValueError, match="rename the metric"):
        metric_name(name, "", kind)


@pytest.mark.parametrize(("attribute", "expected"), LABELS)
def test_label_names(attribute: str, expected: str) -> None:
    assert label_name(attribute) == expected


@pytest.mark.parametrize("attribute", ["", "ようこそ", "__"])
def test_a_label_of_which_nothing_is_left_is_refused(attribute: str) -> None:
    with pytest.raises(ValueError, match="rename it"):
        label_name(attribute)


@pytest.mark.parametrize(("unit", "expected"), UNITS)
def test_unit_names(unit: str, expected: str) -> None:
    assert unit_name(unit) == expected


def test_values_of_colliding_keys_are_joined_in_the_order_of_their_keys() -> None:
    assert merge_labels([("http_method", "b"), ("http.method", "a"), ("http-method", "c")]) == {
        "http_method": "c;a;b"
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.005, "0.005"),
        (1.0, "1"),
        (10, "10"),
        (1e-7, "0.0000001"),
        (1e22, "1" + "0" * 22),
        (float("inf"), "+Inf"),
        (-2.5, "-2.5"),
    ],
)
def test_bounds_are_written_without_exponent(value: float, text: str) -> None:
    assert bound_text(value) == text


@given(
    st.text(max_size=30), st.text(max_size=15), st.sampled_from(["counter", "gauge", "histogram", "updown"])
)
def test_every_metric_name_is_valid_or_refused(name: str, unit: str, kind: Kind) -> None:
    try:
        translated = metric_name(name, unit, kind)
    except ValueError:
        return
    assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", translated)


@given(st.text(max_size=30))
def test_every_label_name_is_valid_or_refused(attribute: str) -> None:
    try:
        translated = label_name(attribute)
    except ValueError:
        return
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", translated)
    assert label_name(translated) == translated
