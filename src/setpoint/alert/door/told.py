"""What one item of a sender's body says: an alert fires, somebody acknowledged it, or it is over.

The decoders of this package make `Told`s; `keyed` turns them into alerts, which takes knowing what is open. Here, too,
are the bounds that all doors share: how many labels, how long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from setpoint.alert.door.body import fault_of
from setpoint.alert.model import Labels
from setpoint.errors import Problem

__all__ = ["Action", "Told", "faults_of", "instant_of", "is_web_address"]

Action = Literal["trigger", "acknowledge", "resolve"]

LABELS_MOST = 128
NAME_BYTES_MOST = 1024
LABEL_BYTES_MOST = 16 << 10
ANNOTATION_BYTES_MOST = 64 << 10
URL_BYTES_MOST = 32 << 10


@dataclass(frozen=True, slots=True)
class Told:
    """One item. With a `key` it means the open alert of its source that has the label `dedup_key` of that value,
    whatever its other labels; without one its labels say which alert it is. `names_itself` is False where `alertname`
    was made from a text that may read differently each time; then an open alert keeps its name. Instants are Unix
    milliseconds, None where the sender said none; `path` is where in the body it stands.
    """

    action: Action
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)
    starts_ms: int | None = None
    ends_ms: int | None = None
    key: str = ""
    generator_url: str = ""
    values: Mapping[str, float | str | None] = field(default_factory=dict)
    names_itself: bool = True
    path: str = ""


def faults_of(
    labels: Labels, annotations: Labels, generator_url: str = "", path: str = ""
) -> Iterator[Problem]:
    """What is wrong with an alert's texts: bounds that hold at every door."""
    if not labels:
        yield Problem("no label is left; send at least alertname", path=_join(path, "labels"))
    for name, texts, most in (
        ("labels", labels, LABEL_BYTES_MOST),
        ("annotations", annotations, ANNOTATION_BYTES_MOST),
    ):
        if len(texts) > LABELS_MOST:
            message = f"{len(texts):,} {name} are too many; send {LABELS_MOST} at most"
            yield Problem(message, path=_join(path, name))
            continue
        for key, text in texts.items():
            place = _join(path, f"{name}.{key[:80]}")
            if not key or len(key) > NAME_BYTES_MOST:
                yield Problem(f"a name has 1 to {NAME_BYTES_MOST} characters", path=place)
            if len(text) > most:
                yield Problem(f"{len(text):,} characters are too many; send {most:,} at most", path=place)
            fault = fault_of(key) or fault_of(text)
            if fault:
                yield Problem(fault, path=_printable(place))
    if len(generator_url) > URL_BYTES_MOST or fault_of(generator_url):
        message = f"write a web address of at most {URL_BYTES_MOST:,} characters"
        yield Problem(message, path=_join(path, "generatorURL"))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def instant_of(text: str) -> int | None:
    """An instant in RFC 3339 (without a zone: UTC) as Unix milliseconds; None for the empty text and for Go's zero
    time, the year 1. Raises ValueError.
    """
    if not text or text.startswith("0001-01-01T00:00:00"):
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        message = f"'{text[:40]}' is no instant; write one such as 2026-11-23T14:00:00Z"
        raise ValueError(message) from None
    seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return round(seconds * 1000)


def is_web_address(text: str) -> bool:
    """Whether a text may become a link on a page."""
    return text.startswith(("http://", "https://")) and len(text) <= URL_BYTES_MOST
