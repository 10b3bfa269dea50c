"""Decimal numbers of JSON to the nearest float64, in compiled code.

Up to 19 digits and exponents that occur are read exactly, by Clinger's fast path [1]_ or Lemire's product
with 128-bit powers of five [2]_; for anything else the caller takes another way.

References
----------
.. [1] Clinger, How to Read Floating Point Numbers Accurately, PLDI 1990.
.. [2] Lemire, Number Parsing at a Gigabyte per Second, Software: Practice and Experience 2021.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

EXPONENT_MIN: Final = -80  # of ten, together with the digits; what is smaller or larger goes the slow way
EXPONENT_MAX: Final = 60
DIGITS_MAX: Final = 19  # always fit in 64 bits
_EXACT_MAX = np.uint64(1 << 53)
POWERS = np.array([10.0**power for power in range(23)])  # all exact
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
# 64 bits of product, of which 52 are the fraction and three decide how to round.
_KEPT_SHIFT = np.uint64(64 - 52 - 3)
_TAIL_MASK = np.uint64((1 << 9) - 1)
FAILED = -1
SHORT_DIGITS: Final = 15  # fit in 53 bits: the quotient by an exact power of ten is the nearest float
ZERO, NINE, DOT, MINUS, PLUS = 48, 57, 46, 45, 43
UPPER_E, LOWER_E = 69, 101


def _powers_of_five() -> npt.NDArray[np.uint64]:
    """The leading 128 bits of each 5^q, truncated; of negative ones rounded up."""
    rows = []
    for power in range(EXPONENT_MIN, EXPONENT_MAX + 1):
        if power >= 0:
            bits = 5**power
            bits = bits << (128 - bits.bit_length()) if bits.bit_length() <= 128 else bits >> (
                bits.bit_length() - 128
            )  # fmt: skip
        else:
            of = 5**-power
            z = (of - 1).bit_length()
            bits = (1 << (z + 127 if power >= -27 else 2 * z + 128)) // of + 1
            bits >>= max(bits.bit_length() - 128, 0)
        rows.append((bits >> 64, bits & ((1 << 64) - 1)))
    return np.array(rows, dtype=np.uint64)


_FIVES = _powers_of_five()


@njit(cache=True)
def _product(a, b):  # type: ignore[no-untyped-def]
    """High and low half of a 64 by 64 bit product."""
    a_low, a_high, b_low, b_high = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    low = a_low * b_low
    middle = a_high * b_low + (low >> _HALF)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (other >> _HALF), (other << _HALF) | (low & _LOW)


@njit(cache=True)
def nearest_bits(digits, exponent):  # type: ignore[no-untyped-def]
    """Bits of the float64 nearest to digits * 10^exponent, digits above 0; 0 where this cannot tell."""
    shift = np.uint64(0)
    normal = digits
    for step in (np.uint64(32), np.uint64(16), np.uint64(8), np.uint64(4), np.uint64(2), np.uint64(1)):
        if normal >> (np.uint64(64) - step) == np.uint64(0):
            normal = normal << step
            shift += step
    high, low = _product(normal, _FIVES[exponent - EXPONENT_MIN, 0])
    if (high & _TAIL_MASK) == _TAIL_MASK:
        more, _ = _product(normal, _FIVES[exponent - EXPONENT_MIN, 1])
        before = low
        low += more
        if low < before:
            high += _ONE
    if low == _ALL and not -27 <= exponent <= 55:
        return np.uint64(0)
    upper = high >> np.uint64(63)
    fraction = high >> (upper + _KEPT_SHIFT)
    power = ((152170 + 65536) * exponent >> 16) + 63 + np.int64(upper) - np.int64(shift) + 1023
    if power <= 0:
        return np.uint64(0)  # subnormal
    is_halfway = low <= _ONE and -4 <= exponent <= 23 and (fraction & np.uint64(3)) == _ONE
    if is_halfway and fraction << (upper + _KEPT_SHIFT) == high:
        fraction &= ~_ONE
    fraction = (fraction + (fraction & _ONE)) >> _ONE
    if fraction >= np.uint64(1 << 53):
        fraction = np.uint64(1 << 52)
        power += 1
    if power >= 0x7FF:
        return np.uint64(0)
    return (fraction & np.uint64((1 << 52) - 1)) | (np.uint64(power) << np.uint64(52))


@njit(cache=True)
def _digits_of(text, at, stop, digits, count):  # type: ignore[no-untyped-def]
    """Append digits from `at` on; where they end, the number, how many counted (leading zeros do not)."""
    while at < stop and ZERO <= text[at] <= NINE:
        digits = digits * np.uint64(10) + np.uint64(text[at] - ZERO)
        count += digits != np.uint64(0)
        at += 1
    return at, digits, count


@njit(cache=True)
def _read_any(text, at, stop, bits):  # type: ignore[no-untyped-def]  # noqa: PLR0911 - one pass, in order
    """A number of any length and with an exponent, as `read_number` gives it."""
    is_negative = at < stop and text[at] == MINUS
    begin = at + is_negative
    at, digits, count = _digits_of(text, begin, stop, np.uint64(0), 0)
    n_whole = at - begin
    if n_whole == 0 or (n_whole > 1 and text[begin] == ZERO):
        return FAILED, 0.0, False
    exponent = np.int64(0)
    is_integer = True
    if at < stop and text[at] == DOT:
        is_integer = False
        begin = at + 1
        at, digits, count = _digits_of(text, begin, stop, digits, count)
        exponent = begin - at
        if at == begin:
            return FAILED, 0.0, False
    if at < stop and (text[at] == LOWER_E or text[at] == UPPER_E):
        is_integer = False
        sign = 1
        at += 1
        if at < stop and (text[at] == MINUS or text[at] == PLUS):
            sign = -1 if text[at] == MINUS else 1
            at += 1
        begin = at
        at, written, n_written = _digits_of(text, begin, stop, np.uint64(0), 0)
        if at == begin or n_written > 4:
            return FAILED, 0.0, False
        exponent += sign * np.int64(written)
    if count > DIGITS_MAX:
        return FAILED, 0.0, False
    value = 0.0
    if digits != np.uint64(0):
        if digits <= _EXACT_MAX and -22 <= exponent <= 22:
            value = np.float64(digits)
            value = value * POWERS[exponent] if exponent >= 0 else value / POWERS[-exponent]
        elif EXPONENT_MIN <= exponent <= EXPONENT_MAX:
            bits[0] = nearest_bits(digits, exponent)
            if bits[0] == np.uint64(0):
                return FAILED, 0.0, False
            value = bits.view(np.float64)[0]
        else:
            return FAILED, 0.0, False
    return at, -value if is_negative else value, is_integer


@njit(cache=True)
def read_number(text, at, stop, bits):  # type: ignore[no-untyped-def]
    """Read one JSON number.

    Parameters
    ----------
    text : ndarray of uint8
    at, stop : int
        Where it begins, and where the text ends.
    bits : ndarray of uint64, shape (1,)
        Working room.

    Returns
    -------
    at : int
        Where the number ends; `FAILED` where it is none, or must be read another way.
    value : float64
    is_integer : bool
        Whether it was written without point and exponent.
    """
    begin = at
    at += at < stop and text[at] == MINUS
    first, digits = at, np.int64(0)
    while at < stop and ZERO <= text[at] <= NINE:
        digits = digits * 10 + (text[at] - ZERO)
        at += 1
    n_digits = at - first
    if n_digits == 0 or n_digits > SHORT_DIGITS or (n_digits > 1 and text[first] == ZERO):
        return _read_any(text, begin, stop, bits)
    point = at
    if at < stop and text[at] == DOT:
        at += 1
        while at < stop and ZERO <= text[at] <= NINE:
            digits = digits * 10 + (text[at] - ZERO)
            at += 1
        n_digits += at - point - 1
        if at == point + 1 or n_digits > SHORT_DIGITS:
            return _read_any(text, begin, stop, bits)
    if at < stop and (text[at] == LOWER_E or text[at] == UPPER_E):
        return _read_any(text, begin, stop, bits)
    value = np.float64(digits)
    if at > point:
        value /= POWERS[at - point - 1]
    return at, -value if first > begin else value, at == point
