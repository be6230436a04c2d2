# ruff: noqa: PLR0912, PLR0917, PLR1714 - flat arrays, plain comparisons, and out at the first fault
"""The compiled scan over the wire bytes of a remote write request: keys of series and columns of samples.

`remote_write_scan` calls it with arrays of guessed sizes. The scan counts on when one is full, so that a
second run with the exact sizes always fits. Nothing is decoded here but numbers: a series is known by a
keyed hash of its labels' bytes (1.0) or of the symbols that its references name (2.0), and the strings are
looked at once, when the hash is new.

Every read is behind a comparison with the end of the message that it belongs to, and that end never lies
behind the end of the message around it. The wire format follows protobuf's encoding guide; what a parser may
choose is refused: varints of more than 64 bits, known fields of another wire type, groups that do not match.

The loops over fields take the usual one (tag and length of one byte each) by hand, because a function that
returns several values costs more than all of that.
"""

# What mixes signed and unsigned integers becomes a float for the compiler: places in the body are int64
# throughout, what is read from the wire is uint64.

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled_lean
from setpoint.telemetry.receive.wire_kernels import fold, word_at

__all__ = [
    "CREATED",
    "EXEMPLAR",
    "FAULTS",
    "HISTOGRAM",
    "ITEMS",
    "METADATA",
    "SAMPLES",
    "SERIES",
    "STARTS",
    "STATUS",
    "SYMBOLS",
    "WORKING",
    "index_symbols",
    "scan",
]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Int = Any
"""An int64 of the compiler's."""

TRUNCATED, OVERLONG, BAD_TAG, WRONG_TYPE, BAD_GROUP = -1, -2, -3, -4, -5
FAULTS = {
    TRUNCATED: "a field reaches beyond the end of its message",
    OVERLONG: "a varint has more than 64 bits",
    BAD_TAG: "a tag has no valid field number or wire type",
    WRONG_TYPE: "a field has another wire type than the message defines",
    BAD_GROUP: "a group does not end where it should",
}
"""What the negative numbers mean that the kernels put into `status[STATUS]`."""

STATUS, SERIES, SAMPLES, ITEMS, SYMBOLS, STARTS = range(6)
"""Places in the array `status`: 0 or a fault, how many there are of each, 1 if a sample has a start timestamp."""

HISTOGRAM, EXEMPLAR, METADATA = 1, 2, 3
"""What an item is: one row of `items` int64[k, 4] is kind, series, and the bytes of its message from and to."""

CREATED = 6
"""Field of TimeSeries that held the start timestamp until 2.0-rc.3; Prometheus 3.0 to 3.7 send it."""

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_STEP_BACK = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_UPPER = np.uint64(0x8080808080808080)
_TWOS, _FOURS = np.uint64(0x007F007F007F007F), np.uint64(0x00003FFF00003FFF)
_EIGHT = np.uint64(0x0FFFFFFF)
_NAME = np.uint64(int.from_bytes(b"__name__", "little"))

# Places in the words of a hash under way: two halves, four secret factors, and (2.0) what a series has said so far.
_REFS, _IS_NAME, _FAMILY, _TYPE, _HELP, _UNIT, _START, WORKING = range(6, 14)


@compiled_lean
def _varint(body: Bytes, at: Int, end: Int) -> Any:
    """A varint and the place behind it, which is a fault when negative."""
    value = np.uint64(0)
    shift = np.uint64(0)
    while at < end:
        byte = np.uint64(body[at])
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            if shift == np.uint64(63) and byte > np.uint64(1):
                return value, OVERLONG
            return value, at
        shift += np.uint64(7)
        if shift > np.uint64(63):
            return value, OVERLONG
    return value, TRUNCATED


@compiled_lean
def _skip_group(body: Bytes, at: Int, end: Int, field: Int) -> Any:
    """The place behind a group that was entered, or a fault."""
    depth = 1
    trail = np.uint64(field)  # the numbers of the groups we are in, folded: zero when all ended as they began
    while depth:
        value, at = _varint(body, at, end)
        if at < 0:
            return at
        wire, number = np.int64(value & np.uint64(7)), value >> np.uint64(3)
        if value > np.uint64(0xFFFFFFFF) or number == 0 or wire > _FIXED32:
            return BAD_TAG
        if wire == _GROUP:
            depth += 1
            trail = trail * _STEP + number
        elif wire == _GROUP_END:
            depth -= 1
            trail = (trail - number) * _STEP_BACK
        else:
            _, at = _payload(body, at, end, wire)
            if at < 0:
                return at
    return at if trail == np.uint64(0) else BAD_GROUP


@compiled_lean
def _payload(body: Bytes, at: Int, end: Int, wire: Int) -> Any:
    """Where a field's payload begins and the place behind it, which is a fault when negative; no groups."""
    if wire == _BYTES:
        length, at = _varint(body, at, end)
        if at >= 0 and length > np.uint64(end - at):
            return at, TRUNCATED
        return at, at if at < 0 else at + np.int64(length)
    if wire == _VARINT:
        _, behind = _varint(body, at, end)
        return at, behind
    behind = at + (8 if wire == _FIXED64 else 4)
    return at, behind if behind <= end else TRUNCATED


@compiled_lean
def _field(body: Bytes, at: Int, end: Int) -> Any:
    """Tag, beginning of the payload, and the place behind the field, which is a fault when negative."""
    value, at = _varint(body, at, end)
    if at < 0:
        return 0, at, at
    if value > np.uint64(0xFFFFFFFF) or value < np.uint64(8):
        return 0, at, BAD_TAG
    tag = np.int64(value)
    wire = tag & 7
    if wire == _GROUP:
        return tag, at, _skip_group(body, at, end, tag >> 3)
    if wire > _FIXED32 or wire == _GROUP_END:
        return tag, at, BAD_TAG
    begin, behind = _payload(body, at, end, wire)
    return tag, begin, behind


@compiled_lean
def _hash(body: Bytes, at: Int, end: Int, state: Words) -> None:
    """Take the bytes `at:end` and their number into the first two words of `state`; the next four are secret, so
    that nobody can choose bytes that make a product zero.
    """
    first, second = state[0] ^ np.uint64(end - at), state[1]
    while end - at >= 16:
        low, high = word_at(body, at), word_at(body, at + 8)
        first = fold(low ^ state[2], high ^ first)
        second = fold(low ^ state[3], high ^ second)
        at += 16
    low, high = np.uint64(0), np.uint64(0)
    if end - at >= 8:
        low = word_at(body, at)
        at += 8
    shift = np.uint64(0)
    while at < end:
        high |= np.uint64(body[at]) << shift
        shift += np.uint64(8)
        at += 1
    first = fold(low ^ state[4], high ^ first)
    second = fold(low ^ state[5], high ^ second)
    state[0], state[1] = first, second


@compiled_lean
def _put(samples: Words, place: Int, time: Any, bits: Any, start: Any) -> None:
    if place < len(samples):
        samples[place, 0], samples[place, 1], samples[place, 2] = time, bits, start


@compiled_lean
def _sample(body: Bytes, at: Int, end: Int, is_v2: bool, place: Int, samples: Words, status: Ints) -> Any:
    """Scan a Sample of any form into row `place`; a fault or 0."""
    bits = time = start = np.uint64(0)
    while at < end:
        tag, begin, at = _field(body, at, end)
        if at < 0:
            return at
        if tag == 0x09:
            bits = word_at(body, begin)
        elif tag == 0x10:
            time, _ = _varint(body, begin, at)
        elif is_v2 and tag == 0x18:
            start, _ = _varint(body, begin, at)
        elif tag >> 3 <= (3 if is_v2 else 2):
            return WRONG_TYPE
    _put(samples, place, time, bits, start)
    if start:
        status[STARTS] = 1
    return 0


@compiled_lean
def _begin(secret: Words, state: Words, status: Ints) -> None:
    for place in range(len(secret)):
        state[place] = secret[place]
    for place in range(len(status)):
        status[place] = 0


@compiled_lean
def _push_item(kind: Int, begin: Int, end: Int, items: Ints, status: Ints) -> None:
    place = status[ITEMS]
    if place < len(items):
        items[place, 0], items[place, 1] = kind, status[SERIES]
        items[place, 2], items[place, 3] = begin, end
    status[ITEMS] = place + 1


@compiled_lean
def index_symbols(
    body: Bytes, secret: Words, state: Words, places: Ints, hashes: Words, status: Ints
) -> None:
    """The symbols of an `io.prometheus.write.v2.Request`: bytes from and to and whether it is `__name__` (`places`
    int64[>=s, 3]), keyed hash (`hashes` uint64[>=s, 2]).
    """
    _begin(secret, state, status)
    at, end = 0, len(body)
    while at < end:
        tag, begin, at = _field(body, at, end)
        if at < 0:
            status[STATUS] = at
            return
        if tag == 0x22:
            place = status[SYMBOLS]
            if place < len(places):
                state[0], state[1] = secret[0], secret[1]
                _hash(body, begin, at, state)
                hashes[place, 0], hashes[place, 1] = state[0], state[1]
                places[place, 0], places[place, 1] = begin, at
                places[place, 2] = 1 if at - begin == 8 and word_at(body, begin) == _NAME else 0
            status[SYMBOLS] = place + 1
        elif tag >> 3 == 4 or (tag >> 3 == 5 and tag != 0x2A):
            status[STATUS] = WRONG_TYPE
            return


@compiled_lean
def _take_ref(ref: Any, places: Ints, hashes: Words, state: Words) -> None:
    """Take one reference of a label into the hash of its series."""
    known = ref < np.uint64(len(hashes))
    place = np.int64(ref) if known else 0
    if known:
        state[0] = fold(state[0] ^ hashes[place, 0], state[2])
        state[1] = fold(state[1] ^ hashes[place, 1], state[3])
    else:  # whatever this is, it has a key of its own
        state[0] = fold(state[0] ^ ref, state[4])
        state[1] = fold(state[1] ^ ref, state[5])
    is_value = state[_REFS] & np.uint64(1)
    if is_value and state[_IS_NAME] and known:
        state[_FAMILY] = hashes[place, 0]
    state[_IS_NAME] = np.uint64(known and places[place, 2])
    state[_REFS] += np.uint64(1)


@compiled_lean
def _take_metadata(body: Bytes, at: Int, end: Int, hashes: Words, state: Words) -> Any:
    """Take a Metadata message into `state`; a fault or 0."""
    while at < end:
        tag, begin, at = _field(body, at, end)
        if at < 0:
            return at
        number = tag >> 3
        if number != 1 and number != 3 and number != 4:
            continue
        if tag & 7 != _VARINT:
            return WRONG_TYPE
        value, _ = _varint(body, begin, at)
        if number == 1:
            state[_TYPE] = value
        elif value:
            known = value < np.uint64(len(hashes))
            state[_HELP if number == 3 else _UNIT] = (
                hashes[np.int64(value), 0 if number == 3 else 1] if known else value
            )
    return 0


@compiled_lean
def _take_refs(body: Bytes, at: Int, end: Int, places: Ints, hashes: Words, state: Words) -> Any:
    """Take packed references into the hash of their series; a fault or 0."""
    while at < end:
        ref = np.uint64(body[at])
        if ref < np.uint64(0x80):
            at += 1
        else:
            ref, at = _varint(body, at, end)
            if at < 0:
                return at
        _take_ref(ref, places, hashes, state)
    return 0


@compiled_lean
def _other(
    body: Bytes,
    tag: Int,
    begin: Int,
    end: Int,
    is_v2: bool,
    hashes: Words,
    state: Words,
    items: Ints,
    status: Ints,
) -> Any:
    """Take a field of a TimeSeries that is neither labels nor samples; a fault or 0."""
    if tag == 0x1A or tag == 0x22:
        _push_item(HISTOGRAM if (tag == 0x1A) == is_v2 else EXEMPLAR, begin, end, items, status)
    elif is_v2 and tag == 0x2A:
        return _take_metadata(body, begin, end, hashes, state)
    elif is_v2 and tag == CREATED << 3:
        state[_START], _ = _varint(body, begin, end)
    elif tag >> 3 < (CREATED if is_v2 else 5):
        return WRONG_TYPE
    return 0


@compiled_lean
def _series(
    body: Bytes,
    at: Int,
    end: Int,
    is_v2: bool,
    places: Ints,
    hashes: Words,
    state: Words,
    samples: Words,
    items: Ints,
    status: Ints,
) -> Any:
    """Scan one TimeSeries; a fault or 0."""
    run, run_end, count, fault = at, at, status[SAMPLES], 0
    while at < end and fault == 0:
        place = at
        tag, begin = np.int64(body[at]), at + 2
        if tag & 0x87 == _BYTES and tag > 7 and begin <= end and body[at + 1] < 0x80:
            at = begin + np.int64(body[at + 1])
            if at > end:
                return TRUNCATED
        else:
            tag, begin, at = _field(body, at, end)
            if at < 0:
                return at
        if tag == 0x12:
            size, is_plain = at - begin - 10, False
            # As every sender writes it: value, then a timestamp of up to eight bytes that ends the message.
            if 0 < size <= 8 and begin + 18 <= len(body) and body[begin] == 0x09 and body[begin + 9] == 0x10:
                word = word_at(body, begin + 10)
                last = np.uint64(0x80) << np.uint64(8 * size - 8)
                word &= (last << np.uint64(1)) - np.uint64(1)
                if word & _UPPER == (last - np.uint64(1)) & _UPPER:
                    word &= ~_UPPER  # then the seven bits of each byte are moved together
                    word = (word & _TWOS) | ((word & (_TWOS << np.uint64(8))) >> np.uint64(1))
                    word = (word & _FOURS) | ((word & (_FOURS << np.uint64(16))) >> np.uint64(2))
                    word = (word & _EIGHT) | ((word & ~_EIGHT) >> np.uint64(4))
                    _put(samples, count, word, word_at(body, begin + 1), np.uint64(0))
                    is_plain = True
            if not is_plain:
                fault = _sample(body, begin, at, is_v2, count, samples, status)
            count += 1
        elif tag == 0x0A and not is_v2:
            if run_end != place:  # labels stand together in front; others are taken in as they come
                if run_end > run:
                    _hash(body, run, run_end, state)
                run = place
            run_end = at
        elif is_v2 and (tag == 0x0A or tag == 0x08):
            fault = _take_refs(body, begin, at, places, hashes, state)
        else:
            fault = _other(body, tag, begin, at, is_v2, hashes, state, items, status)
    if not is_v2:
        _hash(body, run, run_end, state)
    elif state[_START]:
        status[STARTS] = 1
        for place in range(status[SAMPLES], min(count, len(samples))):
            if not samples[place, 2]:
                samples[place, 2] = state[_START]
    status[SAMPLES] = count
    return fault


@compiled_lean
def scan(
    body: Bytes,
    is_v2: bool,
    secret: Words,
    state: Words,
    places: Ints,
    hashes: Words,
    keys: Words,
    marks: Ints,
    families: Words,
    samples: Words,
    items: Ints,
    status: Ints,
) -> None:
    """Scan a `prometheus.WriteRequest` or, `is_v2`, an `io.prometheus.write.v2.Request` whose symbols are in
    `places` and `hashes` (of exactly their number). What does not fit into the arrays is only counted.

    Series i of n: `keys` uint64[>=n, 2]; `marks` int64[>=n + 1, 3], its message from and to and its first sample;
    `families` uint64[>=n, 2] (2.0), a hash of metric, type, help and unit (0 where nothing is said) and the type
    (`METRIC_TYPE_…`). `samples` uint64[>=m, 3]: timestamp (Unix ms, as int64), bits of the float, start timestamp
    (0 without). `items` int64[>=k, 4].
    """
    _begin(secret, state, status)
    at: Int = 0
    end = len(body)
    while at < end and status[STATUS] == 0:
        tag, begin = np.int64(body[at]), at + 3
        if tag & 0x87 == _BYTES and tag > 7 and begin <= end and body[at + 1] >= 0x80 and body[at + 2] < 0x80:
            at = begin + (np.int64(body[at + 1]) & 0x7F | np.int64(body[at + 2]) << 7)
            at = at if at <= end else TRUNCATED
        else:
            tag, begin, at = _field(body, at, end)
        if at < 0:
            status[STATUS] = at
        elif tag == (0x2A if is_v2 else 0x0A):
            state[0], state[1] = secret[0], secret[1]
            for word in range(_REFS, WORKING):
                state[word] = np.uint64(0)
            place = status[SERIES]
            if place < len(marks):
                marks[place, 0], marks[place, 1], marks[place, 2] = begin, at, status[SAMPLES]
            status[STATUS] = _series(body, begin, at, is_v2, places, hashes, state, samples, items, status)
            if place < len(keys):
                keys[place, 0], keys[place, 1] = state[0], state[1]
            if place < len(families):
                families[place, 0], families[place, 1] = _family(state), state[_TYPE]
            status[SERIES] = place + 1
        elif not is_v2 and tag == 0x1A:
            _push_item(METADATA, begin, at, items, status)
        elif not is_v2 and (tag >> 3 == 1 or tag >> 3 == 3):
            status[STATUS] = WRONG_TYPE
    if status[SERIES] < len(marks):
        marks[status[SERIES], 2] = status[SAMPLES]


@compiled_lean
def _family(state: Words) -> Any:
    """A hash of what a series of 2.0 said of its metric; 0 for nothing."""
    if not (state[_TYPE] | state[_HELP] | state[_UNIT]):
        return np.uint64(0)
    hashed = fold(state[_FAMILY] ^ state[_TYPE], state[2])
    hashed = fold(hashed ^ state[_HELP], state[3])
    return fold(hashed ^ state[_UNIT], state[4])
