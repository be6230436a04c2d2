"""What stands in the files that an integration names: read at each use, so that they can be
changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Misconfigured", "read_file", "secret_of"]

_BYTES_MOST = 65_536


class Misconfigured(Exception):
    """The address, a secret or a file of an integration is wrong: what is waiting goes out once that is mended."""


def read_file(path: str) -> str:
    """The text of a file, without space around it. Raises Misconfigured."""
    try:
        with open(path, "rb") as file:
            text = file.read(_BYTES_MOST).decode().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise Misconfigured(f"the file {path} cannot be read: {str(reason).lower()}; write it") from error
    if not text:
        raise Misconfigured(f"the file {path} is empty; write what it must hold")
    return text


def secret_of(settings: Mapping[str, Any], name: str) -> str:
    """The value of `name`, or what stands in the file that `<name>_file` names; empty where there is neither. Raises
    Misconfigured.
    """
    value = settings.get(name)
    if value not in (None, ""):
        return str(value)
    path = settings.get(f"{name}_file")
    return read_file(str(path)) if path else ""
