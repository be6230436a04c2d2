"""The channels that Alertmanager's receivers have, as data: which fields each takes, of what type, which of them must
be there, and what `global` gives where they are not. Alertmanager 0.25 to 0.34, and `apprise`, which is Setpoint's own.

Types: text; secret (never shown); url and proxy (shown without a password); secret_url; file (relative to the folder of
the configuration); flag; whole (a number from 0); integer; span (a duration as Go writes it); duration (as Prometheus
does); address (HOST:PORT); pairs (names and texts); texts (a list); list and map (kept as they are); any; http, tls and
others in `SHARED` (sections). `x` and `x_file` never stand together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["GLOBAL", "KINDS", "SHARED", "Kind", "fields_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel. `inherits` names the field of `global` behind a field; of each of `needs` one must be there
    when globals are merged in.
    """

    fields: Mapping[str, str]
    send_resolved: bool = True
    inherits: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[tuple[str, ...], ...] = ()


def fields_of(text: str) -> dict[str, str]:
    """`name:type` pairs, of which a type that is left out is text."""
    found = {}
    for word in text.split():
        name, _, of_type = word.partition(":")
        found[name] = of_type or "text"
    return found


def _kind(
    text: str,
    *needs: str,
    send_resolved: bool = True,
    inherits: Mapping[str, str] | None = None,
) -> Kind:
    fields = fields_of("send_resolved:flag http_config:http " + text)
    merged = {"http_config": "http_config", **(inherits or {})}
    return Kind(fields, send_resolved, merged, tuple(tuple(one.split("|")) for one in needs))


SHARED: Mapping[str, Mapping[str, str]] = {
    "http": fields_of(
        "basic_auth:basic authorization:bearer oauth2:oauth2 bearer_token:secret bearer_token_file:file "
        "tls_config:tls follow_redirects:flag enable_http2:flag proxy_url:proxy no_proxy proxy_from_environment:flag "
        "proxy_connect_header:any http_headers:any"
    ),
    "basic": fields_of(
        "username username_file:file username_ref password:secret password_file:file password_ref"
    ),
    "bearer": fields_of("type credentials:secret credentials_file:file credentials_ref"),
    "oauth2": fields_of(
        "client_id client_secret:secret client_secret_file:file client_secret_ref scopes:texts token_url:url "
        "endpoint_params:pairs tls_config:tls proxy_url:proxy no_proxy proxy_from_environment:flag "
        "proxy_connect_header:any client_certificate_key_id client_certificate_key:secret "
        "client_certificate_key_file:file client_certificate_key_ref grant_type iss audience claims:any "
        "signature_algorithm"
    ),
    "tls": fields_of(
        "ca cert key:secret ca_file:file cert_file:file key_file:file ca_ref cert_ref key_ref server_name "
        "insecure_skip_verify:flag min_version max_version"
    ),
    "threading": fields_of("enabled:flag thread_by_date"),
}
"""Sections that several kinds have."""

GLOBAL = fields_of(
    "resolve_timeout:duration http_config:http jira_api_url:url smtp_from smtp_hello smtp_smarthost:address "
    "smtp_auth_username smtp_auth_password:secret smtp_auth_password_file:file smtp_auth_secret:secret "
    "smtp_auth_secret_file:file smtp_auth_identity smtp_require_tls:flag smtp_tls_config:tls "
    "smtp_force_implicit_tls:flag slack_api_url:secret_url slack_api_url_file:file slack_app_token:secret "
    "slack_app_token_file:file slack_app_url:url pagerduty_url:url opsgenie_api_url:url opsgenie_api_key:secret "
    "opsgenie_api_key_file:file wechat_api_url:url wechat_api_secret:secret wechat_api_secret_file:file "
    "wechat_api_corp_id victorops_api_url:url victorops_api_key:secret victorops_api_key_file:file "
    "telegram_api_url:url telegram_bot_token:secret telegram_bot_token_file:file webex_api_url:url "
    "rocketchat_api_url:url rocketchat_token:secret rocketchat_token_file:file rocketchat_token_id:secret "
    "rocketchat_token_id_file:file mattermost_webhook_url:secret_url mattermost_webhook_url_file:file"
)
"""The fields of `global`."""

_CARD = (
    "fallback color pretext author_name author_link author_icon title title_link text fields:list thumb_url footer "
    "image_url"
)

KINDS: Mapping[str, Kind] = {
    "webhook": _kind(
        "url:secret_url url_file:file max_alerts:whole timeout:span payload:any secret_file:file",
        "url|url_file",
    ),
    "email": _kind(
        "to from hello smarthost:address auth_username auth_password:secret auth_password_file:file "
        "auth_secret:secret auth_secret_file:file auth_identity headers:pairs html text require_tls:flag "
        "tls_config:tls force_implicit_tls:flag threading:threading",
        "to",
        "smarthost",
        "from",
        send_resolved=False,
        inherits={
            name: f"smtp_{name}"
            for name in (
                "smarthost",
                "from",
                "hello",
                "auth_username",
                "auth_password",
                "auth_secret",
                "auth_identity",
                "require_tls",
                "tls_config",
                "force_implicit_tls",
            )
        },
    ),
    "pagerduty": _kind(
        "service_key:secret service_key_file:file routing_key:secret routing_key_file:file url:url client client_url "
        "description details:any images:list links:list source severity class component group timeout:span",
        "routing_key|routing_key_file|service_key|service_key_file",
        "url",
        inherits={"url": "pagerduty_url"},
    ),
    "slack": _kind(
        "api_url:secret_url api_url_file:file app_token:secret app_token_file:file app_url:url channel username color "
        "title title_link pretext text message_text fields:list short_fields:flag footer fallback callback_id "
        "icon_emoji icon_url image_url thumb_url link_names:flag mrkdwn_in:texts actions:list update_message:flag "
        "timeout:span",
        "api_url|api_url_file|app_token|app_token_file",
        send_resolved=False,
        inherits={"api_url": "slack_api_url", "app_token": "slack_app_token", "app_url": "slack_app_url"},
    ),
    "opsgenie": _kind(
        "api_key:secret api_key_file:file api_url:url message description source details:pairs entity responders:list "
        "actions tags note priority update_alerts:flag",
        "api_key|api_key_file",
        inherits={"api_key": "opsgenie_api_key", "api_url": "opsgenie_api_url"},
    ),
    "victorops": _kind(
        "api_key:secret api_key_file:file api_url:url routing_key message_type state_message entity_display_name "
        "monitoring_tool custom_fields:pairs",
        "api_key|api_key_file",
        "routing_key",
        inherits={"api_key": "victorops_api_key", "api_url": "victorops_api_url"},
    ),
    "pushover": _kind(
        "user_key:secret user_key_file:file token:secret token_file:file title message url url_title device sound "
        "priority retry:span expire:span ttl:span html:flag monospace:flag",
        "user_key|user_key_file",
        "token|token_file",
    ),
    "telegram": _kind(
        "api_url:url bot_token:secret bot_token_file:file chat_id:integer chat_id_file:file "
        "message_thread_id:integer message disable_notifications:flag parse_mode",
        "bot_token|bot_token_file",
        "chat_id|chat_id_file",
        inherits={"api_url": "telegram_api_url", "bot_token": "telegram_bot_token"},
    ),
    "wechat": _kind(
        "api_secret:secret api_secret_file:file corp_id message api_url:url to_user to_party to_tag agent_id "
        "message_type",
        "api_secret|api_secret_file",
        "corp_id",
        send_resolved=False,
        inherits={
            "api_secret": "wechat_api_secret",
            "corp_id": "wechat_api_corp_id",
            "api_url": "wechat_api_url",
        },
    ),
    "sns": _kind(
        "api_url sigv4:map topic_arn phone_number target_arn subject message attributes:pairs "
        "use_aws_http_client:flag",
        "topic_arn|phone_number|target_arn",
    ),
    "discord": _kind(
        "webhook_url:secret_url webhook_url_file:file content title message username avatar_url",
        "webhook_url|webhook_url_file",
    ),
    "webex": _kind("api_url:url message room_id", "room_id", inherits={"api_url": "webex_api_url"}),
    "msteams": _kind(
        "webhook_url:secret_url webhook_url_file:file title summary text", "webhook_url|webhook_url_file"
    ),
    "msteamsv2": _kind(
        "webhook_url:secret_url webhook_url_file:file title text", "webhook_url|webhook_url_file"
    ),
    "jira": _kind(
        "api_url:url api_type project summary:any description:any labels:texts priority issue_type reopen_transition "
        "resolve_transition wont_fix_resolution reopen_duration:duration fields:map custom_fields:map",
        "api_url",
        "project",
        "issue_type",
        inherits={"api_url": "jira_api_url"},
    ),
    "rocketchat": _kind(
        "api_url:url token_id:secret token_id_file:file token:secret token_file:file channel color title title_link "
        "text fields:list short_fields:flag emoji icon_url image_url thumb_url link_names:flag actions:list",
        "token_id|token_id_file",
        "token|token_file",
        send_resolved=False,
        inherits={
            "api_url": "rocketchat_api_url",
            "token": "rocketchat_token",
            "token_id": "rocketchat_token_id",
        },
    ),
    "mattermost": _kind(
        f"webhook_url:secret_url webhook_url_file:file channel username {_CARD} footer_icon icon_url icon_emoji "
        "attachments:list type props:map priority:map",
        "webhook_url|webhook_url_file",
        inherits={"webhook_url": "mattermost_webhook_url"},
    ),
    "incidentio": _kind(
        "url:url url_file:file alert_source_token:secret alert_source_token_file:file max_alerts:whole timeout:span",
        "url|url_file",
    ),
    "apprise": _kind("url:secret_url url_file:file title text", "url|url_file"),
}
"""Every kind of channel, by the name of its section without `_configs`."""
