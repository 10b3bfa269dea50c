"""Columns of what stands around a question, and of whom the account is; only of fields that are there."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from copycatch.intake.pseudonymise import Pseudonymiser
from copycatch.records.columns import IntArray
from copycatch.units import UNIX_MS_MAX, UNIX_MS_MIN, event_time_ms

MISSING = -1
_COLUMN_BY_HASHED_FIELD = {
    "conversation_id": "conversation_hashes",
    "system_hash": "system_hashes",
    "tools_hash": "tools_hashes",
}
_COLUMN_BY_NUMBER_FIELD = {"turn": "turns", "prompt_index": "prompt_indices", "asn": "asns"}
_COLUMN_BY_WORD_FIELD = {"finish_reason": "finish_reasons", "plan": "plans"}


def context_columns(
    fields: dict[str, Sequence[Any]], pseudonymiser: Pseudonymiser
) -> tuple[dict[str, Any], int]:
    """Optional columns of a batch by their name, and how many values could not be read.

    Parameters
    ----------
    fields : dict of str to sequence
        Values of the records by field name, one a record; None where missing.
    pseudonymiser : Pseudonymiser
        Its keyed hashes replace ids and hashes of the log.

    Returns
    -------
    columns : dict of str to list or ndarray
        A field that no record has is not among them.
    n_unread : int

    Examples
    --------
    >>> from copycatch.records.wire import InferenceRecord
    >>> absent = dict.fromkeys(InferenceRecord.__struct_fields__, (None, None))
    >>> context_columns({**absent, "turn": (3, None)}, Pseudonymiser(b"k" * 32))
    ({'turns': array([ 3, -1])}, 0)
    """
    hashed = pseudonymiser.hash_text
    columns: dict[str, Any] = {}
    for name, column in _COLUMN_BY_HASHED_FIELD.items():
        if _is_there(values := fields[name]):
            columns[column] = [None if text is None else hashed(text) for text in values]
    for name, column in _COLUMN_BY_NUMBER_FIELD.items():
        if _is_there(values := fields[name]):
            columns[column] = np.array([MISSING if number is None else number for number in values])
    for name, column in _COLUMN_BY_WORD_FIELD.items():
        if _is_there(values := fields[name]):
            columns[column] = list(values)
    for name in ("reasoning_refs", "reasoning_issued"):
        if _is_there(values := fields[name]):
            columns[name] = [_references_of(texts, hashed) for texts in values]
    n_unread = 0
    if _is_there(values := fields["account_created"]):
        columns["accounts_created_ms"], n_unread = _times_of(values)
    return columns, n_unread


def _is_there(values: Sequence[object]) -> bool:
    return values.count(None) < len(values)


def _references_of(texts: Sequence[str] | None, hashed: Callable[[str], str]) -> tuple[str, ...] | None:
    return tuple(map(hashed, texts)) if texts else None


def _times_of(values: Sequence[str | int | None]) -> tuple[IntArray, int]:
    times_ms = np.full(len(values), MISSING, dtype=np.int64)
    n_unread = 0
    for row, value in enumerate(values):
        if value is None:
            continue
        try:
            time_ms = event_time_ms(value)
        except (ValueError, OverflowError):
            n_unread += 1
            continue
        if UNIX_MS_MIN <= time_ms <= UNIX_MS_MAX:
            times_ms[row] = time_ms
        else:
            n_unread += 1
    return times_ms, n_unread
