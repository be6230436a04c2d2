"""Passwords from who sits there or from standard input, never from the command line, where others could read them."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from setpoint.cli.client import Client
from setpoint.errors import InvalidInput, SetpointError

__all__ = ["ask_new_password", "ask_password", "signed_in"]


def ask_password(prompt: str) -> str:
    """One line, asked for on a terminal without showing it. Raises InvalidInput when there is none."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{prompt}: ")
    line = sys.stdin.readline()
    if not line.strip():
        raise InvalidInput(f"{prompt}: nothing came; give it as a line of standard input")
    return line.rstrip("\r\n")


def ask_new_password(name: str) -> str:
    """A new password; twice on a terminal, as nobody sees what was typed."""
    password = ask_password(f"New password of {name}")
    if sys.stdin.isatty() and getpass.getpass("Once more: ") != password:
        raise InvalidInput("the two are not the same; nothing was changed")
    return password


@contextmanager
def signed_in(server: str, token: str, user: str | None) -> Iterator[Client]:
    """A client with the token, or signed in as `user`, whose password is asked for, until the end of the block."""
    if user is None:
        yield Client(server, token)
        return
    client = Client(server)
    client.sign_in(user, ask_password(f"Password of {user}"))
    try:
        yield client
    finally:
        with suppress(SetpointError):  # who changed their own password is signed out already
            client.sign_out()
