# ruff: noqa: PLR0917, PLR1714, SIM109 - kernels take flat values and compile comparisons, not sets
"""The kernel that reads an exposition: finds the lines, hashes the series part of each, reads its value.

`exposition.read_samples` calls it for each body. A target sends the same series in every scrape, so nothing
here looks into a series: its bytes become a 128-bit key that `SeriesTable.find` knows. Only what is new is
parsed, in Python, and only there it shows whether it is valid. Comments, exemplars and numbers that need care
are told by their places.

Numbers: digits are gathered into 64 bits and scaled by Eisel and Lemire's method (D. Lemire, "Number parsing
at a gigabyte per second", 2021), which gives the nearest double, as Python's `float` does; what it leaves
open goes to Python. Hash: two lanes of 64-by-64-bit products folded together, in the manner of wyhash, keyed
with a secret of the process, so that nobody outside can build two series with one key.

No byte outside of the body is read: every access is behind a comparison with its length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from setpoint.compiled import compiled_lean

__all__ = [
    "BAD_LABELS", "BAD_TIME", "BAD_TOKEN", "MISSING_END", "MISSING_VALUE", "NO_TIME", "OK", "POWERS", "TOO_MANY",
    "TRAILING", "hash_bytes", "scan",
]  # fmt: skip

# How a scan ends: what is not OK stands at `counts[5]`.
OK, BAD_TOKEN, BAD_LABELS, MISSING_VALUE, BAD_TIME, TRAILING, MISSING_END, TOO_MANY = range(8)
NO_TIME = -(2**63)
"""The time of a line that names none."""

_TAB, _NEWLINE, _SPACE, _QUOTE, _HASH, _PLUS, _MINUS, _DOT = 9, 10, 32, 34, 35, 43, 45, 46
_ZERO, _NINE, _EQUALS, _BACKSLASH, _LOWER_E, _OPEN, _CLOSE = 48, 57, 61, 92, 101, 123, 125
_UPPER_E, _UPPER_F, _UPPER_N, _UPPER_O, _LOWER_A = 69, 70, 78, 79, 97
_SECONDS_MAX = 9e15
_LEAST_POWER, _GREATEST_POWER = -342, 308
_EXACT_POWERS = np.array([10.0**power for power in range(23)])


def _powers_of_five() -> npt.NDArray[np.uint64]:
    """The first 128 bits of 5^q for q from -342 to 308, as high and low words uint64[651, 2]."""
    table = np.empty((_GREATEST_POWER - _LEAST_POWER + 1, 2), np.uint64)
    for power in range(_LEAST_POWER, _GREATEST_POWER + 1):
        if power >= 0:
            bits = 5**power
            size = bits.bit_length()
            bits = bits << (128 - size) if size <= 128 else bits >> (size - 128)
        else:
            divisor = 5**-power
            # Rounded up, as the method needs it for reciprocals.
            bits = (1 << (2 * divisor.bit_length() + 128)) // divisor + 1
            bits >>= bits.bit_length() - 128
        table[power - _LEAST_POWER] = bits >> 64, bits & (2**64 - 1)
    return table


POWERS = _powers_of_five()


def _multiply_high(typing_context: Any, left: Any, right: Any) -> Any:
    """The upper 64 bits of a 64-by-64-bit product."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        one, other = (builder.zext(argument, wide) for argument in arguments)
        upper = builder.lshr(builder.mul(one, other), ir.Constant(wide, 64))
        return builder.trunc(upper, ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


def _load_word(typing_context: Any, array: Any, position: Any) -> Any:
    """Eight bytes of an array at any place, as a little-endian word; the caller has checked the bounds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.PointerType(ir.IntType(64)))
        word = builder.load(pointer)
        word.align = 1
        return word

    return types.uint64(array, types.intp), generate


def _reinterpret(typing_context: Any, bits: Any) -> Any:
    """The double of these 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


_double = cast("Callable[[Any], float]", intrinsic(_reinterpret))
_high = cast("Callable[[Any, Any], Any]", intrinsic(_multiply_high))
_word = cast("Callable[[Any, int], Any]", intrinsic(_load_word))


@compiled_lean
def _fold(left: Any, right: Any) -> Any:
    """Both halves of a product, one over the other."""
    return _high(left, right) ^ (left * right)


@compiled_lean
def _hash(body: Any, start: int, end: int, secret: tuple[Any, Any, Any, Any]) -> tuple[Any, Any]:
    """The 128-bit keyed hash of the bytes `start:end` of `body`."""
    one, other, third, fourth = secret
    position = start
    while end - position >= 16:
        left, right = _word(body, position), _word(body, position + 8)
        one = _fold(left ^ third, right ^ one) ^ right
        other = _fold(right ^ fourth, left ^ other) ^ left
        position += 16
    left, right = np.uint64(0), np.uint64(0)
    if end - position >= 8:
        left = _word(body, position)
        position += 8
    shift = np.uint64(0)
    while position < end:
        right |= np.uint64(body[position]) << shift
        shift += np.uint64(8)
        position += 1
    size = np.uint64(end - start)
    one = _fold(left ^ third, right ^ one) ^ right
    other = _fold(right ^ fourth, left ^ other) ^ left
    return _fold(one ^ size, other ^ third), _fold(other ^ size, one ^ fourth)


@compiled_lean
def hash_bytes(text: Any, secret: Any, key: Any) -> None:
    """The key that the scan gives to the bytes `text` uint8[n], into `key` uint64[2]; `secret` is uint64[4]."""
    key[0], key[1] = _hash(text, 0, len(text), (secret[0], secret[1], secret[2], secret[3]))


@compiled_lean
def _leading_zeros(number: Any) -> int:
    count = 0
    for size in (32, 16, 8, 4, 2, 1):
        if number >> np.uint64(64 - size) == np.uint64(0):
            count += size
            number <<= np.uint64(size)
    return count


@compiled_lean
def _scaled(digits: Any, power: int, powers: Any) -> tuple[bool, Any]:
    """The bits of the double nearest to `digits` times 10^`power`; False when that is left open."""
    unknown = (False, np.uint64(0))
    if power < -307 or power > _GREATEST_POWER:
        return unknown
    zeros = _leading_zeros(digits)
    shifted = digits << np.uint64(zeros)
    row = power - _LEAST_POWER
    first = powers[row, 0]
    high, low = _high(shifted, first), shifted * first
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        second = _high(shifted, powers[row, 1])
        low += second
        if second > low:
            high += np.uint64(1)
    if low == np.uint64(0xFFFFFFFFFFFFFFFF) and (power < -27 or power > 55):
        return unknown
    upper = high >> np.uint64(63)
    drop = upper + np.uint64(9)
    mantissa = high >> drop
    exponent = ((217706 * power) >> 16) + 63 + np.int64(upper) - zeros + 1023
    if exponent <= 0:
        return unknown
    halfway = low <= np.uint64(1) and -4 <= power <= 23 and mantissa & np.uint64(3) == np.uint64(1)
    if halfway and mantissa << drop == high:
        mantissa &= ~np.uint64(1)
    mantissa = (mantissa + (mantissa & np.uint64(1))) >> np.uint64(1)
    if mantissa >= np.uint64(1 << 53):
        mantissa = np.uint64(1 << 52)
        exponent += 1
    if exponent >= 0x7FF:
        return unknown
    return True, (mantissa & np.uint64((1 << 52) - 1)) | (np.uint64(exponent) << np.uint64(52))


@compiled_lean
def _digits(body: Any, start: int, end: int) -> tuple[int, Any, int]:
    """The digits from `start` on, a point among them: where they end (below 0: there are none, or too many),
    as a whole number, and the power of ten that belongs to it.
    """
    digits, count, power, found, has_point, position = np.uint64(0), 0, 0, False, False, start
    while position < end:
        character = body[position]
        if _ZERO <= character <= _NINE:
            found = True
            if count or character != _ZERO:
                count += 1
                digits = digits * np.uint64(10) + np.uint64(character - _ZERO)
            if has_point:
                power -= 1
        elif character == _DOT and not has_point:
            has_point = True
        else:
            break
        position += 1
    return (position if found and count <= 19 else -1), digits, power


@compiled_lean
def _number(body: Any, start: int, end: int, powers: Any) -> tuple[bool, float]:
    """The decimal number at `start:end`; False when Python has to read it."""
    is_negative = False
    if start < end and (body[start] == _MINUS or body[start] == _PLUS):
        is_negative = body[start] == _MINUS
        start += 1
    position, digits, power = _digits(body, start, end)
    if position < 0:
        return False, 0.0
    if position < end and (body[position] == _LOWER_E or body[position] == _UPPER_E):
        position += 1
        is_small = False
        if position < end and (body[position] == _MINUS or body[position] == _PLUS):
            is_small = body[position] == _MINUS
            position += 1
        exponent, first = 0, position
        while position < end and _ZERO <= body[position] <= _NINE and exponent < 10_000:
            exponent = exponent * 10 + (body[position] - _ZERO)
            position += 1
        if position == first:
            return False, 0.0
        power += -exponent if is_small else exponent
    if position != end:
        return False, 0.0
    if digits == np.uint64(0):
        value = 0.0
    elif digits <= np.uint64(1 << 53) and -22 <= power <= 22:
        value = float(digits)
        value = value * _EXACT_POWERS[power] if power >= 0 else value / _EXACT_POWERS[-power]
    else:
        is_known, bits = _scaled(digits, power, powers)
        if not is_known:
            return False, 0.0
        value = _double(bits)
    return True, (-value if is_negative else value)


@compiled_lean
def _series_end(body: Any, size: int, start: int, is_text: bool) -> int:
    """Where the series that begins at `start` ends: behind its labels, or its name. -1 when it does not."""
    position = start
    while position < size:
        character = body[position]
        if character == _SPACE or character == _OPEN or character == _NEWLINE or character == _TAB:
            break
        position += 1
    end = position
    if is_text:
        position = _skip_blanks(body, size, position)
    if position >= size or body[position] != _OPEN:
        return end
    position += 1
    while position < size:
        character = body[position]
        position += 1
        if character == _CLOSE:
            return position
        if character == _NEWLINE:
            return -1
        if character == _QUOTE:
            while position < size and body[position] != _QUOTE:
                if body[position] == _NEWLINE and not is_text:
                    return -1
                position += 2 if body[position] == _BACKSLASH else 1
            position += 1
    return -1


@compiled_lean
def _token_end(body: Any, size: int, position: int, is_text: bool) -> int:
    while position < size:
        character = body[position]
        if character == _SPACE or character == _NEWLINE or (is_text and character == _TAB):
            break
        position += 1
    return position


@compiled_lean
def _skip_blanks(body: Any, size: int, position: int) -> int:
    while position < size and (body[position] == _SPACE or body[position] == _TAB):
        position += 1
    return position


@compiled_lean
def _line_end(body: Any, size: int, position: int) -> int:
    while position < size and body[position] != _NEWLINE:
        position += 1
    return position


@compiled_lean
def _is_nan(body: Any, start: int, end: int) -> bool:
    return (
        end - start == 3
        and body[start] == _UPPER_N
        and body[start + 1] == _LOWER_A
        and body[start + 2] == _UPPER_N
    )


@compiled_lean
def _is_end(body: Any, size: int, position: int) -> bool:
    """True at the line `# EOF` of OpenMetrics."""
    return (
        size - position >= 5
        and body[position + 1] == _SPACE
        and body[position + 2] == _UPPER_E
        and body[position + 3] == _UPPER_O
        and body[position + 4] == _UPPER_F
        and (size == position + 5 or body[position + 5] == _NEWLINE)
    )


@compiled_lean
def _time(body: Any, start: int, end: int, is_text: bool, powers: Any) -> tuple[int, int]:
    """The instant in Unix ms that stands at `start:end`, and OK, BAD_TIME, or -1 where Python has to read it.

    The text format has whole milliseconds, OpenMetrics seconds.
    """
    instant = 0
    if end == start or (is_text and end - start > 18):
        return instant, BAD_TIME
    if is_text:
        for position in range(start, end):
            if not _ZERO <= body[position] <= _NINE:
                return 0, BAD_TIME
            instant = instant * 10 + (body[position] - _ZERO)
        return instant, OK
    is_read, seconds = _number(body, start, end, powers)
    if not is_read:
        return instant, -1
    if not abs(seconds) < _SECONDS_MAX:
        return instant, BAD_TIME
    instant = np.int64(seconds * 1000.0)  # type: ignore[assignment]
    return instant, OK


@compiled_lean
def _exemplar_start(body: Any, size: int, position: int) -> int:
    """Where the labels of an exemplar begin when ` # {` stands at `position`, else -1."""
    has_exemplar = (
        size - position > 3
        and body[position + 1] == _HASH
        and body[position + 2] == _SPACE
        and body[position + 3] == _OPEN
    )
    return position + 3 if has_exemplar else -1


@compiled_lean
def _tail(
    body: Any, size: int, position: int, is_text: bool, powers: Any
) -> tuple[int, int, int, int, int, int, int]:
    """What stands behind a value: where the next line begins; how it went; time, its start and end (0 when it
    is read already or not there); start and end of an exemplar (0 without).
    """
    instant, time_start, time_end, mark, mark_end = NO_TIME, 0, 0, 0, 0
    is_time = position < size and body[position] != _NEWLINE
    if not is_text:
        is_time = is_time and position + 1 < size and body[position + 1] != _HASH
        position += 1 if is_time else 0
    if is_time:
        end = _token_end(body, size, position, is_text)
        instant, how = _time(body, position, end, is_text, powers)
        if how == BAD_TIME:
            return position, BAD_TIME, instant, 0, 0, 0, 0
        if how < 0:
            time_start, time_end = position, end
        position = _skip_blanks(body, size, end) if is_text else end
    if not is_text and position < size and body[position] == _SPACE:
        mark = _exemplar_start(body, size, position)
        if mark < 0:
            return position, TRAILING, instant, 0, 0, 0, 0
        position = mark_end = _line_end(body, size, position)
    if position < size and body[position] != _NEWLINE:
        return position, TRAILING, instant, 0, 0, 0, 0
    return position + 1, OK, instant, time_start, time_end, mark, mark_end


@compiled_lean
def _sample(
    body: Any, size: int, position: int, is_text: bool, powers: Any
) -> tuple[int, int, float, int, tuple[int, int, int, int, int, int]]:
    """What stands behind the series that ends at `position`: where the next line begins; how it went; value;
    time in ms; start and end of value, time and exemplar, an end of 0 for what is read or not there.
    """
    status, start = OK, _skip_blanks(body, size, position) if is_text else position + 1
    if not is_text and (position >= size or body[position] != _SPACE):
        start, status = position, MISSING_VALUE
    end = _token_end(body, size, start, is_text)
    if end <= start:
        status = MISSING_VALUE
    is_read, value = _number(body, start, end, powers)
    value_end = 0 if is_read or _is_nan(body, start, end) else end
    position = _skip_blanks(body, size, end) if is_text else end
    position, how, instant, time_start, time_end, mark, mark_end = _tail(
        body, size, position, is_text, powers
    )
    if status == OK:
        status = how
    else:
        position = start
    places = (start, value_end, time_start, time_end, mark, mark_end)
    return position, status, (value if is_read else np.nan), instant, places


@compiled_lean
def scan(
    body: Any, is_text: bool, secret: Any, powers: Any, rows: Any, keys: Any, values: Any, comments: Any,
    slow: Any, exemplars: Any, exemplar_keys: Any, counts: Any, comments_key: Any,
) -> int:  # fmt: skip
    """Read `body` uint8[n] in the text format or, if not `is_text`, as OpenMetrics. Returns how it ended.

    `secret` is uint64[4], `powers` the table POWERS. Written are: `rows` int64[m, 3] (time in ms or NO_TIME,
    start and end of the series' bytes), `keys` uint64[m, 2], `values` float64[m], `comments` int64[c, 2]
    (start, end), `slow` int64[2m, 4] (row, start, end; 0 for a value, 1 for a time) for Python to read,
    `exemplars` int64[m, 3] (row, start, end) with `exemplar_keys` uint64[m, 2], `counts` int64[6]: how many
    of rows, comments, slow and exemplars; how many rows name a time; where it ended, and `comments_key`
    uint64[2], which stands for all comments. More than m samples or c comments are TOO_MANY.
    """
    size = len(body)
    words = (secret[0], secret[1], secret[2], secret[3])
    position, status, row, comment, slows, marked, timed, ended = 0, OK, 0, 0, 0, 0, 0, is_text
    while position < size:
        if is_text:
            position = _skip_blanks(body, size, position)
            if position >= size or body[position] == _NEWLINE:
                position += 1
                continue
        if body[position] == _HASH:
            if not is_text and _is_end(body, size, position):
                position, ended = position + 6, True
                status = OK if position >= size else TRAILING
                break
            if comment >= len(comments):
                status = TOO_MANY
                break
            end = _line_end(body, size, position)
            comments[comment, 0], comments[comment, 1] = position, end
            # Each comment is hashed under what stands for those before it.
            chained = (comments_key[0], comments_key[1], words[2], words[3])
            comments_key[0], comments_key[1] = _hash(body, position, end, chained)
            comment, position = comment + 1, end + 1
            continue
        end = _series_end(body, size, position, is_text)
        if row >= len(rows) or end <= position:
            status = TOO_MANY if row >= len(rows) else BAD_LABELS if end < 0 else BAD_TOKEN
            break
        keys[row, 0], keys[row, 1] = _hash(body, position, end, words)
        rows[row, 1], rows[row, 2] = position, end
        position, status, values[row], rows[row, 0], places = _sample(body, size, end, is_text, powers)
        if status != OK:
            break
        for what in range(2):
            if places[2 * what + 1]:
                slow[slows, 0], slow[slows, 3] = row, what
                slow[slows, 1], slow[slows, 2] = places[2 * what], places[2 * what + 1]
                slows += 1
        if places[5]:
            exemplars[marked, 0], exemplars[marked, 1], exemplars[marked, 2] = row, places[4], places[5]
            exemplar_keys[marked, 0], exemplar_keys[marked, 1] = _hash(body, places[4], places[5], words)
            marked += 1
        timed += rows[row, 0] != NO_TIME
        row += 1
    counts[0], counts[1], counts[2], counts[3], counts[4] = row, comment, slows, marked, timed
    counts[5] = min(position, size)
    return MISSING_END if status == OK and not ended and size > 0 else status
