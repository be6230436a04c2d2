"""The alert sources that are applied: found by name or by routing key, asked whether a request is theirs, paced.

`app` hands it every change of resources; `web.events_in` asks it. Keys are read from their files when they change, so
that a key can be renewed without a restart; a source whose file cannot be read lets nobody in, and says so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from setpoint.alert.door.body import read_json
from setpoint.alert.door.cloudevents import read_events
from setpoint.alert.door.grafana import read_webhook
from setpoint.alert.door.keyed import Book, KeyedAlerts, Taken
from setpoint.alert.door.mapped import Mapping as Compiled
from setpoint.alert.door.mapped import read_mapped
from setpoint.alert.door.signature import is_same, key_of, verify_signature
from setpoint.alert.door.spec import AlertSource, AlertSourceSpec
from setpoint.alert.door.told import Told
from setpoint.alert.secret import read_secret
from setpoint.clock import Clock
from setpoint.errors import Forbidden, InvalidInput, NotFound, Unavailable
from setpoint.resource import Document

__all__ = ["AlertSources", "Counts", "Source", "TooMany", "read_told"]

_WINDOW_MS = 60_000


class TooMany(Unavailable):
    """The source sends more requests in a minute than it may; send again later."""

    http_status = 429


@dataclass(slots=True)
class Counts:
    """What came of a source since start; instants in Unix milliseconds."""

    requests: int = 0
    alerts: int = 0
    refused: int = 0
    last_ms: int | None = None
    last_refusal: str = ""


@dataclass(slots=True)
class Source:
    """One source as it is applied."""

    name: str
    spec: AlertSourceSpec
    mapping: Compiled | None
    counts: Counts = field(default_factory=Counts)
    times_ms: deque[int] = field(default_factory=deque)


def read_told(
    spec: AlertSourceSpec, mapping: Compiled | None, headers: Mapping[str, str], body: bytes
) -> Sequence[Told]:
    """What a body tells, read as a source's type and mapping say. `headers` have lower-case names. Raises InvalidInput
    and, for a CloudEvent in a form that is not understood, UnknownForm.
    """
    if spec.type == "cloudevents":
        assert mapping is not None
        return read_mapped(read_events(headers, body), mapping)
    value = read_json(body)
    if spec.type in ("grafana", "alertmanager"):
        return read_webhook(value)
    if mapping is None:
        raise InvalidInput("events of PagerDuty's clients come in at /v2/enqueue; send them there")
    return read_mapped(value, mapping)


class AlertSources:
    """Safe to use from several threads."""

    def __init__(self, book: Book, clock: Clock, secrets: Path) -> None:
        self._clock = clock
        self._secrets = secrets
        self._sources: Mapping[str, Source] = {}
        self._guard = threading.Lock()
        self._keys: dict[str, tuple[object, str]] = {}
        self.keyed = KeyedAlerts(book)
        self._api = Counts()

    def follow(self, documents: Sequence[Document]) -> None:
        """Take the sources among all documents; what was counted of one stays with its name."""
        found = {}
        for document in documents:
            if isinstance(document.spec, AlertSource):
                spec = document.spec.spec
                source = Source(document.name, spec, spec.compiled())
                if (known := self._sources.get(document.name)) is not None:
                    source.counts, source.times_ms = known.counts, known.times_ms
                found[document.name] = source
        self._sources = found

    def counts(self) -> dict[str, Counts]:
        """What came, by source; `alertmanager` is Alertmanager's API, which needs none."""
        return {"alertmanager": self._api} | {source.name: source.counts for source in self.all()}

    def note_api(self, alerts: int, refusal: str = "") -> None:
        """Count a request to Alertmanager's API: so many alerts were stored, or why something was refused."""
        with self._guard:
            if refusal:
                self._api.refused += 1
                self._api.last_refusal = refusal
            if alerts or not refusal:
                self._api.requests += 1
                self._api.alerts += alerts
                self._api.last_ms = self._clock.now_ms()

    def all(self) -> list[Source]:
        """Every source, by name."""
        return [self._sources[name] for name in sorted(self._sources)]

    def get(self, name: str) -> Source:
        """One source. Raises NotFound."""
        found = self._sources.get(name)
        if found is None:
            raise NotFound(
                f"there is no AlertSource '{name[:80]}'; apply one of this name, or correct the address"
            )
        return found

    def of_routing_key(self, key: str) -> Source | None:
        """The source of type pagerduty whose key file holds this key."""
        found = None
        for source in self.all():
            # All are compared, so that the time it takes tells nothing.
            if source.spec.type == "pagerduty" and is_same(key, self._key(source, is_asked=False)):
                found = source
        return found

    def admit(
        self,
        source: Source,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        body: bytes,
        *,
        trusted: bool,
    ) -> None:
        """Let a request in, or raise Forbidden or TooMany. `trusted` says whether who sends it is known to the server,
        or anybody may send where it is; that counts only for a source without a key of its own.
        """
        spec = source.spec
        try:
            if spec.key_file is None:
                if not trusted:
                    raise Forbidden(
                        f"the source {source.name} has no keyFile, and no token of the server came along; give one"
                    )
            else:
                secret = self._key(source)
                now_s = self._clock.now_ms() // 1000
                is_signed = verify_signature(headers, body, secret, now_s, spec.timestamp_header or "")
                if not is_signed:
                    self._refuse_without_key(source, headers, query, secret)
            self.pace(source)
        except (Forbidden, Unavailable) as error:
            self.refuse(source, error.message)
            raise

    def pace(self, source: Source) -> None:
        """Count a request, or raise TooMany."""
        now_ms, times_ms = self._clock.now_ms(), source.times_ms
        with self._guard:
            # A clock that was set back must not close the door until it is where it was.
            while times_ms and not now_ms - _WINDOW_MS < times_ms[0] <= now_ms:
                times_ms.popleft()
            if len(times_ms) >= source.spec.requests_per_minute:
                wait_s = max(1.0, (times_ms[0] + _WINDOW_MS - now_ms) / 1000)
                raise TooMany(
                    f"{source.name} may send {source.spec.requests_per_minute:,} requests a minute; send again in "
                    f"{wait_s:.0f} s",
                    retry_after_s=wait_s,
                )
            times_ms.append(now_ms)

    def refuse(self, source: Source, why: str) -> None:
        """Count a request that was not taken."""
        with self._guard:
            source.counts.refused += 1
            source.counts.last_refusal = why

    def receive(self, source: Source, told: Sequence[Told]) -> Taken:
        """Store what a source told. Raises Unavailable."""
        now_ms, spec = self._clock.now_ms(), source.spec
        taken = self.keyed.receive(
            source.name, told, now_ms, added=spec.labels, lasts_ms=spec.resolve_after_ms
        )
        with self._guard:
            source.counts.requests += 1
            source.counts.alerts += len(taken.alerts)
            source.counts.last_ms = now_ms
        return taken

    def trial(self, name: str, spec: AlertSourceSpec, told: Sequence[Told]) -> Taken:
        """What `receive` would store; nothing is."""
        return self.keyed.made(
            name, told, self._clock.now_ms(), added=spec.labels, lasts_ms=spec.resolve_after_ms
        )

    @staticmethod
    def _refuse_without_key(
        source: Source, headers: Mapping[str, str], query: Mapping[str, str], secret: str
    ) -> None:
        if source.spec.signed_only:
            raise Forbidden(
                f"{source.name} takes signed requests only; sign with its key (X-Setpoint-Signature)"
            )
        given = key_of(headers.get("authorization", ""), query)
        if not is_same(given, secret):
            told = "the key is not that of" if given else "no key was given for"
            raise Forbidden(
                f"{told} {source.name}; send it as bearer token, as Basic password or as ?key= in the URL"
            )

    def _key(self, source: Source, *, is_asked: bool = True) -> str:
        """The line of a source's key file, read again when the file changes. Raises Unavailable if `is_asked`; else
        what cannot be read is a key that nobody has.
        """
        name = source.spec.key_file or ""
        try:
            state = (self._secrets / name).stat()
            stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
            known = self._keys.get(name)
            if known is None or known[0] != stamp:
                known = self._keys[name] = stamp, read_secret(self._secrets, name)
        except (OSError, InvalidInput) as error:
            if not is_asked:
                return "\0"
            # Not refused for good: the sender keeps the alert and sends it again once the file is there.
            message = (
                error.message if isinstance(error, InvalidInput) else f"the secret file {name} is missing"
            )
            raise Unavailable(f"{message}; then send again", retry_after_s=30.0) from error
        return known[1]
