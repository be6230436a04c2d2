"""Reads the secrets of webhooks from the server's secrets folder; each time, so that they can be changed."""

from __future__ import annotations

from pathlib import Path

from setpoint.errors import InvalidInput

__all__ = ["read_secret"]

_BYTES_MOST = 8192


def read_secret(folder: Path, name: str) -> str:
    """The line that stands in the file `name` of the folder. Raises InvalidInput."""
    path = folder / name
    try:
        with path.open("rb") as file:
            text = file.read(_BYTES_MOST).decode("ascii").strip()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InvalidInput(
            f"the secret file {path} cannot be read: {reason}; write it, or correct secretFile"
        ) from error
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise InvalidInput(f"the secret file {path} must hold one line of ASCII text")
    return text
