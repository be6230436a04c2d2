"""Reads `global` and `receivers`: every channel with what `global` gives merged in.

Each value is checked by the type that `kinds` has for it. Relative names of files are made whole with the folder of
the configuration (Alertmanager does so for templates and TLS, and takes the others from where it was started).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from setpoint.alert.route.hide import hidden_url
from setpoint.alert.route.kinds import GLOBAL, KINDS, SHARED, Kind
from setpoint.alert.route.model import Integration, Receiver
from setpoint.errors import InvalidInput, Problem
from setpoint.resource.duration import duration_ms
from setpoint.resource.fields import Fields

__all__ = ["Reading", "read_global", "read_receivers"]

_TRUE = ("true", "yes", "on", "y")
_FALSE = ("false", "no", "off", "n")
_SPAN = re.compile(r"[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_SECRET_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_URL = re.compile(r"https?://[^/\s?#]+[^\s]*")
_DEFAULTS: Mapping[str, Any] = {
    "resolve_timeout": "5m",
    "smtp_hello": "localhost",
    "smtp_require_tls": True,
    "pagerduty_url": "https://events.pagerduty.com/v2/enqueue",
    "opsgenie_api_url": "https://api.opsgenie.com/",
    "wechat_api_url": "https://qyapi.weixin.qq.com/cgi-bin/",
    "victorops_api_url": "https://alert.victorops.com/integrations/generic/20131114/alert/",
    "telegram_api_url": "https://api.telegram.org",
    "webex_api_url": "https://webexapis.com/v1/messages",
    "rocketchat_api_url": "https://open.rocket.chat/",
    "slack_app_url": "https://slack.com/api/chat.postMessage",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one file needs: the folder that relative names begin at (None: they stay as they are), which kinds
    can be sent (None: all), whether it is a resource, which must not hold secrets, and warnings, which are added to.
    """

    folder: Path | None = None
    sendable: Collection[str] | None = None
    is_resource: bool = False
    warnings: list[Problem] = field(default_factory=list)

    def file_name(self, name: str) -> str:
        """A name of a file as it can be opened."""
        return name if self.folder is None or not name else str(self.folder / name)

    def warn(self, fields: Fields, message: str, *names: str | int) -> None:
        """Note something that is read, but does less than is written."""
        self.warnings.append(Problem(message, fields.file, fields.line_of(*names)))


def read_global(document: Fields, reading: Reading) -> dict[str, Any]:
    """The fields of `global`, with Alertmanager's defaults."""
    fields = document.below("global")
    written = {} if fields is None else _settings(fields, GLOBAL, reading)
    tokens, addresses = (
        [name for name in written if name in (f"slack_{one}", f"slack_{one}_file")]
        for one in ("app_token", "api_url")
    )
    if fields is not None and tokens and addresses and written.get("slack_api_url") != _slack_url(written):
        told = f"at most one of {tokens[0]} & {addresses[0]} must be configured; remove one"
        fields.report(told, addresses[0])
    return {**_DEFAULTS, **written}


def _slack_url(written: Mapping[str, Any]) -> Any:
    return written.get("slack_app_url", _DEFAULTS["slack_app_url"])


def read_receivers(document: Fields, defaults: Mapping[str, Any], reading: Reading) -> dict[str, Receiver]:
    """The receivers by name."""
    found: dict[str, Receiver] = {}
    for fields in document.items("receivers"):
        fields.only(("name", "labels", *(f"{kind}_configs" for kind in KINDS)))
        name = fields.text("name")
        if not name:
            fields.report("missing name in receiver; write one under 'name'", "name")
            continue
        if name in found:
            fields.report(
                f"notification config name '{name}' is not unique; give each receiver its own", "name"
            )
            continue
        fields.pairs("labels")
        integrations = [
            one
            for kind, known in KINDS.items()
            for index, below in enumerate(_channels(fields, kind))
            if (one := _integration(below, (kind, index), known, defaults, reading)) is not None
        ]
        found[name] = Receiver(name, tuple(integrations))
    return found


def _channels(fields: Fields, kind: str) -> list[Fields]:
    return list(fields.items(f"{kind}_configs"))


def _integration(
    fields: Fields, key: tuple[str, int], known: Kind, defaults: Mapping[str, Any], reading: Reading
) -> Integration | None:
    kind, index = key
    before = len(fields.problems)
    settings = _settings(fields, known.fields, reading)
    _inherit(kind, settings, known, defaults)
    for names in known.needs:
        if not any(settings.get(name) not in (None, "") for name in names):
            of_global = [known.inherits[name] for name in names if name in known.inherits]
            also = f", or {' or '.join(of_global)} under global" if of_global else ""
            fields.report(
                f"one of {', '.join(names)} must be configured{also}"
                if len(names) > 1
                else f"{names[0]} is missing; write it{also}"
            )
    if reading.sendable is not None and kind not in reading.sendable:
        reading.warn(
            fields,
            f"Setpoint cannot send to {kind}_configs yet; nothing reaches this channel. Add one of "
            f"{', '.join(f'{one}_configs' for one in sorted(reading.sendable))} beside it",
        )
    if len(fields.problems) > before:
        return None
    send_resolved = settings.pop("send_resolved", known.send_resolved)
    return Integration(kind, index, bool(send_resolved), settings)


def _inherit(kind: str, settings: dict[str, Any], known: Kind, defaults: Mapping[str, Any]) -> None:
    """Take from `global` what is not written, neither as text nor as a file."""
    own_token = {"app_token", "app_token_file", "api_url"} & settings.keys() or "authorization" in (
        settings.get("http_config") or {}
    )
    for name, of_global in known.inherits.items():
        if name in settings or f"{name}_file" in settings or (name == "app_token" and own_token):
            continue
        for mine, theirs in ((name, of_global), (f"{name}_file", f"{of_global}_file")):
            if mine in known.fields and theirs in defaults:
                settings[mine] = defaults[theirs]
    if kind == "slack" and ({"app_token", "app_token_file"} & settings.keys()):
        settings.pop("api_url_file", None)
        settings["api_url"] = settings["app_url"]


def _settings(fields: Fields, types: Mapping[str, str], reading: Reading) -> dict[str, Any]:
    """What is written in a section, checked."""
    fields.only(tuple(types))
    found: dict[str, Any] = {}
    for name, of_type in types.items():
        if not fields.has(name) or (reading.is_resource and _is_out_of_place(fields, name, of_type)):
            continue
        value = _value(fields, name, of_type, reading)
        if value is not None:
            found[name] = value
    for name in types:
        if f"{name}_file" in types and found.get(name) and found.get(f"{name}_file"):
            fields.report(
                f"at most one of {name} & {name}_file must be configured; remove one", f"{name}_file"
            )
    return found


def _is_out_of_place(fields: Fields, name: str, of_type: str) -> bool:
    """Whether something stands in a resource that must not: a secret, or a file outside the secrets folder."""
    if of_type == "file":
        if _SECRET_FILE.fullmatch(fields.text(name)):
            return False
        fields.report(
            f"'{fields.text(name)[:80]}' is no file of the secrets folder; write its name there, such as pager.key "
            "(the folder is the server's setting secrets)",
            name,
        )
        return True
    is_address = (fields.place[-2:-1] == ("webhook_configs",) and name == "url") or of_type in (
        "url",
        "proxy",
    )
    if is_address:
        text = fields.text(name)
        is_secret = hidden_url(text) != text
    else:
        value = fields.value(name)
        is_secret = of_type.startswith("secret") or name == "proxy_connect_header"
        is_secret = is_secret or (name in ("http_headers", "sigv4") and "secret" in str(value))
    if is_secret:
        fields.report(
            "a secret does not belong into a resource, which pages, diffs and the timeline show; put it into a file "
            f"of the server's secrets folder and write {name}_file: NAME",
            name,
        )
    return is_secret


def _value(fields: Fields, name: str, of_type: str, reading: Reading) -> Any:
    if of_type in SHARED:
        below = fields.below(name)
        return None if below is None else _settings(below, SHARED[of_type], reading)
    if of_type in ("pairs", "texts"):
        return fields.pairs(name) if of_type == "pairs" else fields.texts(name)
    if of_type in ("list", "map", "any"):
        value = fields.value(name)
        if isinstance(value, {"list": list, "map": dict}.get(of_type, object)):
            return value
        fields.report(f"a {'list' if of_type == 'list' else 'mapping'} is expected here", name)
        return None
    if of_type in ("whole", "integer"):
        return _whole(fields, name, of_type)
    return _read(fields, name, of_type, fields.text(name), reading)


def _read(fields: Fields, name: str, of_type: str, text: str, reading: Reading) -> Any:
    """Text as its type has it; None, and a problem, where it is none."""
    if of_type == "flag":
        if text.lower() not in (*_TRUE, *_FALSE):
            fields.report("true or false is expected here", name)
            return None
        return text.lower() in _TRUE
    fault = ""
    if of_type == "duration":
        try:
            duration_ms(text)
        except InvalidInput as error:
            fault = error.message
    elif of_type == "span" and not _SPAN.fullmatch(text):
        fault = f"'{text[:80]}' is not a duration; write one such as 10s or 1m30s"
    elif of_type in ("url", "secret_url") and "{{" not in text and not _URL.fullmatch(text):
        is_own = name == "url" and of_type == "secret_url" and "://" in text  # Apprise has schemes of its own
        fault = "" if is_own and fields.place[-2:-1] == ("apprise_configs",) else _URL_FAULT
    elif of_type == "address" and not re.fullmatch(r"(\[[^\]]*\]|[^:\s]*):[^:\s]+", text):
        fault = f"'{text[:80]}' is not an address; write HOST:PORT, such as mail.example.com:587"
    if fault:
        fields.report(fault, name)
        return None
    return reading.file_name(text) if of_type == "file" else text


_URL_FAULT = "this is no URL; write one that begins with http:// or https:// and names a host"


def _whole(fields: Fields, name: str, of_type: str) -> int | None:
    value = fields.value(name)
    if isinstance(value, bool) or not isinstance(value, int) or (of_type == "whole" and value < 0):
        fields.report(
            "a whole number from 0 is expected here"
            if of_type == "whole"
            else "a whole number is expected here",
            name,
        )
        return None
    return value
