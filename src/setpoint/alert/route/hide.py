"""A configuration as it may be shown: secrets are `<secret>`, whoever looks.

What is a secret is told by the type of its field (`kinds`) and, wherever it stands, by its name, so that one in a
section that nobody described is not shown either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from setpoint.alert.route.kinds import KINDS

__all__ = ["SECRET", "hidden", "hidden_url"]

SECRET = "<secret>"
"""What stands in the place of a secret, as in Alertmanager."""

_NAMES = re.compile(
    r"(?:.*_)?(?:password|secret|secrets|token|token_id|api_key|apikey|credentials|routing_key|service_key|user_key"
    r"|key|secret_key|access_key|client_certificate_key|webhook_url|slack_api_url|passphrase)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s]*@")
_WEB = re.compile(r"(?P<scheme>https?://)(?:[^/?#\s]*@)?(?P<host>[a-zA-Z0-9.:\[\]_-]+)(?=[/?#]|$)")


def hidden(body: Any) -> Any:
    """What YAML read, without its secrets."""
    if not isinstance(body, Mapping):
        return _hidden(body, {})
    shown = {}
    for name, value in body.items():
        if name == "receivers" and isinstance(value, list):
            shown[name] = [_receiver(one) for one in value]
        else:
            shown[name] = _hidden(value, {})
    return shown


def hidden_url(text: str) -> str:
    """A URL without the user and password in it."""
    return _PASSWORD.sub(lambda found: f"{found['scheme']}{SECRET}@", text)


def _receiver(body: Any) -> Any:
    if not isinstance(body, Mapping):
        return _hidden(body, {})
    shown = {}
    for name, value in body.items():
        kind = KINDS.get(str(name).removesuffix("_configs"))
        fields = {} if kind is None else kind.fields
        shown[name] = (
            [_hidden(one, fields) for one in value] if isinstance(value, list) else _hidden(value, {})
        )
    return shown


def _hidden(value: Any, types: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _in_place_of(str(name), below)
            if _is_secret(str(name), below, types)
            else _hidden(below, {})
            for name, below in value.items()
        }
    if isinstance(value, list):
        return [_hidden(one, {}) for one in value]
    return hidden_url(value) if isinstance(value, str) else value


def _in_place_of(name: str, value: Any) -> str:
    """What stands in the place of a secret. The host of a URL stays: older versions of amtool want one there."""
    found = _WEB.match(value) if isinstance(value, str) and name.endswith("url") else None
    return f"{found['scheme']}{found['host']}/{SECRET}" if found else SECRET


def _is_secret(name: str, value: Any, types: Mapping[str, str]) -> bool:
    if value is None or value == "" or isinstance(value, bool):
        return False
    if types.get(name, "").startswith("secret"):
        return True
    return name not in types and _NAMES.fullmatch(name) is not None
