"""Known fields of plain records into their columns, in compiled code: where a value ends, or `FAILED`."""

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from copycatch.formats.decimals import FAILED, read_number
from copycatch.formats.plain_values import (
    COLON,
    COMMA,
    CURLY_CLOSE,
    CURLY_OPEN,
    LITERAL_FALSE,
    LITERAL_NULL,
    LITERAL_TRUE,
    N_CHAR,
    QUOTE,
    SQUARE_CLOSE,
    SQUARE_OPEN,
    T_CHAR,
    number_of,
    read_base64,
    read_escaped,
    read_event_time,
    read_literal,
    read_string,
    read_text,
    read_vector,
    skip_space,
)
from copycatch.records.scan import (
    NAMES,
    NUMBER_AT,
    TEXT_AT,
    TEXTS,
    VECTOR_AT,
    VECTORS,
)
from copycatch.records.wire import ID_CHARS_MAX, TEXT_CHARS_MAX

_IP_CHARS_MAX: Final = 64
_COUNT_MAX: Final = float(2**53 - 1)  # beyond, a float is no longer the one integer that was written
_STATUS_MAX: Final = 999.0
_ANY: Final = float(np.finfo(np.float64).max)
_TIME_MAX: Final = float(2**47)  # the year 6429, far within what the slow way takes

# Known keys: names first, then the other kinds of value.
_KEYS: Final = (
    *NAMES, "event_id", "input", "output_text", "event_time", "embedding", "probabilities", "top_scores",
    "params", "input_tokens", "output_tokens", "latency_ms", "status", "schema_version", "model_version",
)  # fmt: skip
_PARAM_KEYS: Final = ("logprobs", "top_logprobs", "logit_bias", "n", "temperature", "max_tokens")
K: Final = {name: index for index, name in enumerate(_KEYS)}
ACCOUNT, MODEL, LABEL, CLIENT_IP, AGENT = (
    K["account_id"], K["model_id"], K["predicted_label"], K["client_ip"], K["user_agent"],
)  # fmt: skip
EVENT_ID, INPUT, OUTPUT, TIME = K["event_id"], K["input"], K["output_text"], K["event_time"]
EMBEDDING, PROBABILITIES, SCORES, PARAMS = (
    K["embedding"], K["probabilities"], K["top_scores"], K["params"],
)  # fmt: skip
INPUT_TOKENS, LATENCY, STATUS = K["input_tokens"], K["latency_ms"], K["status"]
SCHEMA, VERSION = K["schema_version"], K["model_version"]
N_NAMES: Final = len(NAMES)
REQUIRED: Final = 1 << ACCOUNT | 1 << MODEL | 1 << EVENT_ID | 1 << TIME
_TEXT_EVENT_ID, _TEXT_INPUT, _TEXT_OUTPUT = (TEXT_AT[name] for name in TEXTS)
_V_INPUT, _V_EMBEDDING, _V_PROBABILITIES = (VECTOR_AT[name] for name in VECTORS)
_HAS_LOGPROBS, _FIRST_PARAM = NUMBER_AT["has_logprobs"], NUMBER_AT["top_logprobs"]
_TOP_LOGPROBS, _LOGIT_BIAS, _TEMPERATURE = (
    NUMBER_AT["top_logprobs"], NUMBER_AT["logit_bias"], NUMBER_AT["temperature"],
)  # fmt: skip
_FIRST_COUNT: Final = NUMBER_AT["input_tokens"]
_SCORE_FIRST, _SCORE_SECOND = NUMBER_AT["score_first"], NUMBER_AT["score_second"]
_ONE_CHAR_MIN: Final = ord("1")
_POINT: Final = ord(".")
_B64, _DTYPE, _U1, _F4 = (np.frombuffer(word, dtype=np.uint8) for word in (b"b64", b"dtype", b"u1", b"f4"))


def _key_table(keys: tuple[str, ...]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Keys padded to one width, and their lengths."""
    width = max(map(len, keys))
    table = np.frombuffer("".join(key.ljust(width) for key in keys).encode(), dtype=np.uint8)
    return table.reshape(len(keys), width), np.array([len(key) for key in keys], dtype=np.int64)


KEY_TABLE, KEY_LENGTHS = _key_table(_KEYS)
_PARAM_TABLE, _PARAM_LENGTHS = _key_table(_PARAM_KEYS)


@njit(cache=True, inline="always")
def key_at(text, begin, end, table, lengths, guess):  # type: ignore[no-untyped-def]
    """Which key this is, -1 for none; `guess` is tried first."""
    for step in range(len(lengths)):
        key = guess + step
        if key >= len(lengths):
            key -= len(lengths)
        if lengths[key] != end - begin:
            continue
        k = 0
        while k < end - begin and text[begin + k] == table[key, k]:
            k += 1
        if k == end - begin:
            return key
    return -1


@njit(cache=True, inline="always")
def _read_numeric(text, at, stop, is_count, high, bits):  # type: ignore[no-untyped-def]
    """A count up to `high`, or any number; NaN for null."""
    if at < stop and text[at] == N_CHAR:
        return read_literal(text, at, stop, LITERAL_NULL), np.nan
    at, value, is_integer = read_number(text, at, stop, bits)
    if at < 0 or (is_count and not (is_integer and 0 <= value <= high)):
        return FAILED, np.nan
    return at, value


@njit(cache=True)
def _read_params(text, at, stop, numbers, i, bits):  # type: ignore[no-untyped-def]  # noqa: PLR0911, PLR0912 - one pass, in order
    """The request's options, into the row of numbers."""
    if text[at] == N_CHAR:
        return read_literal(text, at, stop, LITERAL_NULL)
    if text[at] != CURLY_OPEN:
        return FAILED
    numbers[i, _HAS_LOGPROBS] = numbers[i, _TOP_LOGPROBS] = numbers[i, _LOGIT_BIAS] = 0.0
    at = skip_space(text, at + 1, stop)
    if at < stop and text[at] == CURLY_CLOSE:
        return at + 1
    seen, guess = 0, 0
    while True:
        end, _ = read_string(text, at, stop)
        if end < 0:
            return FAILED
        key = key_at(text, at + 1, end, _PARAM_TABLE, _PARAM_LENGTHS, guess)
        at = skip_space(text, end + 1, stop)
        if key < 0 or seen >> key & 1 or at >= stop or text[at] != COLON:
            return FAILED
        seen |= 1 << key
        guess = key + 1 if key + 1 < len(_PARAM_LENGTHS) else 0
        at = skip_space(text, at + 1, stop)
        if at >= stop:
            return FAILED
        if key == 0 and text[at] != N_CHAR:
            is_true = text[at] == T_CHAR
            at = read_literal(text, at, stop, LITERAL_TRUE if is_true else LITERAL_FALSE)
            if is_true:
                numbers[i, _HAS_LOGPROBS] = 1.0
        else:
            column = _FIRST_PARAM + key - 1
            at, value = _read_numeric(text, at, stop, column != _TEMPERATURE, _COUNT_MAX, bits)
            if key and not np.isnan(value):
                numbers[i, column] = value
            elif key == 0 and not np.isnan(value):
                return FAILED
        if at < 0:
            return FAILED
        at = skip_space(text, at, stop)
        if at >= stop or (text[at] != COMMA and text[at] != CURLY_CLOSE):
            return FAILED
        if text[at] == CURLY_CLOSE:
            if numbers[i, _TOP_LOGPROBS] > 0:
                numbers[i, _HAS_LOGPROBS] = 1.0
            return at + 1
        at = skip_space(text, at + 1, stop)


@njit(cache=True)
def _read_scores(text, at, stop, numbers, i, bits):  # type: ignore[no-untyped-def]
    """Descending scores, of which the first two count."""
    if text[at] != SQUARE_OPEN:
        return FAILED
    at = skip_space(text, at + 1, stop)
    n, last = 0, np.inf
    while True:
        at, value, _ = read_number(text, at, stop, bits)
        if at < 0 or value > last:
            return FAILED
        if n < 2:
            numbers[i, _SCORE_FIRST + n] = value
        n, last = n + 1, value
        at = skip_space(text, at, stop)
        if at >= stop or n > 1000:
            return FAILED
        if text[at] == SQUARE_CLOSE:
            return at + 1
        if text[at] != COMMA:
            return FAILED
        at = skip_space(text, at + 1, stop)


@njit(cache=True)
def _is_same(text, begin, end, word):  # type: ignore[no-untyped-def]
    k = 0
    if end - begin == len(word):
        while k < len(word) and text[begin + k] == word[k]:
            k += 1
    return k == len(word)


@njit(cache=True)
def _read_blob(text, at, stop, values, used):  # type: ignore[no-untyped-def]
    """`{"b64": "...", "dtype": "u1" or "f4"}`, in this order; where it ends, and how many values."""
    begins = (at, at)
    ends = (at, at)
    at += 1
    for part in range(4):
        at = skip_space(text, at, stop)
        end = read_text(text, at, stop)
        if end < 0:
            return FAILED, 0
        if part == 0 and not _is_same(text, at + 1, end, _B64):
            return FAILED, 0
        if part == 1:
            begins = (at + 1, begins[1])
            ends = (end, ends[1])
        if part == 2 and not _is_same(text, at + 1, end, _DTYPE):
            return FAILED, 0
        if part == 3:
            begins = (begins[0], at + 1)
            ends = (ends[0], end)
        at = skip_space(text, end + 1, stop)
        expected = COLON if part % 2 == 0 else (COMMA if part == 1 else CURLY_CLOSE)
        if at >= stop or text[at] != expected:
            return FAILED, 0
        at += 1
    if _is_same(text, begins[1], ends[1], _U1):
        n = read_base64(text, begins[0], ends[0], 1, values, used)
    elif _is_same(text, begins[1], ends[1], _F4):
        n = read_base64(text, begins[0], ends[0], 4, values, used)
    else:
        n = FAILED
    return (at if n > 0 else FAILED), n


@njit(cache=True, inline="always")
def _read_name(text, at, stop, key, names, labels, i, slots, distinct, counts, bits):  # type: ignore[no-untyped-def]
    """A string that is kept once for the poll; a label may be a number instead."""
    if text[at] == N_CHAR:
        return FAILED if key in (ACCOUNT, MODEL) else read_literal(text, at, stop, LITERAL_NULL)
    if text[at] != QUOTE:
        if key != LABEL:
            return FAILED
        at, value, is_integer = read_number(text, at, stop, bits)
        if at < 0 or not is_integer or not 0 <= value <= _COUNT_MAX:
            return FAILED
        labels[i] = np.int64(value)
        return at
    end, hash_ = read_string(text, at, stop)
    longest = _IP_CHARS_MAX if key == CLIENT_IP else (TEXT_CHARS_MAX if key == AGENT else ID_CHARS_MAX)
    shortest = 0 if key in (CLIENT_IP, AGENT) else 1
    if end < 0 or not shortest <= end - at - 1 <= longest:
        return FAILED
    names[i, key] = number_of(text, at + 1, end, hash_, slots, distinct, counts)
    return end + 1


@njit(cache=True, inline="always")
def _read_span(text, at, stop, longest, texts, i, which):  # type: ignore[no-untyped-def]
    """A string that is not looked up; it may hold escapes, for which its end is written as negative."""
    end, has_escape = read_escaped(text, at, stop)
    if end < 0 or end - at - 1 > longest:
        return FAILED
    texts[i, which, 0], texts[i, which, 1] = at + 1, -end if has_escape else end
    return end + 1


@njit(cache=True, inline="always")
def _read_vector_field(text, at, stop, which, values, counts, places, lengths, i, bits):  # type: ignore[no-untyped-def]
    """A list of numbers or base64."""
    used = counts[1]
    if text[at] == N_CHAR:
        return read_literal(text, at, stop, LITERAL_NULL)
    if text[at] == SQUARE_OPEN:
        low, high = (0.0, 1.0) if which == _V_PROBABILITIES else (-_ANY, _ANY)
        at, n = read_vector(text, at, stop, low, high, values, used, bits)
    elif text[at] == CURLY_OPEN and which != _V_PROBABILITIES:
        at, n = _read_blob(text, at, stop, values, used)
    else:
        return FAILED
    if at >= 0:
        places[i, which], lengths[i, which] = used, n
        counts[1] = used + n
    return at


@njit(cache=True, inline="always")
def _read_other(text, at, stop, key, numbers, times, i, bits):  # type: ignore[no-untyped-def]  # noqa: PLR0911 - one pass, in order
    """Times, versions, counts, options and scores."""
    if key == TIME:
        if text[at] == QUOTE:
            end = read_text(text, at, stop)
            times[i] = read_event_time(text, at + 1, end) if end >= 0 else FAILED
            return end + 1 if times[i] >= 0 else FAILED
        at, value, is_integer = read_number(text, at, stop, bits)
        times[i] = np.int64(value)
        return at if is_integer and 0 <= value <= _TIME_MAX else FAILED
    if key == PARAMS:
        return _read_params(text, at, stop, numbers, i, bits)
    if key == SCORES:
        return _read_scores(text, at, stop, numbers, i, bits)
    if text[at] == N_CHAR:
        return read_literal(text, at, stop, LITERAL_NULL)
    if key in (SCHEMA, VERSION):
        end = read_text(text, at, stop)
        if end < 0 or not 1 <= end - at - 1 <= ID_CHARS_MAX:
            return FAILED
        if key == SCHEMA and (text[at + 1] != _ONE_CHAR_MIN or text[at + 2] != _POINT):
            return FAILED
        return end + 1
    high = _STATUS_MAX if key == STATUS else _COUNT_MAX
    at, value = _read_numeric(text, at, stop, key != LATENCY, high, bits)
    numbers[i, _FIRST_COUNT + key - INPUT_TOKENS] = value
    return at


@njit(cache=True, inline="always")
def read_field(  # type: ignore[no-untyped-def]  # noqa: PLR0911 - a table of keys
    text, at, stop, key, i, times, names, texts, has_text, has_output, labels, numbers, values, vector_at,
    vector_lengths, slots, distinct, counts, bits,
):  # fmt: skip
    """One known field into its column; where its value ends."""
    if key < N_NAMES:
        return _read_name(text, at, stop, key, names, labels, i, slots, distinct, counts, bits)
    if key == EVENT_ID:
        end = _read_span(text, at, stop, ID_CHARS_MAX, texts, i, _TEXT_EVENT_ID)
        return end if texts[i, _TEXT_EVENT_ID, 1] != texts[i, _TEXT_EVENT_ID, 0] else FAILED
    if key == INPUT and text[at] == QUOTE:
        has_text[i] = True
        return _read_span(text, at, stop, TEXT_CHARS_MAX, texts, i, _TEXT_INPUT)
    if key == OUTPUT:
        if text[at] == N_CHAR:
            return read_literal(text, at, stop, LITERAL_NULL)
        has_output[i] = True
        return _read_span(text, at, stop, TEXT_CHARS_MAX, texts, i, _TEXT_OUTPUT)
    if key in (INPUT, EMBEDDING, PROBABILITIES):
        which = _V_INPUT if key == INPUT else (_V_EMBEDDING if key == EMBEDDING else _V_PROBABILITIES)
        return _read_vector_field(text, at, stop, which, values, counts, vector_at, vector_lengths, i, bits)
    return _read_other(text, at, stop, key, numbers, times, i, bits)
