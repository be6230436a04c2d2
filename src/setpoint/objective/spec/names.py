"""How the objectives of one document are told apart: by the slug of a display name or of a label's value."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

__all__ = ["entry_names", "group_names", "slug"]

_SLUG_MAX = 63


def slug(text: str) -> str:
    """`text` in lower-case letters, digits and '-': `Three nines, EU` is `three-nines-eu`. May be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_SLUG_MAX].strip("-")


def entry_names(display_names: Sequence[str]) -> list[str]:
    """The name of each entry of `objectives` within its document; the number where there is no display name."""
    return [slug(name) or str(number) for number, name in enumerate(display_names, 1)]


def group_names(groups: Sequence[tuple[str, ...]]) -> list[str]:
    """The name of each group: the slugs of its values, joined by '.'.

    Values that give one name (`/a` and `a`) are told apart by a hash of theirs; a value that is its own slug keeps
    the plain name. A value of which a slug says too little has its hash always, so that it keeps its name, and with
    it its history and alerts, when another such value comes: one in other letters than a to z, or a long one.
    """
    plain = [".".join(_part(value) for value in group) for group in groups]
    taken: dict[str, int] = {}
    for name in plain:
        taken[name] = taken.get(name, 0) + 1
    return [
        name if taken[name] == 1 or name == ".".join(group) else f"{name}-{_hash(group)}"
        for name, group in zip(plain, groups, strict=True)
    ]


def _part(value: str) -> str:
    """The slug of a value, with its hash where letters or digits are missing in it."""
    found = slug(value)
    if found and sum(map(str.isalnum, value)) == sum(map(str.isalnum, found)):
        return found
    return f"{found or 'none'}-{_hash((value,))}"


def _hash(group: tuple[str, ...]) -> str:
    return hashlib.blake2b("\0".join(group).encode(), digest_size=4).hexdigest()
