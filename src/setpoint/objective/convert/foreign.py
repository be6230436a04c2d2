"""Whose document it is that somebody applies: `register` gives this to the registry, which asks before it complains."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

__all__ = ["recognise"]

_VERSIONS = {"sloth.slok.dev/": "Sloth", "pyrra.dev/": "Pyrra"}


def recognise(body: Mapping[str, Any], file: str) -> str | None:
    """What to do with a document of another tool; None when it is none that `setpoint import` reads."""
    version, spec = body.get("apiVersion"), body.get("version")
    whose = ""
    if isinstance(version, str):
        whose = next((tool for prefix, tool in _VERSIONS.items() if version.startswith(prefix)), "")
    elif version is None and isinstance(spec, str) and spec.startswith("prometheus/") and "slos" in body:
        whose = "Sloth"
    if not whose:
        return None
    # from standard input it is gone when it has been read
    named = "FILE" if file in ("", "stdin") or file.startswith("-") else shlex.quote(file)
    return f"this is a {whose} document; run: setpoint import {named} | setpoint apply -f -"
