"""Triton's trace file (`--trace-config level=TENSORS`): entries of one id make a request with its tensors."""

from typing import Any

from copycatch.formats.shared import tensors
from copycatch.formats.shared.collecting import CollectingDecoder, Gathering, Part
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import Fields, LogMessage, Reading, dig, first, first_name
from copycatch.formats.shared.recognise import Recognise
from copycatch.records.wire import VECTOR_LENGTH_MAX

NAME = "triton"
SOURCES = {
    "event_id": "request_id; id",
    "event_time": "time, timestamp or @timestamp that a shipper adds; arrival (the trace has no date)",
    "account_id": "account_id that a shipper adds; the account headers; the Kafka key (account_fallback)",
    "model_id": "model_name",
    "model_version": "model_version",
    "input": "tensors of TENSOR_QUEUE_INPUT",
    "predicted_label": "tensors of TENSOR_BACKEND_OUTPUT: one whole number or word a row",
    "probabilities": "tensors of TENSOR_BACKEND_OUTPUT whose rows sum to 1",
    "output_text": "tensors of TENSOR_BACKEND_OUTPUT of text",
    "latency_ms": "REQUEST_END less REQUEST_START",
}
_INPUT, _OUTPUT = "TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_OUTPUT"


def make_decoder(options: FormatOptions, recognise: Recognise) -> CollectingDecoder:
    """A decoder of this format."""
    return CollectingDecoder(NAME, Gathering(identify, may_be_whole, read), SOURCES, options, recognise)


FORMAT = Format(
    name=NAME,
    sentence="Triton's trace file with tensors: entries of one id are one request",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(("id", "timestamps"), ("id", "activity=TENSOR_", "tensor")),
)


def identify(message: LogMessage) -> Part:
    """An entry by the trace's id: who asked what, a time stamp, or a tensor."""
    entry = message.document
    key = first_name(entry.get("id"))
    if key is None:
        raise MessageFault("schema", "id", "no entry of a trace: id is missing")
    activity, stamps = entry.get("activity"), entry.get("timestamps")
    if isinstance(activity, str):
        return Part(key, f"{activity[:64]}:{str(dig(entry, 'tensor', 'name'))[:256]}")
    if isinstance(stamps, list) and "model_name" not in entry:
        return Part(key, f"at:{str(dig(stamps[0], 'name') if stamps else None)[:64]}")
    if "model_name" not in entry:
        raise MessageFault(
            "schema", "model_name", "no entry of a trace: neither model, time stamp nor tensor"
        )
    return Part(key, "model")


def may_be_whole(labels: list[str]) -> bool:
    """Whether the request has ended, and its tensors are there."""
    has = {label.partition(":")[0] for label in labels}
    return {"model", _INPUT, _OUTPUT} <= has and "at:REQUEST_END" in labels


def read(messages: list[LogMessage], labels: list[str], is_last: bool) -> list[Reading] | None:
    """One query for each row of the tensors; what has no model, as late time stamps, is skipped."""
    by_label = dict(zip(labels, messages, strict=True))
    message = by_label.get("model")
    if message is None:
        return []
    entry = message.document
    if first_name(entry.get("parent_id")) not in (None, "0"):
        return []  # a step of an ensemble, whose own trace is the query
    sides: dict[str, list[dict[str, Any]]] = {_INPUT: [], _OUTPUT: []}
    for label, each in by_label.items():
        side = sides.get(label.partition(":")[0])
        if side is not None:
            side.append(tensor_of(each.document.get("tensor")))
    times = (entry.get(key) for key in ("time", "timestamp", "@timestamp"))
    common: Fields = {
        "event_id": first_name(entry.get("request_id"), entry.get("id")),
        "event_time": message.time_ms(*times),
        "account_id": message.account(entry, entry.get("account_id")),
        "model_id": message.model(entry.get("model_name")),
        "latency_ms": _latency_ms(messages),
    }
    asked = {"inputs": sides[_INPUT]} if sides[_INPUT] else None
    version = first_name(entry.get("model_version"))
    answered = {"outputs": sides[_OUTPUT], "model_version": version} if sides[_OUTPUT] else None
    return list(tensors.body_rows(asked, answered, common, message.notes))


def tensor_of(given: Any) -> dict[str, Any]:
    """A tensor of a trace, whose data and shape are text, as one of the Open Inference Protocol.

    Examples
    --------
    >>> tensor_of({"name": "x", "data": "0.5,1", "shape": "1,2", "dtype": "FP32"})
    {'name': 'x', 'shape': [1, 2], 'datatype': 'FP32', 'data': [0.5, 1.0]}
    """
    data, kind = dig(given, "data"), dig(given, "dtype")
    cells = data.split(",", VECTOR_LENGTH_MAX) if isinstance(data, str) and data else []
    values: list[Any] = cells
    if kind == "BYTES":
        values = [str(data).strip('"')]
    elif kind is not None:
        try:
            values = [int(cell) if "INT" in str(kind) else float(cell) for cell in cells]
        except ValueError:
            values = []
    sizes = str(first(dig(given, "shape"), "")).split(",")
    shape = [int(size) for size in sizes if size.isascii() and size.isdecimal() and len(size) < 10]
    # A single text may hold commas: its shape is one row of one, whatever the trace says.
    shape = [1, len(values)] if kind == "BYTES" or not shape else shape
    return {"name": str(dig(given, "name")), "shape": shape, "datatype": kind, "data": values}


def _latency_ms(messages: list[LogMessage]) -> float | None:
    stamps = [each.document.get("timestamps") for each in messages]
    at: dict[str, int] = {}
    for entry in (entry for each in stamps if isinstance(each, list) for entry in each):
        name, ns = dig(entry, "name"), dig(entry, "ns")
        if isinstance(name, str) and isinstance(ns, int) and not isinstance(ns, bool) and abs(ns) < 1 << 63:
            at[name] = ns
    if "REQUEST_START" not in at or "REQUEST_END" not in at:
        return None
    return (at["REQUEST_END"] - at["REQUEST_START"]) / 1e6
