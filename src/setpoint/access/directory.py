"""Who a request comes from, from memory: users, tokens and sessions as the state database had them last.

`web.access` calls `identify` for every request, on the event loop: it hashes and looks up, and reads no database. A
change of our own is in memory when its call returns; those of other servers on the same database come with
`refresh`, which `run` calls every other second and `web.access` before it turns an unknown credential away.
A session is a random cookie whose SHA-256 is stored, so that it can be ended on every server (decision 0042).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from setpoint.access.bundle import Bundles
from setpoint.access.model import LOCAL, SERVER_TOKEN, Identity, Token, User
from setpoint.clock import Clock, stopwatch
from setpoint.database import StateDatabase, Transaction, load_queries
from setpoint.errors import SetpointError
from setpoint.timeline import Event, Timeline

__all__ = ["SESSION_S", "Change", "Directory", "digest_of"]

log = logging.getLogger(__name__)

SESSION_S = 7 * 86400
_SESSIONS_MAX = 20
"""Sessions of one user; the oldest ends when another begins."""
_REFRESH_S, _TEND_S = 2.0, 30.0
_ASK_AGAIN_S = 0.25
"""Unknown credentials make the database be asked so often at most."""
_CREDENTIAL_MAX = 512

_SQL = load_queries("setpoint.access")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database held at one revision; credentials by SHA-256 with their end."""

    revision: int
    users: Mapping[str, User]
    tokens: Mapping[str, Token]
    by_token: Mapping[bytes, tuple[Identity, int | None]]
    by_session: Mapping[bytes, tuple[Identity, int | None]]


_NOBODY = _Known(-1, MappingProxyType({}), MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Change:
    """A change under way, and what is told of it when it is stored."""

    transaction: Transaction
    record: Callable[..., Event]
    events: list[Event]

    def tell(self, kind: str, summary: str, actor: str, data: Mapping[str, Any]) -> None:
        """Put an event into the transaction."""
        self.events.append(self.record(kind, summary, actor=actor, data=data))


class Directory:
    """Users, tokens and sessions of one state database. Thread-safe."""

    def __init__(
        self,
        database: StateDatabase,
        timeline: Timeline,
        clock: Clock,
        *,
        server_token: str = "",
        shop_secret: str = "",
        is_local: bool = True,
    ) -> None:
        """`server_token` is the setting, an admin's; with `shop_secret` comes the demo's shop; `is_local` says that
        every address is loopback.
        """
        self._database = database
        self._timeline = timeline
        self._clock = clock
        self._is_local = is_local
        self._server = digest_of(server_token) if server_token else b""
        self.own_secret = secrets.token_urlsafe(32)
        """With what Setpoint reads its own pages, such as its metrics; another one each time it starts."""
        digest = digest_of(self.own_secret)
        self._own = {digest: Identity("setpoint", "viewer", "setpoint", digest)}
        if shop_secret:
            digest = digest_of(shop_secret)
            self._own[digest] = Identity("shop", "editor", "setpoint", digest)
        self._known = _NOBODY
        self._guard = threading.Lock()
        self._asked_s = stopwatch()
        self._used: dict[str, int] = {}
        self.bundles = Bundles(timeline, clock)
        """What is told of sign-ins that failed and changes that were refused."""
        self.reload()

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything: nobody is known, and only this machine can ask."""
        return self._is_local and not self._server and not self._known.users and not self._known.tokens

    @property
    def knows_anybody(self) -> bool:
        """Whether there is a token or a user that could be let in."""
        return bool(self._server or self._known.users or self._known.tokens)

    @property
    def has_server_token(self) -> bool:
        """Whether the setting `token` is set."""
        return bool(self._server)

    @property
    def users(self) -> list[User]:
        """Every user, by name."""
        return list(self._known.users.values())

    @property
    def tokens(self) -> list[Token]:
        """Every token, by name, with when it was used last."""
        used = dict(self._used)
        return [
            replace(one, last_used_ms=max(filter(None, (one.last_used_ms, used.get(one.name))), default=None))
            for one in self._known.tokens.values()
        ]

    def user(self, name: str) -> User | None:
        """One user; None when nobody has the name."""
        return self._known.users.get(name)

    def is_taken(self, name: str) -> bool:
        """Whether a user or a token has the name."""
        return name in self._known.users or name in self._known.tokens

    def identify(self, authorization: str, cookies: Sequence[str] = ()) -> Identity | None:
        """Who comes with this `Authorization` header, or this session cookie when there is none; None for nobody.

        Several different cookies are nobody's: one of them was planted.
        """
        if self.is_open:
            return LOCAL
        if authorization:
            return self.of_secret(_secret(authorization))
        if len(set(cookies)) != 1 or len(cookies[0]) > _CREDENTIAL_MAX:
            return None
        digest = digest_of(cookies[0])
        return self._living(self._known.by_session.get(digest))

    def of_secret(self, secret: str) -> Identity | None:
        """Whose token this is; None when it is nobody's or has expired."""
        if not secret or len(secret) > _CREDENTIAL_MAX:
            return None
        digest = digest_of(secret)
        if self._server and hmac.compare_digest(digest, self._server):
            return Identity(SERVER_TOKEN, "admin", "server_token", digest)
        if digest in self._own:
            return self._own[digest]
        found = self._living(self._known.by_token.get(digest))
        if found is not None:
            self._used[found.name] = self._clock.now_ms()
        return found

    def is_still(self, identity: Identity) -> bool:
        """Whether what `identify` found would be found now, too: for streams that outlive their request."""
        if identity.kind == "local":
            return self.is_open
        if identity.kind in ("server_token", "setpoint"):
            session = self._known.by_session.get(identity.digest)
            is_secret = identity.digest == self._server or identity.digest in self._own
            return is_secret or self._living(session) == identity
        known = self._known
        found = known.by_session.get(identity.digest) or known.by_token.get(identity.digest)
        return self._living(found) == identity

    def begin_session(self, identity: Identity, address: str = "") -> str:
        """Sign `identity` in: store a session, tell of it, and return the cookie."""
        cookie = secrets.token_urlsafe(32)
        kind, subject = self._subject(identity)
        now_ms = self._clock.now_ms()
        with self.changing() as change:
            transaction = change.transaction
            transaction.execute(
                _SQL["add_session"],
                digest=digest_of(cookie).hex(),
                kind=kind,
                subject=subject,
                created_ms=now_ms,
                expires_ms=now_ms + SESSION_S * 1000,
            )
            for row in transaction.rows(
                _SQL["surplus_sessions"], kind=kind, subject=subject, keep=_SESSIONS_MAX
            ):
                transaction.execute(_SQL["delete_session"], digest=row["digest"])
            told = f"{identity.name} signed in"
            change.tell("access.login", told, identity.name, {"kind": kind, "address": address})
        return cookie

    def end_session(self, identity: Identity, cookie: str) -> None:
        """Sign out: the cookie is worth nothing from now on, on every server."""
        digest = digest_of(cookie)
        if digest in self._known.by_session:
            with self.changing() as change:
                change.transaction.execute(_SQL["delete_session"], digest=digest.hex())
                change.tell("access.logout", f"{identity.name} signed out", identity.name, {})

    def end_sessions(self, identity: Identity) -> None:
        """Sign out everywhere."""
        kind, subject = self._subject(identity)
        with self.changing() as change:
            change.transaction.execute(_SQL["delete_sessions"], kind=kind, subject=subject)
            change.tell("access.logout", f"{identity.name} signed out everywhere", identity.name, {})

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """A transaction that changes who is known; after its commit this server knows, the others within seconds."""
        events: list[Event] = []
        with self._database.begin() as transaction:
            transaction.lock("access")
            yield Change(transaction, partial(self._timeline.record, transaction), events)
            transaction.execute(_SQL["raise_revision"])
        self.reload()
        self._timeline.publish(events)

    @property
    def may_be_behind(self) -> bool:
        """Whether another server may have changed something: on a database that servers can share."""
        return self._database.dialect == "postgresql"

    @property
    def refresh_due_s(self) -> float:
        """How long to wait before the database may be asked again."""
        return max(0.0, _ASK_AGAIN_S - self._asked_s())

    def refresh(self) -> None:
        """Read everything anew if the database has another revision. Raises Unavailable."""
        with self._guard:
            self._ask()

    def catch_up(self, elapsed_s: Callable[[], float]) -> None:
        """As `refresh`, unless the database was asked within `elapsed_s()`: those who wait together ask once."""
        with self._guard:
            if self._asked_s() > elapsed_s():
                self._ask()

    def reload(self) -> None:
        """Read everything anew. Raises Unavailable."""
        with self._guard, self._database.read() as transaction:
            row = transaction.row(_SQL["revision"])
            self._known = self._read(transaction, row["revision"] if row else 0)

    def run(self, stop: threading.Event) -> None:
        """Follow other servers, note when tokens were used, forget old sessions, tell what was bundled."""
        tended_s = stopwatch()
        while not stop.wait(_REFRESH_S):
            try:
                self.refresh()
                if tended_s() > _TEND_S:
                    tended_s = stopwatch()
                    self.tend()
            except SetpointError as error:
                log.warning("who may come in could not be read: %s", error.message)
            except Exception:  # who was removed elsewhere must not stay because of one bad read
                log.exception("who may come in could not be read")
        try:
            self.tend()
        except SetpointError as error:
            log.warning("when tokens were used last was not stored: %s", error.message)

    def tend(self) -> None:
        """What `run` does now and then."""
        self.bundles.tell_due()
        now_ms = self._clock.now_ms()
        ended = any(end is not None and end <= now_ms for _, end in self._known.by_session.values())
        if not self._used and not ended:
            return
        used, self._used = self._used, {}
        try:
            with self._database.begin() as transaction:
                for name, at_ms in used.items():
                    transaction.execute(_SQL["note_use"], name=name, at_ms=at_ms)
                transaction.execute(_SQL["delete_old_sessions"], now_ms=now_ms)
            self.reload()
        except SetpointError:
            self._used = used | self._used
            raise

    def _ask(self) -> None:
        self._asked_s = stopwatch()
        with self._database.read() as transaction:
            row = transaction.row(_SQL["revision"])
            if row is not None and row["revision"] != self._known.revision:
                self._known = self._read(transaction, row["revision"])

    def _living(self, found: tuple[Identity, int | None] | None) -> Identity | None:
        if found is None:
            return None
        identity, expires_ms = found
        return identity if expires_ms is None or self._clock.now_ms() < expires_ms else None

    def _subject(self, identity: Identity) -> tuple[str, str]:
        if identity.kind == "server_token":  # another token is another subject: it ends these sessions
            return identity.kind, hashlib.sha256(b"session of " + self._server).hexdigest()
        return identity.kind, identity.name

    def _read(self, transaction: Transaction, revision: int) -> _Known:
        users = {row["name"]: User(**row) for row in transaction.rows(_SQL["users"])}
        tokens, by_token = {}, {}
        for row in transaction.rows(_SQL["tokens"]):
            digest = bytes.fromhex(row.pop("digest"))
            token = tokens[row["name"]] = Token(**row)
            by_token[digest] = Identity(token.name, token.role, "token", digest), token.expires_ms
        by_session: dict[bytes, tuple[Identity, int | None]] = {}
        server = self._subject(Identity(SERVER_TOKEN, "admin", "server_token")) if self._server else None
        for row in transaction.rows(_SQL["sessions"]):
            digest, kind, name = bytes.fromhex(row["digest"]), row["kind"], row["subject"]
            ends_ms: int = row["expires_ms"]
            if kind == "user" and name in users:
                by_session[digest] = Identity(name, users[name].role, "user", digest), ends_ms
            elif kind == "token" and name in tokens:
                token = tokens[name]
                by_session[digest] = (
                    Identity(name, token.role, "token", digest),
                    min(ends_ms, token.expires_ms or ends_ms),
                )
            elif (kind, name) == server:
                by_session[digest] = Identity(SERVER_TOKEN, "admin", "server_token", digest), ends_ms
        return _Known(revision, users, tokens, by_token, by_session)


def digest_of(secret: str) -> bytes:
    """What is stored of a secret that is too random to be guessed: its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _secret(authorization: str) -> str:
    """The token of a Bearer header, or the password of Basic credentials; empty when there is none."""
    scheme, _, given = authorization.partition(" ")
    scheme, given = scheme.lower(), given.strip()
    if scheme == "bearer":
        return given
    if scheme != "basic":
        return ""
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
