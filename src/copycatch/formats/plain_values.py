"""Strings, times and vectors of plain records, in compiled code; `FAILED` is for whatever is not plain."""

from typing import Final

import numpy as np
from numba import njit

from copycatch.formats.decimals import FAILED, MINUS, NINE, POWERS, SHORT_DIGITS, ZERO, read_number
from copycatch.records.wire import VECTOR_LENGTH_MAX

QUOTE: Final = ord('"')
BACKSLASH: Final = ord("\\")
COLON, COMMA = ord(":"), ord(",")
CURLY_OPEN, CURLY_CLOSE = ord("{"), ord("}")
SQUARE_OPEN, SQUARE_CLOSE = ord("["), ord("]")
T_CHAR, F_CHAR, N_CHAR = ord("t"), ord("f"), ord("n")
DASH, DOT, EQUALS, UPPER_T, UPPER_Z = ord("-"), ord("."), ord("="), ord("T"), ord("Z")
_SPACES = (0x20, 0x09, 0x0A, 0x0D)
_CONTROL_MAX: Final = 0x1F
# FNV-1a; whoever forges a collision makes his own records a little slower.
_HASH_START = np.uint64(0xCBF29CE484222325)
_HASH_FACTOR = np.uint64(0x100000001B3)
_LITERALS = np.frombuffer(b"true_falsenull_", dtype=np.uint8).reshape(3, 5)
LITERAL_TRUE, LITERAL_FALSE, LITERAL_NULL = 0, 1, 2
_LITERAL_LENGTHS = np.array([4, 5, 4], dtype=np.int64)
_DAYS_BEFORE = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365], dtype=np.int64)
_DAYS_TO_1970: Final = 719_162
_NO_SIXTH: Final = 255
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SIXTHS = np.full(256, _NO_SIXTH, dtype=np.uint8)
_SIXTHS[np.frombuffer(_ALPHABET, dtype=np.uint8)] = np.arange(64, dtype=np.uint8)


@njit(cache=True)
def skip_space(text, at, stop):  # type: ignore[no-untyped-def]
    """The next place that holds no white space."""
    while at < stop and text[at] <= 0x20 and text[at] in _SPACES:
        at += 1
    return at


@njit(cache=True)
def read_string(text, at, stop):  # type: ignore[no-untyped-def]
    """Where the string that opens at `at` ends (its closing quote), and a hash of it."""
    hash_ = _HASH_START
    if at >= stop or text[at] != QUOTE:
        return FAILED, hash_
    at += 1
    while at < stop:
        char = text[at]
        if char == QUOTE:
            return at, hash_
        if char == BACKSLASH or char <= _CONTROL_MAX:
            return FAILED, hash_
        hash_ = (hash_ ^ np.uint64(char)) * _HASH_FACTOR
        at += 1
    return FAILED, hash_


@njit(cache=True)
def read_text(text, at, stop):  # type: ignore[no-untyped-def]
    """The same without a hash: for long strings that are not looked up."""
    if at >= stop or text[at] != QUOTE:
        return FAILED
    at += 1
    while at < stop:
        char = text[at]
        if char == QUOTE:
            return at
        if char == BACKSLASH or char <= _CONTROL_MAX:
            return FAILED
        at += 1
    return FAILED


@njit(cache=True)
def read_escaped(text, at, stop):  # type: ignore[no-untyped-def]
    """The same where escapes may occur; whether one does. They are not checked here."""
    has_escape = False
    if at >= stop or text[at] != QUOTE:
        return FAILED, has_escape
    at += 1
    while at < stop:
        char = text[at]
        if char == QUOTE:
            return at, has_escape
        if char <= _CONTROL_MAX:
            return FAILED, has_escape
        if char == BACKSLASH:
            has_escape = True
            at += 1
        at += 1
    return FAILED, has_escape


@njit(cache=True)
def number_of(text, begin, end, hash_, slots, distinct, counts):  # type: ignore[no-untyped-def]
    """The number of a string among the distinct ones so far; `slots` is an open hash table of them."""
    mask = np.uint64(len(slots) - 1)
    at = (hash_ ^ (hash_ >> np.uint64(32))) & mask
    while True:
        found = slots[at]
        if found < 0:
            new = counts[0]
            slots[at] = new
            distinct[new, 0], distinct[new, 1] = begin, end
            counts[0] += 1
            return new
        first = distinct[found, 0]
        if distinct[found, 1] - first == end - begin:
            is_same = True
            for k in range(end - begin):
                if text[first + k] != text[begin + k]:
                    is_same = False
                    break
            if is_same:
                return found
        at = (at + np.uint64(1)) & mask


@njit(cache=True)
def read_literal(text, at, stop, which):  # type: ignore[no-untyped-def]
    """Where `true`, `false` or `null` ends."""
    length = _LITERAL_LENGTHS[which]
    if at + length > stop:
        return FAILED
    for k in range(length):
        if text[at + k] != _LITERALS[which, k]:
            return FAILED
    return at + length


@njit(cache=True)
def read_vector(text, at, stop, low, high, values, used, bits):  # type: ignore[no-untyped-def]
    """Numbers of a list into `values` from `used` on; where the list ends, and how many there are."""
    at = skip_space(text, at + 1, stop)
    n = 0
    while n < VECTOR_LENGTH_MAX:
        begin = at
        at += text[at] == MINUS
        first, digits = at, np.int64(0)
        while text[at] - ZERO <= 9 and text[at] >= ZERO:  # a byte behind the text ends every run of digits
            digits = digits * 10 + (text[at] - ZERO)
            at += 1
        n_whole, n_parts = at - first, 0
        if text[at] == DOT:
            at += 1
            first_part = at
            while text[at] - ZERO <= 9 and text[at] >= ZERO:
                digits = digits * 10 + (text[at] - ZERO)
                at += 1
            n_parts = at - first_part
            n_whole = n_whole if n_parts else 0
        is_short = n_whole > 0 and n_whole + n_parts <= SHORT_DIGITS and (n_whole == 1 or text[first] != ZERO)
        if is_short and (text[at] == COMMA or text[at] == SQUARE_CLOSE):
            value = digits / POWERS[n_parts]
            value = -value if first > begin else value
        else:
            at, value, _ = read_number(text, begin, stop, bits)
        if at < 0 or not low <= value <= high:
            return FAILED, 0
        values[used + n] = value
        if np.isinf(values[used + n]):
            return FAILED, 0
        n += 1
        if at < stop and text[at] == COMMA:  # the common case first
            at = skip_space(text, at + 1, stop)
            continue
        at = skip_space(text, at, stop)
        if at >= stop:
            return FAILED, 0
        if text[at] == SQUARE_CLOSE:
            return at + 1, n
        if text[at] != COMMA:
            return FAILED, 0
        at = skip_space(text, at + 1, stop)
    return FAILED, 0


@njit(cache=True)
def read_base64(text, begin, end, item_bytes, values, used):  # type: ignore[no-untyped-def]
    """Values of a base64 text, of one byte or of four (float32), into `values`; how many there are."""
    n_padding = 0
    while n_padding < 2 and end > begin and text[end - 1] == EQUALS:
        end -= 1
        n_padding += 1
    n_chars = end - begin
    if (n_chars + n_padding) % 4 or n_chars == 0:
        return FAILED
    n_bytes = n_chars * 3 // 4
    n = n_bytes // item_bytes
    if n_bytes % item_bytes or n > VECTOR_LENGTH_MAX:
        return FAILED
    words = values.view(np.uint32)
    held, n_held, written, word = np.uint32(0), 0, 0, np.uint32(0)
    for at in range(begin, end):
        sixth = _SIXTHS[text[at]]
        if sixth == _NO_SIXTH:
            return FAILED
        held = ((held << np.uint32(6)) | np.uint32(sixth)) & np.uint32(0xFFFF)
        n_held += 6
        if n_held < 8:
            continue
        n_held -= 8
        byte = (held >> np.uint32(n_held)) & np.uint32(0xFF)
        if item_bytes == 1:
            values[used + written] = byte
        else:
            word |= byte << np.uint32(8 * (written % 4))
            if written % 4 == 3:
                words[used + written // 4] = word
                if not np.isfinite(values[used + written // 4]):
                    return FAILED
                word = np.uint32(0)
        written += 1
    if held & np.uint32((1 << n_held) - 1):
        return FAILED  # bits left over
    return n


@njit(cache=True)
def _two(text, at):  # type: ignore[no-untyped-def]
    if not (ZERO <= text[at] <= NINE and ZERO <= text[at + 1] <= NINE):
        return FAILED
    return np.int64(text[at] - ZERO) * 10 + np.int64(text[at + 1] - ZERO)


@njit(cache=True)
def read_event_time(text, begin, end):  # type: ignore[no-untyped-def]  # noqa: PLR0911 - checks in order
    """Epoch milliseconds of `2026-01-05T00:00:00Z` or `2026-01-05T00:00:00.000Z`; -1 for any other form.

    Times before 1970 go the slow way, too.
    """
    length = end - begin
    if length not in (20, 24) or text[end - 1] != UPPER_Z:
        return FAILED
    if text[begin + 4] != DASH or text[begin + 7] != DASH or text[begin + 10] != UPPER_T:
        return FAILED
    if text[begin + 13] != COLON or text[begin + 16] != COLON:
        return FAILED
    century, year, month, day = (
        _two(text, begin),
        _two(text, begin + 2),
        _two(text, begin + 5),
        _two(text, begin + 8),
    )
    hour, minute, second = _two(text, begin + 11), _two(text, begin + 14), _two(text, begin + 17)
    if min(century, year, month, day, hour, minute, second) < 0:
        return FAILED
    year += 100 * century
    millis = 0
    if length == 24:
        tens, unit = _two(text, begin + 20), np.int64(text[begin + 22]) - ZERO
        if text[begin + 19] != DOT or tens < 0 or not 0 <= unit <= 9:
            return FAILED
        millis = tens * 10 + unit
    if year < 1970 or not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        return FAILED
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days_in = _DAYS_BEFORE[month + 1] - _DAYS_BEFORE[month] + (is_leap and month == 2)
    if not 1 <= day <= days_in:
        return FAILED
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - _DAYS_TO_1970
    days += _DAYS_BEFORE[month] + (is_leap and month > 2) + day - 1
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis
