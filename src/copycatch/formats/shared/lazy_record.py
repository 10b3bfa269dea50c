"""Native records whose vectors stay JSON until the intake reads those of many records in one call."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from copycatch.records.wire import InferenceRecord, Params, Text

PARAMS_KEPT_MAX: Final = 10_000  # a client may draw its options at random
PARAMS_BYTES_MAX: Final = 512  # longer ones (a bias of many tokens) are not kept

_AS_JSON: Final = frozenset({"input", "embedding", "probabilities", "params"})
_NULL: Final = b"null"
_OTLP: Final = "resourceLogs"  # the one envelope that may look like a record


def _field(of: msgspec.structs.FieldInfo) -> Any:
    if of.name in _AS_JSON:
        return (of.name, Raw, None)
    return (of.name, of.type) if of.required else (of.name, of.type, of.default)


# The fields of InferenceRecord in its order, then the envelope's.
_LazyRecord = msgspec.defstruct(
    "_LazyRecord",
    [*map(_field, msgspec.structs.fields(InferenceRecord)), (_OTLP, Raw, None)],
    kw_only=True,
    gc=False,
)
_decode_record: Any = msgspec.json.Decoder(_LazyRecord).decode
_decode_params = msgspec.json.Decoder(Params).decode
_decode_texts = msgspec.json.Decoder(list[Text]).decode
_FAULTS = (ValueError, RecursionError)


class LazyReader:
    """Reads records that are whole; holds a bounded cache of request options only.

    Examples
    --------
    >>> good = b'{"event_id":"e","event_time":1,"account_id":"a","model_id":"m","input":[1],"params":{"n":2}}'
    >>> [record] = LazyReader().read([good, b'{"event_id":"e"}'])[0]
    >>> bytes(record.input), record.params.n, LazyReader().read([good, b"{}"])[1:]
    (b'[1]', 2, ([0], [1]))
    """

    def __init__(self) -> None:
        self._params_by_json: dict[bytes, Params] = {}

    def read(self, values: Sequence[bytes]) -> tuple[list[InferenceRecord], list[int], list[int]]:
        """Records of good messages, their rows, and the rows of all other messages, ascending.

        Of a record that this accepts, `input` is text, or JSON that begins as a vector does; whether the
        vector can be read shows later, and costs only the vector.
        """
        records: list[Any] = []
        rows: list[int] = []
        for row, value in enumerate(values):
            try:
                record = _decode_record(value)
                if record.params is not None:
                    record.params = self._params(bytes(record.params))
            except _FAULTS:
                continue
            version = record.schema_version
            if record.resourceLogs is None and (version is None or version.startswith("1.")):
                records.append(record)
                rows.append(row)
        good = _with_texts(records)
        if not all(good):
            records = [record for record, is_good in zip(records, good, strict=True) if is_good]
            rows = [row for row, is_good in zip(rows, good, strict=True) if is_good]
        if len(rows) == len(values):
            return records, rows, []
        taken = set(rows)
        return records, rows, [row for row in range(len(values)) if row not in taken]

    def _params(self, json: bytes) -> Params | None:
        known = self._params_by_json.get(json)
        if known is None and json != _NULL:
            known = _decode_params(json)
            if len(json) <= PARAMS_BYTES_MAX:
                if len(self._params_by_json) >= PARAMS_KEPT_MAX:
                    self._params_by_json.clear()
                self._params_by_json[json] = known
        return known


def _with_texts(records: list[Any]) -> list[bool]:
    """Give the records their texts; whether the input of each is text, a vector, or missing."""
    good = [True] * len(records)
    texts: list[bytes] = []
    of_texts: list[int] = []
    for index, record in enumerate(records):
        if record.input is None:
            continue
        json = bytes(record.input)
        if json[0] == 0x22:
            texts.append(json)
            of_texts.append(index)
        elif json == _NULL:
            record.input = None
        elif json[0] not in b"[{":
            good[index] = False
    if not texts:
        return good
    try:
        for index, text in zip(of_texts, _decode_texts(b"[" + b",".join(texts) + b"]"), strict=True):
            records[index].input = text
    except _FAULTS:
        for index, json in zip(of_texts, texts, strict=True):
            try:
                [records[index].input] = _decode_texts(b"[" + json + b"]")
            except _FAULTS:
                good[index] = False
    return good
