"""Passwords as scrypt hashes that say how they were made, so that the cost can grow with the machines.

A check of a user who does not exist takes as long as one of a user who does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading

from setpoint.errors import InvalidInput

__all__ = ["PASSWORD_MAX", "PASSWORD_MIN", "hash_password", "is_outdated", "is_password", "refuse_weak"]

PASSWORD_MIN, PASSWORD_MAX = 10, 256
_COST, _BLOCK, _LANES = 1 << 15, 8, 1
"""32 MiB and about a tenth of a second for each guess."""
_COST_MAX = 1 << 20
_AT_ONCE = threading.BoundedSemaphore(2)
"""Guessing must not take the memory and processors that evaluation needs."""


def hash_password(password: str) -> str:
    """`scrypt$n$r$p$salt$hash`, salt and hash in base64."""
    salt = secrets.token_bytes(16)
    digest = _derive(password, salt, _COST, _BLOCK, _LANES)
    return "$".join(["scrypt", str(_COST), str(_BLOCK), str(_LANES), _text(salt), _text(digest)])


def is_password(password: str, stored: str | None) -> bool:
    """Whether `password` is what `stored` was made of; None, for nobody, takes as long and is never true."""
    _, cost, block, lanes, salt, digest = (stored or _NOBODY).split("$")
    made = _derive(password, base64.b64decode(salt), min(int(cost), _COST_MAX), int(block), int(lanes))
    return hmac.compare_digest(made, base64.b64decode(digest)) and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether `stored` was made at another cost than passwords are now."""
    return stored.split("$")[1:4] != [str(_COST), str(_BLOCK), str(_LANES)]


def refuse_weak(password: str, name: str) -> None:
    """Raise InvalidInput for a password that is too short, too long, or tells the user's name."""
    if len(password) < PASSWORD_MIN:
        raise InvalidInput(f"the password has fewer than {PASSWORD_MIN} characters; choose a longer one")
    if len(password) > PASSWORD_MAX:
        raise InvalidInput(f"the password has more than {PASSWORD_MAX} characters; choose a shorter one")
    if password.lower() == name or len(set(password)) < 4:
        raise InvalidInput("the password is easily guessed; choose several words")


def _derive(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    with _AT_ONCE:
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),
            salt=salt,
            n=cost,
            r=block,
            p=lanes,
            maxmem=2 * 128 * cost * block * lanes,
            dklen=32,
        )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


_NOBODY = "$".join(
    [
        "scrypt",
        str(_COST),
        str(_BLOCK),
        str(_LANES),
        _text(secrets.token_bytes(16)),
        _text(secrets.token_bytes(32)),
    ]
)
