"""SageMaker endpoint data capture: input and output as CSV, JSON or base64 within one JSON line."""

import base64
import binascii
import csv
import math
from typing import Any

from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import Fields, LogMessage, Reading, dig, first_name, nested
from copycatch.formats.shared.predictions import INSTANCES_MAX, answer_of, input_of, numbered, rows_of
from copycatch.formats.shared.recognise import Recognise

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
    asked = body_of(capture.get("endpointInput"), "captureData.endpointInput.data")
    answered = body_of(capture.get("endpointOutput"), "captureData.endpointOutput.data")
    if isinstance(asked, Table) or isinstance(answered, Table):
        return list(_rows_of_tables(asked, answered, common))
    return list(rows_of(asked, answered, common))


class Table(list[list[Any]]):
    """Rows of CSV."""


def body_of(side: Any, field: str) -> Any:
    """The body that was captured: a table, a document or text.

    Raises
    ------
    MessageFault
        If it is not what its encoding says.
    """
    data = dig(side, "data")
    encoding = dig(side, "encoding")
    if not isinstance(data, str):
        return data
    if encoding == "BASE64":
        try:
            data = base64.b64decode(data, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None  # an image or another binary body: the query counts, its input is not kept
        encoding = "JSON" if data.lstrip()[:1] in ("{", "[") else "CSV"
    if encoding == "JSON":
        return nested(data, field)
    if encoding != "CSV":
        return data
    try:
        rows = list(csv.reader(data.splitlines()[: INSTANCES_MAX + 1]))
    except csv.Error as error:
        raise MessageFault("schema", field, f"{field}: no CSV: {error}") from None
    if len(rows) > INSTANCES_MAX:
        raise MessageFault("schema", field, f"{field}: more than {INSTANCES_MAX:,} rows in one request")
    return Table([_cell(cell, field) for cell in row] for row in rows if row)


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
                pairs.setdefault(name.strip().lower(), value.strip())
    return pairs


def _cell(text: str, field: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        raise MessageFault("not_finite", field, f"{field}: {text[:16]!r} is no finite number")
    return int(text) if text.strip().lstrip("+-").isdecimal() and len(text) < 16 else number


def _rows_of_tables(asked: Any, answered: Any, common: Fields) -> list[Fields]:
    inputs = [_input_of(row) for row in asked] if isinstance(asked, Table) else [input_of(asked)]
    answers = [answer_of(row) for row in answered] if isinstance(answered, Table) else []
    if answers and len(answers) != len(inputs):
        answers = []
    rows = [{**common, "input": given} for given in inputs]
    for row, answer in zip(rows, answers, strict=False):  # both, or no answers at all
        row.update(answer)
    return numbered(rows)


def _input_of(row: list[Any]) -> Any:
    is_numeric = all(isinstance(cell, int | float) for cell in row)
    return row if is_numeric else ",".join(str(cell) for cell in row)
