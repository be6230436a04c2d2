"""Values in HTML are escaped for where they stand, as Go's html/template does it: labels come from anywhere, and a mail
must not run what a label says.

The text of the template is followed as a browser would read it (between tags, in an attribute, in a URL, in a style, in
a script); each value is escaped for that place. Comments of the template are left out, as in Go. What `safeHtml` and
`safeUrl` return stays as it is where it may.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from setpoint.alert.template.run import Writer
from setpoint.alert.template.values import shown

__all__ = ["HtmlWriter", "SafeHtml", "SafeUrl"]

Place = Literal["text", "tag", "attribute", "comment", "element"]
Kind = Literal["plain", "url", "style", "script"]

_ESCAPES = {
    "\0": "\ufffd", '"': "&#34;", "&": "&amp;", "'": "&#39;", "+": "&#43;", "<": "&lt;", ">": "&gt;",
}  # fmt: skip
_UNQUOTED = _ESCAPES | {
    "\0": "&#xfffd;", "\t": "&#9;", "\n": "&#10;", "\v": "&#11;", "\f": "&#12;", "\r": "&#13;", " ": "&#32;",
    "=": "&#61;", "`": "&#96;",
}  # fmt: skip
_REFUSED = "ZgotmplZ"
"""What stands for a value that is dangerous where it would stand; Go's word, so that people can look it up."""

_TAG = re.compile(r"<(/?)([a-zA-Z][\w:-]*)")
_NO_TAG = re.compile(r"<(?!/?[a-zA-Z]|!doctype)", re.IGNORECASE)
_NAME = re.compile(r"[^\s/>=\"']+")
_URL_NAMES = frozenset(
    ("action", "archive", "background", "cite", "classid", "codebase", "data", "formaction", "href", "icon",
     "longdesc", "manifest", "poster", "profile", "src", "usemap", "xmlns")
)  # fmt: skip
_RAW = {"script": "script", "style": "style", "textarea": "plain", "title": "plain"}
_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_RESERVED = frozenset("!#$&*+,/:;=?@[]")
_UNSAFE_IN_STYLE = re.compile(r"[\0\"'()/;@\[\\\]`{}<>]|--|expression|mozbinding", re.IGNORECASE)


class SafeHtml(str):
    """Text that a template vouches for as HTML."""

    __slots__ = ()


class SafeUrl(str):
    """Text that a template vouches for as a URL."""

    __slots__ = ()


class HtmlWriter(Writer):
    """Writes one template as HTML: `text` follows where it is, `value` escapes for there."""

    def __init__(self) -> None:
        self._place: Place = "text"
        self._element = ""
        self._kind: Kind = "plain"
        self._quote = ""
        self._query = False
        self._started = False
        self._equals = False

    def text(self, text: str) -> str:
        """`text` without comments; moves to where it ends."""
        kept: list[str] = []
        at = 0
        while at < len(text):
            before, was = at, self._place
            at = getattr(self, f"_in_{self._place}")(text, at)
            if "comment" not in (was, self._place):
                part = text[before:at]
                kept.append(_NO_TAG.sub("&lt;", part) if was == "text" else part)
        return "".join(kept)

    def value(self, value: Any) -> str:  # noqa: PLR0911
        """`value` escaped for where the text stands."""
        if value is None and self._kind != "script":
            return ""
        if self._place == "comment":
            return ""
        if self._kind == "script":
            return self._quoted(_script(value))
        written = shown(value)
        if self._place == "text" or (self._place == "element" and self._kind == "plain"):
            return str(value) if isinstance(value, SafeHtml) and self._place == "text" else _replaced(written)
        if self._kind == "style":
            return self._quoted(_REFUSED if _UNSAFE_IN_STYLE.search(written) else written)
        if self._kind == "url":
            return self._quoted(self._url(written, is_safe=isinstance(value, SafeUrl)))
        if self._place == "tag":
            return written if re.fullmatch(r"[\w-]+", written) and not _is_active(written) else _REFUSED
        if isinstance(value, SafeHtml):
            written = re.sub(r"<[^>]*>", "", written)
        return self._quoted(written)

    def _quoted(self, text: str) -> str:
        if self._place == "element":
            return text
        return _replaced(text, _ESCAPES if self._quote else _UNQUOTED)

    def _url(self, text: str, *, is_safe: bool) -> str:
        if self._query:
            return text if is_safe else _percent(text, frozenset())
        if not is_safe and not self._started and not _is_harmless(text):
            return f"#{_REFUSED}"
        return _percent(text, _RESERVED)

    def _in_text(self, text: str, at: int) -> int:
        comment = text.find("<!--", at)
        tag = _TAG.search(text, at)
        if comment >= 0 and (tag is None or comment < tag.start()):
            if comment > at:
                return comment
            self._place = "comment"
            return comment + 4
        if tag is None:
            return len(text)
        self._place, self._equals = "tag", False
        self._element = "" if tag[1] else tag[2].lower()
        self._kind = "plain"
        return tag.end()

    def _in_comment(self, text: str, at: int) -> int:
        end = text.find("-->", at)
        if end < 0:
            return len(text)
        self._place = "text"
        return end + 3

    def _in_tag(self, text: str, at: int) -> int:
        letter = text[at]
        if letter == ">":
            raw = _RAW.get(self._element)
            self._place, self._kind = ("text", "plain") if raw is None else ("element", raw)  # type: ignore[assignment]
            return at + 1
        if letter == "=":
            self._equals = True
            return at + 1
        if letter.isspace() or (letter == "/" and not self._equals):
            return at + 1
        if self._equals:
            self._place, self._equals, self._query, self._started = "attribute", False, False, False
            self._quote = letter if letter in "\"'" else ""
            return at + len(self._quote)
        name = _NAME.match(text, at)
        if name is None:
            return at + 1
        self._kind = _kind_of(name[0])
        return name.end()

    def _in_attribute(self, text: str, at: int) -> int:
        ends = re.compile(self._quote or r"[\s>]").search(text, at)
        end = len(text) if ends is None else ends.start()
        self._query = self._query or any(letter in text[at:end] for letter in "?#")
        self._started = self._started or bool(text[at:end].strip())
        if ends is None:
            return end
        self._place, self._kind = "tag", "plain"
        return end + len(self._quote)

    def _in_element(self, text: str, at: int) -> int:
        ends = re.compile(rf"</{self._element}", re.IGNORECASE).search(text, at)
        if ends is None:
            return len(text)
        self._place, self._kind, self._element = "tag", "plain", ""
        return ends.end()


def _kind_of(name: str) -> Kind:
    """What an attribute holds, by its name."""
    name = name.lower().removeprefix("data-").rpartition(":")[2]
    if name.startswith("on"):
        return "script"
    if name == "style":
        return "style"
    is_url = name in _URL_NAMES or any(part in name for part in ("src", "uri", "url"))
    return "url" if is_url else "plain"


def _is_active(name: str) -> bool:
    return _kind_of(name) != "plain"


def _replaced(text: str, escapes: dict[str, str] = _ESCAPES) -> str:
    return text.translate({ord(letter): escaped for letter, escaped in escapes.items()})


def _is_harmless(url: str) -> bool:
    scheme, colon, _ = url.partition(":")
    return not colon or "/" in scheme or scheme.lower() in ("http", "https", "mailto")


def _percent(text: str, kept: frozenset[str]) -> str:
    """Percent-encoded but for letters, digits and `kept`; what is encoded already stays, if anything is kept."""
    found: list[str] = []
    for index, letter in enumerate(text):
        is_encoded = letter == "%" and kept and re.match(r"%[0-9a-fA-F]{2}", text[index : index + 3])
        if letter in _UNRESERVED or letter in kept or is_encoded:
            found.append(letter)
        else:
            found.extend(f"%{byte:02x}" for byte in letter.encode())
    return "".join(found)


def _script(value: Any) -> str:
    """As a value of JavaScript."""
    plain = value if isinstance(value, (str, int, float, bool)) or value is None else shown(value)
    written = json.dumps(plain)
    for letter in "<>&'+":
        written = written.replace(letter, f"\\u{ord(letter):04x}")
    return f" {written} " if not isinstance(value, str) else written
