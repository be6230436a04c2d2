"""Is a request from whom it says: keys compared in constant time, signatures made over the body and the time.

Two signatures are understood: ours, `X-Setpoint-Signature: t=<Unix seconds>,v1=<hex>`, the HMAC-SHA256 of
`<t>.<body>`, which Setpoint's own webhooks send; and Grafana's, `X-Grafana-Alerting-Signature: <hex>` over the body
or, with a header for the time, over `<time>:<body>`. A signature with a time is good for five minutes, so that who
caught a request cannot send it again tomorrow.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from setpoint.errors import Forbidden

__all__ = ["GRAFANA_HEADER", "OUR_HEADER", "is_same", "key_of", "verify_signature"]

OUR_HEADER = "x-setpoint-signature"
GRAFANA_HEADER = "x-grafana-alerting-signature"
_GOOD_S = 300
_DIGITS_MOST = 12


def is_same(given: str, secret: str) -> bool:
    """Compare by hash and in constant time, so that neither content nor length shows in the time it takes."""
    hashes = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, secret)]
    return hmac.compare_digest(*hashes)


def key_of(authorization: str, query: Mapping[str, str]) -> str:
    """The key that a request gives: a bearer token, the password of Basic, `?key=` or `?access_token=` in the URL."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return query.get("key", "") or query.get("access_token", "")


def verify_signature(
    headers: Mapping[str, str], body: bytes, secret: str, now_s: int, timestamp_header: str = ""
) -> bool:
    """Whether the body is signed with the secret; False where no signature is given. `headers` have lower-case names;
    `timestamp_header` is the one that Grafana was told to send. Raises Forbidden for a forged or an old signature.
    """
    if OUR_HEADER in headers:
        parts = dict(part.partition("=")[::2] for part in headers[OUR_HEADER].replace(" ", "").split(","))
        at, given = parts.get("t", ""), parts.get("v1", "")
        signed = f"{at}.".encode("utf-8", "replace") + body
    elif GRAFANA_HEADER in headers:
        given = headers[GRAFANA_HEADER].strip()
        at = headers.get(timestamp_header.lower(), "").strip() if timestamp_header else ""
        if timestamp_header and not at:
            raise Forbidden(f"the request is signed without {timestamp_header}; let Grafana send that header")
        signed = f"{at}:".encode("utf-8", "replace") + body if timestamp_header else body
    else:
        return False
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    if not is_same(given.lower(), expected):
        raise Forbidden(
            "the signature is not of this body and this source's key; check the secret on both sides"
        )
    is_timed = OUR_HEADER in headers or bool(timestamp_header)
    if is_timed and not _is_recent(at, now_s):
        raise Forbidden(
            "the signature is older than 5 minutes, or its time is no time; check the sender's clock"
        )
    return True


def _is_recent(at: str, now_s: int) -> bool:
    if not at.isascii() or not at.isdigit() or len(at) > _DIGITS_MOST:
        return False
    return abs(now_s - int(at)) <= _GOOD_S
