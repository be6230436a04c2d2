"""Where alerts are sent, told apart: which target of the documents an event means.

A target has a name, but two documents may each write one of the same name inside; so its key holds a hash of the
address as well. The address itself, which may be a secret, is in no event and no database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from setpoint.alert.from_objective import Target

__all__ = ["entry_of", "target_key", "webhooks_of"]


def target_key(target: Target) -> str:
    """`name hash-of-address`."""
    return f"{target.name} {hashlib.blake2b(target.url.encode(), digest_size=8).hexdigest()}"


def entry_of(target: Target) -> dict[str, str]:
    """A target in an event, without its address, which may hold a secret: who reads the timeline need not know it."""
    return {"name": target.name, "kind": target.kind, "key": target_key(target)}


def webhooks_of(targets: Iterable[Target]) -> dict[str, Target]:
    """The webhooks among `targets`, by key."""
    return {target_key(one): one for one in targets if one.kind == "webhook" and one.url}
