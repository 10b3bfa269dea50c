"""Plain native records straight to columns, in one compiled pass over the bytes of a poll.

Most records of a log are alike: one flat object, known fields, no escapes, ordinary numbers. Such a record
needs no Python object per number; anything else (an escape, a nested unknown field, a repeated field, a
number out of the ordinary, and everything that is wrong) is left to the validating decoder, record by record.
What is read here is what that decoder would have given: `tests/unit/intake/test_plain_lane.py` holds the two
together on ordinary, odd and damaged records.
"""

import msgspec
import numpy as np
import numpy.typing as npt
from numba import njit

from copycatch.formats.plain_fields import KEY_LENGTHS, KEY_TABLE, REQUIRED, key_at, read_field
from copycatch.formats.plain_values import COLON, COMMA, CURLY_CLOSE, CURLY_OPEN, read_string, skip_space
from copycatch.records.columns import RawBatch
from copycatch.records.scan import NAMES, NO_LABEL, NUMBERS, TEXTS, VECTORS, Scan
from copycatch.records.wire import RECORD_BYTES_MAX


@njit(cache=True)
def _scan(  # type: ignore[no-untyped-def]
    text, starts, is_plain, times, names, texts, has_text, has_output, labels, numbers, values, vector_at,
    vector_lengths, slots, distinct, counts,
):  # fmt: skip
    bits = np.zeros(1, dtype=np.uint64)
    followers = np.zeros(len(KEY_LENGTHS) + 1, dtype=np.int64)  # which key came after each lately
    for i in range(len(starts) - 1):
        stop = starts[i + 1]
        at = skip_space(text, starts[i], stop)
        if at >= stop or text[at] != CURLY_OPEN or stop - starts[i] > RECORD_BYTES_MAX:
            continue
        seen, before = 0, len(KEY_LENGTHS)
        while True:
            at = skip_space(text, at + 1, stop)
            end, _ = read_string(text, at, stop)
            if end < 0:
                break
            guess = followers[before]
            key = key_at(text, at + 1, end, KEY_TABLE, KEY_LENGTHS, guess)
            at = skip_space(text, end + 1, stop)
            if key < 0 or seen >> key & 1 or at >= stop or text[at] != COLON:
                break
            seen |= 1 << key
            followers[before], before = key, key
            at = skip_space(text, at + 1, stop)
            if at >= stop:
                break
            at = read_field(
                text, at, stop, key, i, times, names, texts, has_text, has_output, labels, numbers, values,
                vector_at, vector_lengths, slots, distinct, counts, bits,
            )  # fmt: skip
            if at < 0:
                break
            at = skip_space(text, at, stop)
            if at >= stop or text[at] != COMMA:
                is_closed = at < stop and text[at] == CURLY_CLOSE
                is_plain[i] = (
                    is_closed and skip_space(text, at + 1, stop) == stop and seen & REQUIRED == REQUIRED
                )
                break


def scan(batch: RawBatch) -> tuple[Scan, list[int]]:
    """Read the plain records of a poll.

    Parameters
    ----------
    batch : RawBatch

    Returns
    -------
    scan : Scan
        The plain ones; `rows` are positions in `batch.values`.
    others : list of int
        Positions of those that the validating decoder has to look at.

    Examples
    --------
    >>> good = b'{"event_id":"e","event_time":0,"account_id":"a","model_id":"m","embedding":[0.5,1e-3]}'
    >>> found, others = scan(RawBatch("logs", 0, [0, 1], [good, b'{"event_id":[]}']))
    >>> found.rows.tolist(), found.values.tolist(), others
    ([0], [0.5, 0.0010000000474974513], [1])
    """
    values = batch.values
    n = len(values)
    text = b"".join((*values, b"\0"))  # a byte that ends whatever was begun
    starts = np.zeros(n + 1, dtype=np.int64)
    np.cumsum([len(value) for value in values], out=starts[1:])
    is_plain = np.zeros(n, dtype=np.bool_)
    most_names = n * len(NAMES)
    found = Scan(
        text=text,
        rows=np.empty(0, dtype=np.int64),
        times_ms=np.zeros(n, dtype=np.int64),
        names=np.full((n, len(NAMES)), -1, dtype=np.int32),
        distinct=np.empty((most_names, 2), dtype=np.int64),
        texts=np.zeros((n, len(TEXTS), 2), dtype=np.int64),
        has_text=np.zeros(n, dtype=np.bool_),
        has_output=np.zeros(n, dtype=np.bool_),
        labels=np.full(n, NO_LABEL, dtype=np.int64),
        numbers=np.full((n, len(NUMBERS)), np.nan),
        values=np.empty(len(text) // 2 + 8, dtype=np.float32),  # "1," is the shortest number in a list
        vector_at=np.zeros((n, len(VECTORS)), dtype=np.int64),
        vector_lengths=np.zeros((n, len(VECTORS)), dtype=np.int64),
        unescaped={},
    )
    slots = np.full(1 << max(2 * most_names, 1).bit_length(), -1, dtype=np.int32)
    counts = np.zeros(2, dtype=np.int64)  # distinct names, values
    _scan(
        np.frombuffer(text, dtype=np.uint8), starts, is_plain, found.times_ms, found.names, found.texts,
        found.has_text, found.has_output, found.labels, found.numbers, found.values, found.vector_at,
        found.vector_lengths, slots, found.distinct, counts,
    )  # fmt: skip
    if not text.isascii():
        for row in np.flatnonzero(is_plain).tolist():
            is_plain[row] = _is_utf8(values[row])
    _unescape(found, is_plain)
    found.distinct = found.distinct[: counts[0]]
    found.values = found.values[: counts[1]]
    found.rows = np.flatnonzero(is_plain)
    others: list[int] = np.flatnonzero(~is_plain).tolist()
    if others:
        for name in ("times_ms", "names", "texts", "has_text", "has_output", "labels", "numbers", "vector_at",
                     "vector_lengths"):  # fmt: skip
            setattr(found, name, getattr(found, name)[is_plain])
    return found, others


def _unescape(found: Scan, is_plain: npt.NDArray[np.bool_]) -> None:
    """Give texts with escapes as they are meant; a record with a wrong escape is not plain."""
    starts, stops = found.texts[:, :, 0], found.texts[:, :, 1]
    for row, which in zip(*np.nonzero(stops < 0), strict=True):
        start, stop = int(starts[row, which]), -int(stops[row, which])
        stops[row, which] = stop
        if not is_plain[row]:
            continue
        try:
            chars = msgspec.json.decode(found.text[start - 1 : stop + 1], type=str)
        except ValueError:
            is_plain[row] = False
        else:
            found.unescaped[start] = chars


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
