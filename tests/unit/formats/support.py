"""Decode documents as messages of one topic, and show records as plain fields."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded
from copycatch.records.wire import InferenceRecord

Headers = dict[str, str]


def batch_of(
    documents: Sequence[Any],
    headers: Sequence[Headers] | Headers | None = None,
    arrivals_ms: Sequence[int] = (),
    keys: Sequence[bytes | None] = (),
) -> RawBatch:
    values = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in documents]
    per_message = [headers] * len(values) if isinstance(headers, dict) else list(headers or [])
    return RawBatch(
        topic="logs",
        partition=2,
        positions=list(range(100, 100 + len(values))),
        values=values,
        timestamps_ms=list(arrivals_ms),
        headers=[[(name, text.encode()) for name, text in each.items()] for each in per_message],
        keys=list(keys),
    )


def decode(format_name: str, batch: RawBatch, options: FormatOptions | None = None) -> Decoded:
    return make_decoder(format_name, options or FormatOptions()).decode(batch)


def fields_of(record: InferenceRecord) -> dict[str, Any]:
    """The fields that are there."""
    fields = {name: value for name, value in msgspec.to_builtins(record).items() if value is not None}
    if "params" in fields:
        fields["params"] = {name: value for name, value in fields["params"].items() if value is not None}
    return fields
