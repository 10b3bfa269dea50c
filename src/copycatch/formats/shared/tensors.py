"""Bodies of the Open Inference Protocol (v2): named tensors with shape, type and flat data."""

import math
from collections import Counter
from typing import Any

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.messages import Fields, compact_text, dig, first, first_name, text_of
from copycatch.formats.shared.predictions import (
    INSTANCES_MAX,
    is_distribution,
    lone_answer,
    paired_rows,
    rows_of,
)
from copycatch.records.decoding import Note
from copycatch.records.wire import VECTOR_LENGTH_MAX

TENSORS_MAX = 1024  # tabular servers send one tensor a column
_CONTENTS = (
    *("fp32Contents", "fp64Contents", "intContents", "int64Contents", "uintContents", "uint64Contents"),
    *("boolContents", "bytesContents"),
    *("fp32_contents", "fp64_contents", "int_contents", "int64_contents", "uint_contents", "uint64_contents"),
    *("bool_contents", "bytes_contents"),
)


def is_request(body: Any) -> bool:
    """Whether a body asks: it brings input tensors."""
    inputs = dig(body, "inputs")
    return isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], dict) and "name" in inputs[0]


def is_response(body: Any) -> bool:
    """Whether a body answers: it brings output tensors with content."""
    outputs = dig(body, "outputs")
    return (
        isinstance(outputs, list)
        and bool(outputs)
        and isinstance(outputs[0], dict)
        and any(key in outputs[0] for key in ("data", "contents", "shape"))
    )


def input_rows(body: Any) -> list[Any]:
    """Inputs of a request, one entry a row of the batch.

    Numeric tensors are joined row by row in their order; a tensor of text is the text.

    Examples
    --------
    >>> tensor = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}
    >>> input_rows({"inputs": [tensor]})
    [[1.0, 2.0], [3.0, 4.0]]
    """
    tensors = [rows_of_tensor(tensor, "inputs") for tensor in dig(body, "inputs")[:TENSORS_MAX]]
    n_rows = max((len(rows) for rows in tensors), default=0)
    inputs: list[Any] = []
    for index in range(n_rows):
        cells = [rows[index] for rows in tensors if len(rows) == n_rows]
        values = [value for cell in cells for value in cell]
        if all(isinstance(value, str) for value in values):
            inputs.append(text_of("\n".join(values)))
        elif any(isinstance(value, str) for value in values):
            inputs.append(compact_text(values))
        else:
            inputs.append([_plain(value) for value in values] if len(values) <= VECTOR_LENGTH_MAX else None)
    return inputs


def answer_rows(body: Any) -> list[Fields]:
    """Answers of a response, one entry a row of the batch: label and probabilities by what the tensors hold.

    Examples
    --------
    >>> proba = {"name": "predict_proba", "shape": [1, 3], "datatype": "FP64", "data": [0.02, 0.91, 0.07]}
    >>> answer_rows({"outputs": [{"name": "predict", "shape": [1], "datatype": "INT64", "data": [1]}, proba]})
    [{'predicted_label': 1, 'probabilities': [0.02, 0.91, 0.07]}]
    """
    tensors = [rows_of_tensor(tensor, "outputs") for tensor in dig(body, "outputs")[:TENSORS_MAX]]
    n_rows = max((len(rows) for rows in tensors), default=0)
    answers: list[Fields] = []
    for index in range(n_rows):
        answer: Fields = {}
        for rows in tensors:
            if len(rows) == n_rows:
                for name, value in _answer_of(rows[index]).items():
                    answer.setdefault(name, value)  # the first tensor that says it wins
        answers.append(answer)
    return answers


def rows_of_tensor(tensor: Any, field: str) -> list[list[Any]]:
    """Values of a tensor, a list for each row of its first axis.

    Raises
    ------
    MessageFault
        If shape and data disagree, or the data came as raw bytes next to the document.
    """
    if not isinstance(tensor, dict):
        raise MessageFault("schema", field, f"{field}: expected objects with name, shape, datatype and data")
    data = _data_of(tensor)
    name = str(tensor.get("name"))[:64]
    if data is None:
        message = f"{field}: tensor {name!r} has no data; log it as JSON, not with the binary data extension"
        raise MessageFault("schema", field, message)
    sizes = tensor.get("shape")
    shape = [_size(size) for size in sizes[:16]] if isinstance(sizes, list) and sizes else [len(data)]
    n_rows = shape[0] if shape else 1
    if any(size < 0 for size in shape) or math.prod(shape) != len(data) or n_rows < 1:
        raise MessageFault(
            "schema", field, f"{field}: tensor {name!r} has shape {shape[:8]} and {len(data)} values"
        )
    width = len(data) // n_rows
    return [data[index * width : (index + 1) * width] for index in range(min(n_rows, INSTANCES_MAX))]


def _data_of(tensor: dict[str, Any]) -> list[Any] | None:
    data = tensor.get("data")
    if data is None:
        contents = tensor.get("contents")
        data = first(*(dig(contents, key) for key in _CONTENTS))
    if not isinstance(data, list):
        return None
    flat = data
    for _ in range(8):
        if not flat or not isinstance(flat[0], list):
            break
        flat = [value for inner in flat if isinstance(inner, list) for value in inner]
    return flat


def _size(size: Any) -> int:
    # The JSON form of protobuf writes 64-bit integers as strings.
    if isinstance(size, str) and size.isascii() and size.isdecimal() and len(size) < 16:
        return int(size)
    return size if isinstance(size, int) and not isinstance(size, bool) else -1


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _answer_of(values: list[Any]) -> Fields:
    if len(values) == 1:
        return lone_answer(values[0])
    if all(isinstance(value, str) for value in values):
        return {"output_text": text_of("\n".join(values))}
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return {"probabilities": values} if is_numeric and is_distribution(values) else {}


def body_rows(asked: Any, answered: Any, common: Fields, notes: Counter[Note]) -> list[Fields]:
    """Rows of a pair of bodies, tensors (v2) or instances (v1); tensors that cannot be read are missing."""
    if not is_request(asked) and not is_response(answered):
        return rows_of(asked, answered, common)
    inputs: list[Any] = []
    answers: list[Fields] = []
    try:
        inputs = input_rows(asked) if is_request(asked) else []
    except MessageFault:
        notes["unread"] += 1
    try:
        answers = answer_rows(answered) if is_response(answered) else []
    except MessageFault:
        notes["unread"] += 1
    version = first_name(dig(answered, "model_version"), dig(answered, "modelVersion"))
    return paired_rows(inputs, answers, {**common, "model_version": version})
