"""Reads the JSON that a Prometheus-compatible server answers: to a range selector raw samples by series, to the
expression of a rule a value by series.

Whatever is not exactly of that form is refused as a whole: half of the samples would be counted as a calm service.
So are answers that say themselves that they are partial (`isPartial` of VictoriaMetrics, warnings of Thanos and of
remote storages).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from setpoint.errors import Unavailable

__all__ = ["Answer", "RemoteSeries", "VectorAnswer", "read_answer", "read_vector", "said_by"]

_SAID_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class RemoteSeries:
    """`times_ms` int64[k] strictly ascending, `values` float64[k], k > 0."""

    labels: Mapping[str, str]
    times_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answer:
    """The series with samples, how large the answer was, and how many series hold native histograms only."""

    series: Sequence[RemoteSeries]
    size_bytes: int
    histograms: int

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(len(one.times_ms) for one in self.series)


@dataclass(frozen=True, slots=True)
class VectorAnswer:
    """Labels and value of each series of an instant query, and how large the answer was."""

    series: Sequence[tuple[Mapping[str, str], float]]
    size_bytes: int

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.series)


def read_answer(body: bytes, start_ms: int, end_ms: int) -> Answer:
    """The samples with start_ms < t <= end_ms; servers differ in whether the beginning belongs to a range.

    Raises Unavailable for anything that is not the complete answer to a range selector.
    """
    given = _complete(body)
    data = given.get("data")
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(result, list):
        raise Unavailable(f"its answer holds no samples of a range ({_shown(body)})")
    try:
        found = [_series(one, start_ms, end_ms) for one in result]
    except (TypeError, ValueError, KeyError, OverflowError, IndexError, AttributeError) as error:
        raise Unavailable(f"its answer is malformed: {_line(str(error))}") from error
    return Answer(
        [one for one in found if one is not None],
        len(body),
        sum("values" not in one for one in result),
    )


def read_vector(body: bytes) -> VectorAnswer:
    """The values of an instant query. Raises Unavailable for anything that is not its complete answer, and for native
    histograms, which cannot be read here.
    """
    data = _complete(body).get("data")
    kind = data.get("resultType") if isinstance(data, dict) else None
    try:
        if kind == "scalar":
            return VectorAnswer([({}, _number(data["result"][1]))], len(body))  # type: ignore[index]
        if kind == "vector":
            return VectorAnswer([_value(one) for one in data["result"]], len(body))  # type: ignore[index]
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise Unavailable(f"its answer is malformed: {_line(str(error))}") from error
    raise Unavailable(f"its answer holds no values of series ({_shown(body)})")


def _complete(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"its answer is no JSON ({_shown(body)})") from error
    if not isinstance(given, dict) or given.get("status") != "success":
        raise Unavailable(f"it answered an error with HTTP status 200: {said_by(body) or _shown(body)}")
    if given.get("isPartial"):
        raise Unavailable("it answered partial data: some of its storage does not answer")
    if warnings := given.get("warnings"):
        raise Unavailable(f"it warns that data is missing: {_line(str(warnings))}")
    return given


def _value(given: Mapping[str, Any]) -> tuple[Mapping[str, str], float]:
    labels = given["metric"]
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        _malformed("labels must be text")
    if "value" not in given:
        _malformed(
            "native histograms of another server are not read; take a number of them, as histogram_count()"
        )
    return {name: value for name, value in labels.items() if value}, _number(given["value"][1])


def _series(given: Mapping[str, Any], start_ms: int, end_ms: int) -> RemoteSeries | None:
    labels, pairs = given["metric"], given.get("values", ())
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        _malformed("labels must be text")
    times = np.round(np.array([pair[0] for pair in pairs], np.float64) * 1000)
    values = np.array([_number(pair[1]) for pair in pairs], np.float64)
    if not np.isfinite(times).all():
        _malformed("a timestamp is no number")
    inside = (times > start_ms) & (times <= end_ms)
    if not inside.any():
        return None
    times_ms, values = times[inside].astype(np.int64), values[inside]
    if (np.diff(times_ms) <= 0).any():
        _malformed("timestamps do not ascend")
    return RemoteSeries({name: value for name, value in labels.items() if value}, times_ms, values)


def _number(given: Any) -> float:
    if not isinstance(given, str):
        _malformed("values must be text")
    return float(given)


def _malformed(sentence: str) -> NoReturn:
    raise ValueError(sentence)


def said_by(body: bytes) -> str:
    """What a server said in the body of an error, on one line; empty when it said nothing."""
    try:
        given = json.loads(body)
        if isinstance(given, dict) and isinstance(given.get("error"), str):
            return _line(given["error"])
    except (ValueError, RecursionError):
        pass
    text = body[:2000].decode("utf-8", "replace")
    return "" if "<html" in text.lower() or "<!doctype" in text.lower() else _line(text)


def _line(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _SAID_CHARACTERS])
    line = " ".join(printable.split())
    return line if len(line) <= _SAID_CHARACTERS else line[: _SAID_CHARACTERS - 1] + "…"


def _shown(body: bytes) -> str:
    """The beginning of a body, for a message."""
    return f"{len(body):,} bytes, {_line(body[:60].decode('utf-8', 'replace'))!r}" if body else "it is empty"
