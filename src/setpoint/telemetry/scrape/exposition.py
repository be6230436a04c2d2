"""The text format 0.0.4 and OpenMetrics 1.0: bodies of targets to keys and values, new series to labels.

`series` reads every body with `read_samples`, whose work is done by the kernel in `scan`, and then only what
it has not seen before: `read_labels` for a new series, `read_metadata` when the comments have changed,
`read_exemplar` for a new exemplar. What is taken and what not follows Prometheus's model/textparse; a body
with one fault is refused as a whole, with the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput
from setpoint.telemetry.model import Metadata
from setpoint.telemetry.scrape import scan

__all__ = [
    "NO_TIME",
    "SAMPLES_MAX",
    "BadBody",
    "Samples",
    "broken",
    "is_openmetrics",
    "key_of",
    "read_exemplar",
    "read_labels",
    "read_metadata",
    "read_samples",
    "warm",
]

SAMPLES_MAX = 1_000_000
"""Lines of one body; more would take memory that belongs to others."""

NO_TIME = scan.NO_TIME

_EXEMPLAR_CHARACTERS_MAX = 128
_SHOWN_CHARS = 80
_TEXT_TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
_OPENMETRICS_TYPES = (
    "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown",
)  # fmt: skip
_SENTENCES = {
    scan.BAD_TOKEN: "a line begins with neither a metric's name nor a comment",
    scan.BAD_LABELS: "the labels of a series are not closed",
    scan.MISSING_VALUE: "a series has no value",
    scan.BAD_TIME: "a timestamp is not valid",
    scan.TRAILING: "something stands behind a sample that does not belong there",
    scan.MISSING_END: "the end is missing: OpenMetrics ends with '# EOF'",
    scan.TOO_MANY: f"there are more than {SAMPLES_MAX:,} lines",
}
_NUMBER = re.compile(rb"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUOTED = r'"((?:[^\\"]|\\.)*)"'
_PAIR = re.compile(rf"(?:([a-zA-Z_][a-zA-Z0-9_]*)|{_QUOTED})(?:(=){_QUOTED})?(,|(?=\}}))?", re.DOTALL)
_LOOSE_PAIR = re.compile(
    rf"[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)|{_QUOTED})[ \t]*(?:(=)[ \t]*{_QUOTED})?[ \t]*(,)?", re.DOTALL
)
_ESCAPE = re.compile(r'\\(["\\n])')
_HELP_ESCAPE = re.compile(r"\\([\\n])")
_COMMENT = re.compile(
    rf"#[ \t]+(HELP|TYPE)[ \t]+(?:{_QUOTED}|([a-zA-Z_:][a-zA-Z0-9_:]*))(?:[ \t](.*)|())", re.DOTALL
)
_ANY_COMMENT = re.compile(r"#[ \t]+(?:HELP|TYPE)[ \t]")
_OPENMETRICS_COMMENT = re.compile(
    rf"# (HELP|TYPE|UNIT) (?:{_QUOTED}|([a-zA-Z_:][a-zA-Z0-9_:]*)) (.*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Samples:
    """The n samples of a body in its order, and where the rest of it is.

    `keys` uint64[n, 2] stand for the series, `spans` int64[n, 2] are the places of their bytes in the body,
    `times_ms` int64[n] has NO_TIME where the line names none (`timed` counts the others), `values` float64[n].
    `comments` int64[c, 2] are the places of the comments and `comments_key` stands for all of them.
    `exemplars` int64[e, 3] are (row, start, end), `exemplar_keys` uint64[e, 2] stand for their bytes.
    """

    body: bytes
    keys: npt.NDArray[np.uint64]
    spans: npt.NDArray[np.int64]
    times_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    timed: int
    comments: npt.NDArray[np.int64]
    comments_key: bytes
    exemplars: npt.NDArray[np.int64]
    exemplar_keys: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.values)

    def series(self, row: int) -> bytes:
        """The bytes of a row's series."""
        start, end = self.spans[row].tolist()
        return self.body[start:end]


def is_openmetrics(content_type: str, fallback: str | None) -> bool:
    """Which format a `Content-Type` names; `fallback` is the protocol to take where it names none.

    Raises InvalidInput when neither is a text format.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media in ("application/openmetrics-text", "text/plain"):
        return media != "text/plain"
    if fallback and fallback != "PrometheusProto":
        return fallback.startswith("OpenMetrics")
    told = f"its Content-Type is '{media[:_SHOWN_CHARS]}'" if media else "it sends no Content-Type"
    raise InvalidInput(
        f"the target does not say that it answers in a text format: {told}; correct it there, or set "
        "fallback_scrape_protocol: PrometheusText0.0.4"
    )


class BadBody(InvalidInput):
    """A body that is refused as a whole; `scraped` samples came before the fault, and `kept` of them are left
    by relabelling.
    """

    def __init__(self, message: str, scraped: int = 0, kept: int | None = None) -> None:
        self.scraped, self.kept = scraped, scraped if kept is None else kept
        super().__init__(message)


def broken(body: bytes, position: int, message: str, scraped: int = 0) -> BadBody:
    """The error for a fault at a place of a body: line, message, and what stands there."""
    line = body.count(b"\n", 0, position) + 1
    start = body.rfind(b"\n", 0, position) + 1
    end = body.find(b"\n", start)
    shown = body[start : end if end >= 0 else len(body)].decode("utf-8", "replace")
    shown = "".join(character if character.isprintable() else "�" for character in shown[: _SHOWN_CHARS + 1])
    shown = shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "…"
    return BadBody(f"line {line}: {message}: {shown}" if shown else f"line {line}: {message}", scraped)


def read_samples(body: bytes, *, openmetrics: bool, secret: npt.NDArray[np.uint64]) -> Samples:
    """The samples of a body. `secret` is uint64[4]. Raises InvalidInput with the line of the first fault that
    shows without looking into series, comments and exemplars.
    """
    size = min(body.count(b"\n") + 1, SAMPLES_MAX)
    marks = size if openmetrics else 0
    rows = np.empty((size, 3), np.int64)
    keys = np.empty((size, 2), np.uint64)
    values = np.empty(size)
    comments = np.empty((size, 2), np.int64)
    slow = np.empty((2 * size, 4), np.int64)
    exemplars, exemplar_keys = np.empty((marks, 3), np.int64), np.empty((marks, 2), np.uint64)
    counts, comments_key = np.zeros(6, np.int64), secret[:2].copy()
    status = scan.scan(
        np.frombuffer(body, np.uint8), not openmetrics, secret, scan.POWERS, rows, keys, values, comments, slow,
        exemplars, exemplar_keys, counts, comments_key,
    )  # fmt: skip
    found, commented, slows, marked, timed, position = counts.tolist()
    for row, start, end, what in slow[:slows].tolist():
        if what:
            rows[row, 0] = _read_time_ms(body, start, end)
        else:
            values[row] = _read_value(body, start, end)
    if status != scan.OK:
        raise broken(body, min(position, max(0, len(body) - 1)), _SENTENCES[status], found)
    return Samples(
        body,
        keys[:found],
        rows[:found, 1:],
        rows[:found, 0],
        values[:found],
        timed,
        comments[:commented],
        comments_key.tobytes(),
        exemplars[:marked],
        exemplar_keys[:marked],
    )


def key_of(text: bytes, secret: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The key uint64[2] that `read_samples` gives to a series of these bytes."""
    key = np.empty(2, np.uint64)
    scan.hash_bytes(np.frombuffer(text, np.uint8), secret, key)
    return key


def _read_value(body: bytes, start: int, end: int) -> float:
    token = body[start:end]
    if _NUMBER.fullmatch(token) is None and token.lower() != b"nan":
        raise broken(body, start, "a value is no number")
    return float(token)


def _read_time_ms(body: bytes, start: int, end: int) -> int:
    token = body[start:end]
    seconds = float(token) if _NUMBER.fullmatch(token) else float("nan")
    if not abs(seconds) < 9e15:
        raise broken(body, start, "a timestamp is not valid")
    return int(seconds * 1000)


def read_labels(series: bytes, *, openmetrics: bool) -> dict[str, str]:
    """The labels of a series as it stands in a body, its name under `__name__`, also those without a value:
    with honor_labels they take away a target's label. Raises ValueError with what is wrong.
    """
    try:
        text = series.decode()
    except UnicodeDecodeError:
        raise ValueError("a name or label is not valid UTF-8") from None
    name = _NAME.match(text)
    position = name.end() if name else 0
    labels: dict[str, str] = {"__name__": name[0]} if name else {}
    if position == len(text) and name:
        return labels
    if not openmetrics:
        while text[position : position + 1] in (" ", "\t"):
            position += 1
    if text[position : position + 1] != "{":
        raise ValueError("a metric's name is not valid")
    _read_pairs(text, position + 1, labels, openmetrics)
    if not labels.get("__name__"):
        raise ValueError("a series has no name")
    return labels


def _read_pairs(text: str, position: int, labels: dict[str, str], openmetrics: bool) -> None:
    """Adds what stands in braces to `labels`; `text` ends with the closing one."""
    pattern = _PAIR if openmetrics else _LOOSE_PAIR
    end = len(text) - 1
    while found := pattern.match(text, position, end):
        plain, quoted, equals, value, comma = found.groups()
        label = plain if plain is not None else _unescaped(quoted)
        if equals is None:
            if plain is not None:
                raise ValueError(f"the label '{label}' has no value")
            label, value = "__name__", quoted
        if label in labels:
            raise ValueError(
                "a series has two names" if label == "__name__" else f"the label '{label}' is there twice"
            )
        if not label:
            raise ValueError("a label has an empty name")
        labels[label] = _unescaped(value)
        position = found.end()
        if openmetrics and comma is None and position < end:
            raise ValueError("a comma is missing between labels")
    if text[position:end].strip(" \t" if not openmetrics else "") or text[end] != "}":
        raise ValueError("the labels are not valid")


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text)


def read_metadata(samples: Samples, *, openmetrics: bool) -> list[Metadata]:
    """What the comments of a body say of metric families, in their order. Raises InvalidInput with the line."""
    found: dict[str, dict[str, str]] = {}
    for start, end in samples.comments.tolist():
        try:
            told = _read_comment(samples.body[start:end], openmetrics)
        except ValueError as error:
            raise broken(samples.body, start, str(error)) from error
        if told is not None:
            what, name, text = told
            found.setdefault(name, {})[what] = text
    return [
        Metadata(name, told.get("TYPE", "unknown"), told.get("UNIT", ""), told.get("HELP", ""))
        for name, told in found.items()
    ]


def _read_comment(raw: bytes, openmetrics: bool) -> tuple[str, str, str] | None:
    """What (HELP, TYPE or UNIT), of which family, and the text; None for a comment without meaning."""
    try:
        comment = raw.decode()
    except UnicodeDecodeError:
        if not openmetrics and _ANY_COMMENT.match(raw.decode("utf-8", "replace")) is None:
            return None
        raise ValueError("a comment is not valid UTF-8") from None
    found = (_OPENMETRICS_COMMENT if openmetrics else _COMMENT).fullmatch(comment)
    if found is None:
        if openmetrics or _ANY_COMMENT.match(comment):
            raise ValueError("a comment is not valid")
        return None
    what, quoted, plain, text = found.groups()[:4]
    name = plain if plain is not None else _unescaped(quoted)
    text = text or ""
    if what == "TYPE":
        text = text.strip(" \t") if not openmetrics else text
        if text not in (_OPENMETRICS_TYPES if openmetrics else _TEXT_TYPES):
            raise ValueError(f"the type '{text[:_SHOWN_CHARS]}' is not known")
        return what, name, "unknown" if text == "untyped" else text
    if what == "UNIT" and text and not name.endswith(f"_{text}"):
        raise ValueError(f"the unit '{text[:_SHOWN_CHARS]}' is no suffix of the metric's name")
    if what == "HELP" and "\\" in text:
        escape = _ESCAPE if openmetrics else _HELP_ESCAPE
        text = escape.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], text)
    return what, name, text


def read_exemplar(body: bytes, start: int, end: int) -> tuple[dict[str, str], float, int | None] | None:
    """Labels, value and time (Unix ms, if it names one) of the exemplar at `start:end` of a body; None for one
    whose labels are longer than OpenMetrics allows. Raises InvalidInput with the line.
    """
    raw = body[start:end]
    close = _closing_brace(raw)
    tokens = raw[close + 1 :].split(b" ") if close > 0 else []
    if not 2 <= len(tokens) <= 3 or tokens[0] or b"" in tokens[1:]:
        raise broken(body, start, "an exemplar is not valid")
    try:
        text = raw[: close + 1].decode()
        labels: dict[str, str] = {}
        _read_exemplar_pairs(text, labels)
    except ValueError as error:
        raise broken(body, start, f"an exemplar is not valid: {error}") from error
    offset = start + close + 2
    value = _read_value(body, offset, offset + len(tokens[1]))
    at_ms = None if len(tokens) == 2 else _read_time_ms(body, offset + len(tokens[1]) + 1, end)
    if sum(len(name) + len(text) for name, text in labels.items()) > _EXEMPLAR_CHARACTERS_MAX:
        return None
    return labels, value, at_ms


def _closing_brace(raw: bytes) -> int:
    """Where the labels that `raw` begins with are closed; -1 when they are not."""
    in_quotes, position = False, 0
    while position < len(raw):
        character = raw[position]
        if in_quotes and character == 92:
            position += 1
        elif character == 34:
            in_quotes = not in_quotes
        elif character == 125 and not in_quotes:
            return position
        position += 1
    return -1


def _read_exemplar_pairs(text: str, labels: dict[str, str]) -> None:
    _read_pairs(text, 1, labels, True)
    if "__name__" in labels:
        raise ValueError("it has a name without a value")


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    secret = np.zeros(4, np.uint64)
    read_samples(b"", openmetrics=False, secret=secret)
    key_of(b"", secret)
