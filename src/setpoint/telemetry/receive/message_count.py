# ruff: noqa: PLR0911, PLR0912, PLR1714 - a kernel is flat
"""How many messages an OTLP body holds, counted on its wire bytes before a single one is made.

A parsed message takes up to 40 times its bytes (two bytes on the wire are one message), so a small body of
empty messages would occupy the server. `limits` counts with `count` what the protobuf library is about to
parse. The kernel knows no OTLP: it walks by a table that `Schema` makes from the message descriptors, with a
stack of its own instead of recursion, and takes every byte that the library would take, unknown fields and
groups included. Every read is behind a comparison with the end of the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from setpoint.compiled import compiled_lean

__all__ = ["EXCESS", "MALFORMED", "Schema", "walk"]

MALFORMED, EXCESS = 1, 2
"""What `Schema.count` answers beside 0."""

_DEEPEST = 100
"""Levels of messages in one another; the library's own limit."""

_GROUP = -1


class Schema:
    """The message types that a root message can hold, numbered, as a table for the kernel."""

    def __init__(self, root: Descriptor) -> None:
        types: dict[str, int] = {root.full_name: 0}
        found: list[Descriptor] = [root]
        for message in found:  # grows while it is walked
            for child in _messages(message):
                if child.message_type.full_name not in types:
                    types[child.message_type.full_name] = len(found)
                    found.append(child.message_type)
        self._names = [message.full_name.rpartition(".")[2] for message in found]
        widest = max(field.number for message in found for field in message.fields)
        self._children = np.full((len(found), widest + 1), -1, np.int32)
        for message in found:
            for child in _messages(message):
                self._children[types[message.full_name], child.number] = types[child.message_type.full_name]

    def count(self, body: bytes | memoryview, limit: int) -> tuple[int, dict[str, int]]:
        """0, MALFORMED or EXCESS (more than `limit` messages), and {name of a message type: how many} up to there.

        The root itself is not counted.
        """
        counts = np.zeros(len(self._names), np.int64)
        stack = np.empty((_DEEPEST + 1, 3), np.int64)
        status = walk(np.frombuffer(body, np.uint8), self._children, counts, stack, limit)
        return status, dict(zip(self._names, counts.tolist(), strict=True))


def _messages(message: Descriptor) -> Sequence[FieldDescriptor]:
    return [field for field in message.fields if field.message_type is not None]


@compiled_lean
def _varint(body: Any, at: int, end: int) -> Any:
    """A varint and the place behind it; -1 there when it is none."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < np.uint64(64):
        byte = np.uint64(body[at])
        at += 1
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            if shift == np.uint64(63) and byte > np.uint64(1):
                return value, np.int64(-1)
            return value, at
        shift += np.uint64(7)
    return value, np.int64(-1)


@compiled_lean
def walk(
    body: npt.NDArray[np.uint8],
    children: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int64],
    stack: npt.NDArray[np.int64],
    limit: int,
) -> int:
    """Count the messages of `body`, whose type is 0, by type into `counts` int64[types]: 0, MALFORMED or EXCESS.

    `children` int32[types, fields] is the type of each field's messages, -1 where it holds none. `stack`
    int64[levels, 3] is room: type, end, and the field's number for a group.
    """
    level, at, total = 0, 0, 0
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, len(body), 0
    while True:
        kind, end = stack[level, 0], stack[level, 1]
        if at == end:
            if kind == _GROUP:
                return MALFORMED
            if level == 0:
                return 0
            level -= 1
            continue
        wide, at = _varint(body, at, end)
        if at < 0 or wide > np.uint64(0xFFFFFFFF) or wide < np.uint64(8):
            return MALFORMED
        field, wire = np.int64(wide >> np.uint64(3)), np.int64(wide & np.uint64(7))
        if wire == 0:
            _, at = _varint(body, at, end)
            if at < 0:
                return MALFORMED
        elif wire == 1 or wire == 5:
            at += 8 if wire == 1 else 4
            if at > end:
                return MALFORMED
        elif wire == 2:
            length, at = _varint(body, at, end)
            if at < 0 or length > np.uint64(end - at):
                return MALFORMED
            child = children[kind, field] if kind >= 0 and field < children.shape[1] else np.int32(-1)
            if child < 0:
                at += np.int64(length)
                continue
            counts[child] += 1
            total += 1
            level += 1
            if total > limit:
                return EXCESS
            if level == len(stack):
                return MALFORMED
            stack[level, 0], stack[level, 1], stack[level, 2] = child, at + np.int64(length), 0
        elif wire == 3:
            level += 1
            if level == len(stack):
                return MALFORMED
            stack[level, 0], stack[level, 1], stack[level, 2] = _GROUP, end, field
        elif wire == 4 and kind == _GROUP and stack[level, 2] == field:
            level -= 1
        else:
            return MALFORMED
