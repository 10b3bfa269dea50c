"""SageMaker endpoint data capture: input and output as CSV, JSON or base64 within one JSON line."""

import base64
import binascii
import csv
import math
from typing import Any

from copycatch.formats.shared.chat import is_numbers, response_fields
from copycatch.formats.shared.context import CONTEXT_SOURCES
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import (
    Fields,
    LogMessage,
    Reading,
    dig,
    first_name,
    nested_or_text,
    text_of,
)
from copycatch.formats.shared.predictions import (
    INSTANCES_MAX,
    answer_of,
    instances_of,
    paired_rows,
    predictions_of,
    rows_of,
)
from copycatch.formats.shared.recognise import Recognise
from copycatch.formats.shared.streams import is_stream

NAME = "sagemaker"
SOURCES = {
    "event_id": "eventMetadata.eventId",
    "event_time": "eventMetadata.inferenceTime",
    "account_id": "eventMetadata.customAttributes: account, account_id, user or user_id, as name=value",
    "tenant_id": "eventMetadata.customAttributes: tenant",
    "model_id": "eventMetadata.customAttributes: model, or model_id in the settings of the topic",
    "input": "captureData.endpointInput.data",
    "predicted_label": "captureData.endpointOutput.data",
    "probabilities": "captureData.endpointOutput.data",
    "top_scores": "captureData.endpointOutput.data",
    "output_text": "captureData.endpointOutput.data",
    "params": "captureData.endpointInput.data of chat models",
    "input_tokens": "captureData.endpointOutput.data of chat models",
    "output_tokens": "captureData.endpointOutput.data of chat models",
    "model_version": "captureData.endpointOutput.data of chat models",
    **{name: f"{source}; of chat models" for name, source in CONTEXT_SOURCES.items()},
}
ATTRIBUTES_MAX = 64


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise)


FORMAT = Format(
    name=NAME,
    sentence="Amazon SageMaker data capture (captureData, eventMetadata)",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        (
            "captureData",
            "eventMetadata",
        ),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One query for each row of the captured input."""
    document = message.document
    metadata = document.get("eventMetadata")
    capture = document.get("captureData")
    if not isinstance(metadata, dict) or not isinstance(capture, dict):
        raise MessageFault(
            "schema", "captureData", "no data capture: captureData and eventMetadata are needed"
        )
    attributes = attributes_of(metadata.get("customAttributes"))
    common: Fields = {
        "event_id": first_name(metadata.get("eventId")),
        "event_time": message.time_ms(metadata.get("inferenceTime")),
        "account_id": message.account(
            document, *(attributes.get(name) for name in ("account", "account_id", "user", "user_id"))
        ),
        "tenant_id": message.tenant(attributes.get("tenant"), attributes.get("tenant_id")),
        "model_id": message.model(attributes.get("model"), attributes.get("model_id")),
    }
    asked = message.body(body_of(capture.get("endpointInput"), message))
    answered = message.body(body_of(capture.get("endpointOutput"), message))
    if asked is None and dig(capture, "endpointInput", "data") and is_numbers(answered):
        answered = [answered]  # of one input, which cannot be read
    if isinstance(asked, Table) or isinstance(answered, Table):
        return list(_rows_of_tables(asked, answered, common))
    return list(rows_of(asked, answered, common))


class Table(list[list[Any]]):
    """Rows of CSV."""


def body_of(side: Any, message: LogMessage) -> Any:
    """The body that was captured: a table, a document or text; None and a note where it cannot be read."""
    data = dig(side, "data")
    encoding = dig(side, "encoding")
    if not isinstance(data, str):
        return data
    try:
        if encoding == "BASE64":
            data = base64.b64decode(data, validate=True).decode("utf-8")
            encoding = _encoding_of(data, dig(side, "observedContentType"))
        if encoding == "JSON":
            return nested_or_text(data)
        if encoding != "CSV" or is_stream(data):
            return data
        rows = list(csv.reader(data.splitlines()[:INSTANCES_MAX]))
    except (binascii.Error, UnicodeDecodeError, ValueError, csv.Error):
        message.notes["unread"] += 1  # an image or another binary body: the query counts
        return None
    return _without_header(Table([_cell(cell) for cell in row] for row in rows if row))


def _encoding_of(data: str, content_type: Any) -> str:
    """How a body that was captured as base64 is written."""
    if data.lstrip()[:1] in ("{", "["):
        return "JSON"
    is_text = is_stream(data) or (isinstance(content_type, str) and content_type.startswith("text/plain"))
    return "text" if is_text else "CSV"


def _is_named(table: "Table") -> bool:
    """Whether the first row may name columns."""
    return len(table) > 1 and all(isinstance(cell, str) for cell in table[0])


def _without_header(table: "Table") -> "Table":
    """The table without a first row that names its columns."""
    is_header = _is_named(table) and all(
        any(isinstance(cell, int | float) for cell in row) for row in table[1:]
    )
    return Table(table[1:]) if is_header else table


def attributes_of(given: Any) -> dict[str, str]:
    """Custom attributes as names and values, from `["a=b"]` or `"a=b,c=d"`.

    Examples
    --------
    >>> attributes_of(["account=acct-7f3a"]), attributes_of("user=u1; tenant=eu")
    ({'account': 'acct-7f3a'}, {'user': 'u1', 'tenant': 'eu'})
    """
    texts = given if isinstance(given, list) else [given]
    pairs: dict[str, str] = {}
    for text in texts[:ATTRIBUTES_MAX]:
        for part in text[:4096].replace(";", ",").split(",") if isinstance(text, str) else ():
            name, sign, value = part.partition("=")
            if sign and len(pairs) < ATTRIBUTES_MAX:
                pairs[name.strip().lower()] = value.strip()  # the front's own stands behind the client's
    return pairs


def _cell(text: str) -> Any:
    """A number, None where a number is missing (empty or not finite), or the text."""
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return None
    return int(text) if text.strip().lstrip("+-").isdecimal() and len(text) < 16 else number


def _rows_of_tables(asked: Any, answered: Any, common: Fields) -> list[Fields]:
    inputs = [_input_of(row) for row in asked] if isinstance(asked, Table) else instances_of(asked)
    answers = table_answers(answered, len(inputs)) if isinstance(answered, Table) else []
    if isinstance(answered, dict) and "choices" in answered:  # a streamed answer
        answers = [response_fields(answered)]
    elif isinstance(answered, dict | list) and not isinstance(answered, Table):
        answers = predictions_of(answered, len(inputs))
    elif isinstance(answered, str):
        answers = [{"output_text": text_of(answered)}]
    if isinstance(asked, Table) and len(answers) == len(inputs) - 1 and _is_named(asked):
        inputs = inputs[1:]
    return paired_rows(inputs, answers, common)


def table_answers(table: Table, n_inputs: int) -> list[Fields]:
    """Answers of CSV: a line for each input, or one line with a value for each of several inputs.

    Examples
    --------
    >>> table_answers(Table([[0.1, 0.9]]), 2), table_answers(Table([[0.1, 0.9]]), 1)
    ([{'probabilities': [0.1]}, {'probabilities': [0.9]}], [{'probabilities': [0.1, 0.9]}])
    """
    rows = [nested_or_text(",".join(map(str, row))) if _is_list_text(row) else row for row in table]
    if len(rows) == 1 and isinstance(rows[0], list) and len(rows[0]) == n_inputs > 1:
        rows = [[value] for value in rows[0]]
    return [answer_of(row) for row in rows]


def _is_list_text(row: list[Any]) -> bool:
    # XGBoost's container writes str() of a list: "[0.02", 0.97, "0.01]"
    return isinstance(row[0], str) and row[0].startswith("[") and isinstance(row[-1], str)


def _input_of(row: list[Any]) -> Any:
    if all(isinstance(cell, int | float) or cell is None for cell in row):
        return row  # with a gap it is no vector: missing, and noted when the record is made
    return ",".join("" if cell is None else str(cell) for cell in row)
