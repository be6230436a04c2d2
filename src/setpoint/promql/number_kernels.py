"""Floats as the shortest decimals that read back as themselves, compiled: an answer has millions of them.

`encode` calls it for the Prometheus API. The digits are found by Schubfach (Raffaello Giulietti, "The Schubfach way to
render doubles", 2021); they are laid out as Go's `strconv` does for Prometheus: plain from 1e-6 up to 1e21, with an
exponent of two digits or more beyond. Numbers of at most 15 decimal places need no table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled

__all__ = ["NUMBER_BYTES", "put_number", "put_points", "put_values", "warm"]

NUMBER_BYTES = 32
"""No number is longer."""

Bytes = npt.NDArray[np.uint8]

_LEAST_POWER, _LARGEST_POWER = -292, 324


def _power(exponent: int) -> tuple[int, int]:
    """10^exponent as a number of 128 bits without its power of two, rounded up."""
    bits = (exponent * 1741647 >> 19) - 127
    if exponent >= 0:
        exact = 10**exponent
        scaled = exact << -bits if bits <= 0 else -(-exact >> bits)
    else:
        scaled = -((-1 << -bits) // 10**-exponent)
    return scaled >> 64, scaled & 0xFFFFFFFFFFFFFFFF


_POWERS = np.array([_power(exponent) for exponent in range(_LEAST_POWER, _LARGEST_POWER + 1)], np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_U0, _U1, _U2, _U4, _U10, _U32, _U40 = (np.uint64(number) for number in (0, 1, 2, 4, 10, 32, 40))
_FRACTION = np.uint64((1 << 52) - 1)
_HIDDEN = np.uint64(1 << 52)


@compiled
def _high(a: Any, b: Any) -> Any:
    """The upper half of the product of two uint64."""
    a_low, a_high, b_low, b_high = a & _LOW, a >> _U32, b & _LOW, b >> _U32
    middle = a_high * b_low + (a_low * b_low >> _U32)
    return a_high * b_high + (middle >> _U32) + ((a_low * b_high + (middle & _LOW)) >> _U32)


@compiled
def _round_to_odd(high: Any, low: Any, factor: Any) -> Any:
    """The upper 64 bits of a product of 128 and 64 bits; the last is set when what follows is not nothing."""
    carried = _high(low, factor)
    inner = high * factor
    total = inner + carried
    upper = _high(high, factor)
    if total < inner:
        upper += _U1
    if total > _U1:
        upper |= _U1
    return upper


@compiled
def _shortest(bits: Any) -> Any:
    """Digits (uint64) and decimal exponent (int64) of a finite double above zero."""
    fraction = bits & _FRACTION
    exponent = np.int64(bits >> np.uint64(52)) & np.int64(0x7FF)
    if exponent:
        binary, power = fraction | _HIDDEN, exponent - np.int64(1075)
    else:
        binary, power = fraction, np.int64(-1074)
    if np.int64(-52) <= power <= np.int64(0):
        shift = np.uint64(-power)
        if (binary >> shift) << shift == binary:
            return binary >> shift, np.int64(0)
    is_odd = binary & _U1
    is_closer = fraction == _U0 and exponent > np.int64(1)
    middle = binary << _U2
    lower = middle - (_U1 if is_closer else _U2)
    upper = middle + _U2
    decimal = (power * np.int64(1262611) - (np.int64(524031) if is_closer else np.int64(0))) >> np.int64(22)
    shift = np.uint64(power + ((-decimal * np.int64(1741647)) >> np.int64(19)) + np.int64(1))
    place = -decimal - np.int64(_LEAST_POWER)
    high, low = _POWERS[place, 0], _POWERS[place, 1]
    lower = _round_to_odd(high, low, lower << shift) + is_odd
    value = _round_to_odd(high, low, middle << shift)
    upper = _round_to_odd(high, low, upper << shift) - is_odd
    digits = value >> _U2
    if digits >= _U10:
        fewer = digits // _U10
        is_low_inside = lower <= _U40 * fewer
        is_high_inside = _U40 * fewer + _U40 <= upper
        if is_low_inside != is_high_inside:
            return fewer + (_U1 if is_high_inside else _U0), decimal + np.int64(1)
    is_low_inside = lower <= digits << _U2
    is_high_inside = (digits << _U2) + _U4 <= upper
    if is_low_inside != is_high_inside:
        return digits + (_U1 if is_high_inside else _U0), decimal
    half = (digits << _U2) + _U2
    is_up = value > half or (value == half and (digits & _U1) == _U1)
    return digits + (_U1 if is_up else _U0), decimal


@compiled
def _put_word(out: Bytes, at: int, a: int, b: int, c: int) -> int:
    out[at], out[at + 1], out[at + 2] = a, b, c
    return at + 3


@compiled
def put_number(value: float, bits: Any, out: Bytes, at: int) -> int:
    """Write `value`, whose bits (uint64) are `bits`, to `out` from `at` on; the place after it."""
    if np.isnan(value):
        return _put_word(out, at, 78, 97, 78)  # NaN
    if bits >> np.uint64(63):
        out[at] = 45  # -
        at += 1
        bits &= np.uint64(0x7FFFFFFFFFFFFFFF)
    elif bits == np.uint64(0x7FF0000000000000):
        out[at] = 43  # +
        at += 1
    if bits == np.uint64(0x7FF0000000000000):
        return _put_word(out, at, 73, 110, 102)  # Inf
    if bits == _U0:
        out[at] = 48
        return at + 1
    digits, exponent = _shortest(bits)
    while digits % _U10 == _U0:
        digits //= _U10
        exponent += np.int64(1)
    count = 0
    rest = digits
    while rest:
        rest //= _U10
        count += 1
    magnitude = count + exponent  # the number is 0.digits times ten to this power
    if -6 < magnitude <= 21:
        return _put_plain(digits, count, magnitude, out, at)
    return _put_scientific(digits, count, magnitude - 1, out, at)


@compiled
def _put_digits(digits: Any, count: int, out: Bytes, at: int) -> int:
    for place in range(at + count - 1, at - 1, -1):
        out[place] = np.uint8(48) + np.uint8(digits % _U10)
        digits //= _U10
    return at + count


@compiled
def _put_plain(digits: Any, count: int, magnitude: int, out: Bytes, at: int) -> int:
    if magnitude <= 0:
        out[at], out[at + 1] = 48, 46  # 0.
        at += 2
        for _ in range(-magnitude):
            out[at] = 48
            at += 1
        return _put_digits(digits, count, out, at)
    if magnitude >= count:
        at = _put_digits(digits, count, out, at)
        for _ in range(magnitude - count):
            out[at] = 48
            at += 1
        return at
    end = _put_digits(digits, count, out, at + 1)
    for place in range(at, at + magnitude):
        out[place] = out[place + 1]
    out[at + magnitude] = 46
    return end


@compiled
def _put_scientific(digits: Any, count: int, power: int, out: Bytes, at: int) -> int:
    end = _put_digits(digits, count, out, at + 1)
    out[at] = out[at + 1]
    if count == 1:
        end = at + 1
    else:
        out[at + 1] = 46
    out[end] = 101  # e
    out[end + 1] = 45 if power < 0 else 43
    end += 2
    power = abs(power)
    if power >= 100:
        out[end] = 48 + power // 100
        end += 1
    out[end] = 48 + power // 10 % 10
    out[end + 1] = 48 + power % 10
    return end + 2


@compiled
def put_points(
    values: npt.NDArray[np.float64],
    present: npt.NDArray[np.bool_],
    times: Bytes,
    starts: npt.NDArray[np.int64],
    out: Bytes,
) -> int:
    """Write the points of one series as `[time,"value"],…` without a comma at the end; how many bytes.

    `times` holds the instants as text, that of step j at `starts[j]:starts[j + 1]`. `out` has room for NUMBER_BYTES,
    six more and the text of the time for each step.
    """
    bits = values.view(np.uint64)
    at = 0
    for step in range(len(values)):
        if not present[step]:
            continue
        if at:
            out[at] = 44
            at += 1
        out[at] = 91
        at += 1
        for place in range(starts[step], starts[step + 1]):
            out[at] = times[place]
            at += 1
        out[at], out[at + 1] = 44, 34
        at = put_number(values[step], bits[step], out, at + 2)
        out[at], out[at + 1] = 34, 93
        at += 2
    return at


@compiled
def put_values(values: npt.NDArray[np.float64], out: Bytes, ends: npt.NDArray[np.int64]) -> int:
    """Write the numbers one after the other, number i up to `ends[i]`; how many bytes."""
    bits = values.view(np.uint64)
    at = 0
    for place in range(len(values)):
        at = put_number(values[place], bits[place], out, at)
        ends[place] = at
    return at


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    values, out = np.array([0.1, 3e22]), np.empty(128, np.uint8)
    put_values(values, out, np.empty(2, np.int64))
    put_points(values, np.ones(2, np.bool_), out.copy(), np.array([0, 1, 2], np.int64), out)
