"""The Apprise address of an integration, and its texts: Alertmanager's settings of a channel in Apprise's words. Pure
but for the files that hold secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from setpoint.alert.notify.credential import Misconfigured, secret_of

__all__ = ["TEXTS", "Tell", "address_of"]

Tell = Callable[[str], str]
Settings = Mapping[str, Any]


def _template(name: str) -> str:
    return f'{{{{ template "{name}" . }}}}'


TEXTS: Final[Mapping[str, tuple[tuple[str, str], tuple[str, str]]]] = {
    "apprise": (("title", _template("default.title")), ("text", _template("default.message"))),
    "discord": (
        ("title", _template("discord.default.title")),
        ("message", _template("discord.default.message")),
    ),
    "mattermost": (("title", _template("default.title")), ("text", _template("mattermost.default.text"))),
    "msteams": (("title", _template("default.title")), ("text", _template("__markdown"))),
    "msteamsv2": (("title", _template("default.title")), ("text", _template("__markdown"))),
    "opsgenie": (
        ("message", _template("opsgenie.default.message")),
        ("description", _template("opsgenie.default.description")),
    ),
    "pushover": (
        ("title", _template("pushover.default.title")),
        ("message", _template("pushover.default.message")),
    ),
    "rocketchat": (
        ("title", _template("rocketchat.default.title")),
        ("text", _template("rocketchat.default.text")),
    ),
    "slack": (("title", _template("slack.default.title")), ("text", _template("slack.default.text"))),
    "sns": (("subject", _template("sns.default.subject")), ("message", _template("sns.default.message"))),
    "telegram": (("", ""), ("message", _template("telegram.default.message"))),
    "victorops": (
        ("entity_display_name", _template("victorops.default.entity_display_name")),
        ("state_message", _template("victorops.default.state_message")),
    ),
    "webex": (("", ""), ("message", _template("default.message"))),
}
"""Of each kind, the settings that hold its title and its text, and what stands in for them."""


def address_of(kind: str, settings: Settings, tell: Tell) -> str:
    """The address. Raises Misconfigured where the settings lead nowhere that Apprise can go."""
    return _BUILD[kind](settings, tell)


def _apprise(settings: Settings, _: Tell) -> str:
    return secret_of(settings, "url").splitlines()[0].strip() if secret_of(settings, "url") else ""


def _native(settings: Settings, _: Tell) -> str:
    return secret_of(settings, "webhook_url")


def _slack(settings: Settings, tell: Tell) -> str:
    channel = tell(str(settings.get("channel") or "")).lstrip("#")
    token = secret_of(settings, "app_token")
    if token:
        return f"slack://{_quoted(token)}/{_quoted('#' + channel) if channel else ''}"
    url = secret_of(settings, "api_url")
    parts = [one for one in urlsplit(url).path.split("/") if one]
    if urlsplit(url).hostname != "hooks.slack.com" or len(parts) != 4:
        raise Misconfigured("api_url is no address of a Slack webhook")
    return f"slack://{'/'.join(parts[1:])}/{_quoted('#' + channel) if channel else ''}"


def _telegram(settings: Settings, _: Tell) -> str:
    if str(settings.get("api_url") or "").rstrip("/") not in ("", "https://api.telegram.org"):
        raise Misconfigured(
            "api_url of Telegram cannot be another than https://api.telegram.org; leave it out"
        )
    chat = settings.get("chat_id") or secret_of(settings, "chat_id")
    more = {"silent": "yes"} if settings.get("disable_notifications") is True else {}
    if settings.get("message_thread_id"):
        more["topic"] = str(settings["message_thread_id"])
    return f"tgram://{quote(secret_of(settings, 'bot_token'), safe=':')}/{_quoted(str(chat))}/{_query(more)}"


def _pushover(settings: Settings, tell: Tell) -> str:
    priority = tell(
        str(settings.get("priority") or '{{ if eq .Status "firing" }}2{{ else }}0{{ end }}')
    ).strip()
    more = {"priority": priority}
    if priority == "2":
        more |= {"retry": "60", "expire": "3600"}
    if settings.get("sound"):
        more["sound"] = str(settings["sound"])
    user, token = _quoted(secret_of(settings, "user_key")), _quoted(secret_of(settings, "token"))
    return f"pover://{user}@{token}/{_quoted(str(settings.get('device') or ''))}{_query(more)}"


def _opsgenie(settings: Settings, tell: Tell) -> str:
    more = {name: tell(str(settings[name])) for name in ("priority", "entity") if settings.get(name)}
    if ".eu." in str(settings.get("api_url") or ""):
        more["region"] = "eu"
    if settings.get("tags"):
        more["tags"] = tell(str(settings["tags"]))
    return f"opsgenie://{_quoted(secret_of(settings, 'api_key'))}/{_query(more)}"


def _victorops(settings: Settings, tell: Tell) -> str:
    route = _quoted(tell(str(settings.get("routing_key") or "")))
    return f"splunk://{route}@{_quoted(secret_of(settings, 'api_key'))}"


def _sns(settings: Settings, _: Tell) -> str:
    keys: Settings = settings.get("sigv4") or {}
    topic = str(settings.get("topic_arn") or "").rpartition(":")[2]
    to = topic or str(settings.get("phone_number") or "")
    if not (keys.get("access_key") and keys.get("region") and to):
        raise Misconfigured(
            "sns needs sigv4 with access_key, secret_key and region, and topic_arn or phone_number"
        )
    parts = (keys["access_key"], secret_of(keys, "secret_key"), keys["region"], to)
    return "sns://" + "/".join(_quoted(str(one)) for one in parts)


def _mattermost(settings: Settings, tell: Tell) -> str:
    parts = urlsplit(secret_of(settings, "webhook_url"))
    path = [one for one in parts.path.split("/") if one]
    if "hooks" not in path[:-1]:
        raise Misconfigured("webhook_url is no address of a Mattermost webhook")
    scheme = "mmosts" if parts.scheme == "https" else "mmost"
    before = "".join(f"{one}/" for one in path[: path.index("hooks")])
    channel = tell(str(settings.get("channel") or "")).lstrip("#")
    return f"{scheme}://{parts.netloc}/{before}{path[-1]}{_query({'channel': channel} if channel else {})}"


def _rocketchat(settings: Settings, tell: Tell) -> str:
    parts = urlsplit(str(settings.get("api_url") or ""))
    scheme = "rockets" if parts.scheme == "https" else "rocket"
    user, token = _quoted(secret_of(settings, "token_id")), _quoted(secret_of(settings, "token"))
    channel = tell(str(settings.get("channel") or "")).lstrip("#")
    return f"{scheme}://{user}:{token}@{parts.netloc}/{_quoted('#' + channel)}?mode=token"


def _webex(settings: Settings, tell: Tell) -> str:
    config: Settings = settings.get("http_config") or {}
    token = secret_of(config.get("authorization") or {}, "credentials") or secret_of(config, "bearer_token")
    if not token:
        raise Misconfigured("webex needs http_config with authorization: the token of the bot")
    return f"wxteams://{_quoted(token)}/{_quoted(tell(str(settings.get('room_id') or '')))}"


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _query(more: Mapping[str, str]) -> str:
    return f"?{urlencode(more)}" if more else ""


_BUILD: Final[Mapping[str, Callable[[Settings, Tell], str]]] = {
    "apprise": _apprise,
    "discord": _native,
    "mattermost": _mattermost,
    "msteams": _native,
    "msteamsv2": _native,
    "opsgenie": _opsgenie,
    "pushover": _pushover,
    "rocketchat": _rocketchat,
    "slack": _slack,
    "sns": _sns,
    "telegram": _telegram,
    "victorops": _victorops,
    "webex": _webex,
}
