"""CloudEvents 1.0 over HTTP: structured, batched and binary events, each as one object of its attributes and its data,
which a mapping then reads.

What comes in is refused by the specification's rules (cloudevents/spec, http-protocol-binding and http-webhook): 415
for a form that is not understood, 400 for an event that is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from setpoint.alert.door.body import read_json, refuse
from setpoint.errors import InvalidInput

__all__ = ["UnknownForm", "read_events"]

_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_REQUIRED = ("id", "source", "type")
_NAME = re.compile(r"[a-z0-9]{1,60}", re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_HEXADECIMAL = re.compile(r"%(?![0-9a-fA-F]{2})")


class UnknownForm(InvalidInput):
    """The body is in no form that is understood; send JSON."""

    http_status = 415


def read_events(headers: Mapping[str, str], body: bytes) -> Any:
    """The event of a request, or the list of its batch. `headers` have lower-case names. Raises InvalidInput and
    UnknownForm.
    """
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == _STRUCTURED:
        return _event(read_json(body), "")
    if media == _BATCH:
        events = read_json(body)
        if not isinstance(events, list):
            refuse("a batch is a list of events: send [{…}]")
        return [_event(event, f"[{number}]") for number, event in enumerate(events)]
    if "ce-specversion" in headers:
        if media.startswith("application/cloudevents"):
            raise UnknownForm(f"'{media[:100]}' is not understood; send application/cloudevents+json")
        return _binary(headers, media, body)
    told = f"'{media[:100]}'" if media else "a request without Content-Type"
    raise UnknownForm(
        f"{told} is no CloudEvent; send {_STRUCTURED}, {_BATCH}, or the headers ce-specversion, ce-id, ce-source and "
        "ce-type with the data as body"
    )


def _event(event: Any, path: str) -> dict[str, Any]:
    if not isinstance(event, dict):
        refuse("expected an event: an object with specversion, id, source and type", path)
    place = f"{path}." if path else ""
    if event.get("specversion") != "1.0":
        refuse("only version 1.0 is understood; send specversion 1.0", f"{place}specversion")
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            refuse("is missing; an event needs specversion, id, source and type, as texts", place + name)
    for name, value in event.items():
        if name in ("data", "data_base64"):
            continue
        if not _NAME.fullmatch(name):
            refuse(f"'{name[:80]}' is no name of an attribute; they are lower-case letters and digits", path)
        if isinstance(value, dict | list):
            refuse("an attribute is a text, a number or a boolean", f"{place}{name}")
    if "data" in event and "data_base64" in event:
        refuse("an event has data or data_base64, not both", path)
    return event | {"data": _as_object(event.get("data"))}


def _binary(headers: Mapping[str, str], media: str, body: bytes) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            event[name[3:]] = _unescaped(value, name)
    if "datacontenttype" in event:
        refuse("Content-Type says what the data are; leave ce-datacontenttype out", "ce-datacontenttype")
    if body:
        event["datacontenttype"] = media
        if media in ("application/json", "text/json") or media.endswith("+json"):
            event["data"] = read_json(body)
        elif media.startswith("text/"):
            event["data"] = body.decode("utf-8", "replace").replace("\0", "")
        else:
            raise UnknownForm(f"data of '{media[:100]}' cannot be read; send application/json or text/plain")
    return _event(event, "")


def _unescaped(value: str, name: str) -> str:
    """A header's value without quotes and percent-encoding (http-protocol-binding, 3.1.3.2)."""
    plain = _QUOTED.sub(lambda found: _ESCAPED.sub(r"\1", found[1]), value)
    if _HEXADECIMAL.search(plain):
        refuse("a % stands without its two digits; percent-encode the value", name)
    try:
        text = unquote(plain, errors="strict")
    except UnicodeDecodeError:
        refuse("what is percent-encoded here is no UTF-8", name)
    if "\0" in text:
        refuse("a character NUL stands in it; leave it out", name)
    return text


def _as_object(data: Any) -> dict[str, Any]:
    """Data that a mapping can reach into: what is no object is its `value`."""
    if isinstance(data, dict):
        return data
    return {} if data is None else {"value": data}
