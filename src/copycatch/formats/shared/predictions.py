"""Rows of tabular and image models: instances in, labels and class probabilities out."""

import math
from typing import Any

from copycatch.formats.shared.chat import (
    is_numbers,
    params_of,
    request_fields,
    response_fields,
    split_asked,
)
from copycatch.formats.shared.contents import UNREAD
from copycatch.formats.shared.messages import Fields, compact_text, dig, first, text_of
from copycatch.records.wire import ID_CHARS_MAX, VECTOR_LENGTH_MAX

SUM_TOLERANCE = 1e-2  # probabilities are often rounded to two digits before they are logged
BODY_KEYS = ("instances", "inputs", "dataframe_records", "predictions", "outputs")
INSTANCES_MAX = 10_000  # in one request; also bounds the records that one message can become
# No value of a record: each record notes that a part of it could not be read.
UNREAD_ANSWER: Fields = {"predicted_label": object()}
_TEXT_KEYS = ("generated_text", "output_text", "text_output", "summary_text", "translation_text", "answer")
_DATA_URIS = ("data:image/", "data:audio/", "data:video/", "data:application/")
_CHAT_KEYS = frozenset({"messages", "prompt", "contents", "input"})
_DEPTH_MAX = 8  # of nested lists; batch, channels, height, width and some to spare
_LABEL_KEYS = (
    "predicted_label",
    "label",
    "prediction",
    "class",
    "predicted_class",
    "category",
    "prediction_label",
    "scored_labels",
)
_SCORE_KEYS = (
    "probabilities",
    "proba",
    "probas",
    "probability",
    "predict_proba",
    "scores",
    "confidences",
    "scored_probabilities",
)


def instances_of(body: Any) -> list[Any]:
    """Inputs of a request, one entry for each prediction asked for, at most `INSTANCES_MAX`.

    Examples
    --------
    >>> instances_of({"instances": [[1.0, 2.0], [3.0, 4.0]]})
    [[1.0, 2.0], [3.0, 4.0]]
    >>> instances_of({"dataframe_records": [{"f0": 6.8, "f1": 2.8}]})
    [[6.8, 2.8]]
    >>> instances_of({"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}})
    [[1], [2]]
    """
    if isinstance(body, dict):
        rows = first(
            body.get("instances"),
            body.get("dataframe_records"),
            dig(body, "dataframe_split", "data"),
            body.get("inputs"),
            body.get("text_input"),
            body.get("features"),
            body.get("data"),
        )
        if rows is None and _is_bare_table(body):
            rows = body
        if rows is None:
            return []
    else:
        rows = body
    if isinstance(rows, dict):
        rows = _rows_of_columns(rows)
    if not isinstance(rows, list) or is_numbers(rows):
        rows = [rows]
    return [input_of(row) for row in rows[:INSTANCES_MAX]]


def input_of(row: Any) -> Any:
    """One instance as an input: numbers flattened, text as it is, all else as one line of JSON.

    Examples
    --------
    >>> input_of({"f0": 1, "f1": 2.5}), input_of([[1, 2], [3, 4]]), input_of("hello")
    ([1, 2.5], [1, 2, 3, 4], 'hello')
    >>> input_of({"age": 31, "city": "Oslo"})
    '{"age":31,"city":"Oslo"}'
    """
    if row is None or isinstance(row, str):
        return UNREAD if row is not None and row.startswith(_DATA_URIS) else text_of(row)
    if isinstance(row, dict) and isinstance(row.get("b64"), str):
        return UNREAD  # bytes, mostly of an image
    values = list(row.values()) if isinstance(row, dict) else row
    if isinstance(row, dict) and len(values) == 1:
        return input_of(values[0])
    flat = [values] if isinstance(values, int | float) and not isinstance(values, bool) else flatten(values)
    if flat is not None:
        return flat if len(flat) <= VECTOR_LENGTH_MAX else None
    return compact_text(row)


def _as_number(value: Any) -> Any:
    """Booleans and numbers that are logged as text, as servers read them; anything else as it is."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and len(value) < 32:
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else None
    return value


def flatten(values: Any) -> list[Any] | None:
    """Numbers of nested lists in order, or None where anything else is among them."""
    if not isinstance(values, list):
        return None
    flat = values
    for _ in range(_DEPTH_MAX):
        if not any(isinstance(entry, list) for entry in flat):
            break
        if not all(isinstance(entry, list) for entry in flat):
            return None
        flat = [entry for inner in flat for entry in inner]
    if not any(isinstance(entry, int | float) for entry in flat):
        return None  # words, even such as "12"
    numbers = [_as_number(entry) for entry in flat]
    return numbers if all(isinstance(entry, int | float) for entry in numbers) else None


def predictions_of(body: Any, n_inputs: int = 0) -> list[Fields]:
    """Answers of a response, one entry for each prediction; of `n_inputs`, where that is known.

    A label and its score for each of several inputs are told from the scores of all classes of one by it.

    Examples
    --------
    >>> predictions_of({"predictions": [{"label": 1, "proba": [0.02, 0.91, 0.07]}]})
    [{'predicted_label': 1, 'probabilities': [0.02, 0.91, 0.07]}]
    >>> predictions_of({"predictions": [1, "cat"]})
    [{'predicted_label': 1}, {'predicted_label': 'cat'}]
    >>> best = [{"label": "no", "score": 0.9}, {"label": "yes", "score": 0.7}]
    >>> [each["predicted_label"] for each in predictions_of(best, 2)], predictions_of(best)[0]["top_scores"]
    (['no', 'yes'], [0.9, 0.7])
    >>> predictions_of({"outputs": {"classes": ["a", "b"], "scores": [[0.9, 0.1], [0.2, 0.8]]}}, 2)[1]
    {'probabilities': [0.2, 0.8], 'predicted_label': 'b'}
    """
    if isinstance(body, dict):
        rows = first(*(body.get(key) for key in ("predictions", "outputs", "prediction", "results", "data")))
        if rows is None:
            rows = body
    else:
        rows = body
    if isinstance(rows, dict) and n_inputs > 1:
        rows = _named_rows(rows, n_inputs)
    if isinstance(rows, list) and len(rows) == 1 < n_inputs and _is_of_rows(rows[0], n_inputs):
        rows = rows[0]
    if not isinstance(rows, list) or (_scored_labels(rows) and not _is_of_rows(rows, n_inputs)):
        rows = [rows]
    return [answer_of(row) for row in rows[:INSTANCES_MAX]]


def _is_of_rows(answers: Any, n_inputs: int) -> bool:
    """Whether labels with scores are the best one of each of several inputs, not all classes of one."""
    return (
        n_inputs > 1
        and isinstance(answers, list)
        and len(answers) == n_inputs
        and bool(_scored_labels(answers))
    )


def answer_of(answer: Any) -> Fields:
    """One answer as label and probabilities, where it is known to be that.

    A lone fraction in [0, 1] is the score of the positive class; a list is class probabilities only if it
    sums to 1. Logits and regression values have no canonical field and are left out.

    Examples
    --------
    >>> answer_of(0.0254), answer_of([0.02, 0.98]), answer_of([3.1, -2.0]), answer_of(7.0)
    ({'probabilities': [0.0254]}, {'probabilities': [0.02, 0.98]}, {}, {'predicted_label': 7})
    """
    if isinstance(answer, dict):
        return _answer_of_fields(answer)
    if isinstance(answer, list):
        scored = _scored_labels(answer)
        if scored:
            return scored
        if len(answer) == 1:
            return answer_of(answer[0])
        flat = flatten(answer)
        return {"probabilities": flat} if flat is not None and is_distribution(flat) else {}
    if isinstance(answer, str) and len(answer) > ID_CHARS_MAX:
        return {"output_text": text_of(answer)}
    return lone_answer(answer)


def _scored_labels(answers: list[Any]) -> Fields:
    """Label and scores of `[{"label": ..., "score": ...}, ...]`, one entry a class, as pipelines write them.

    Examples
    --------
    >>> _scored_labels([{"label": "no", "score": 0.02}, {"label": "yes", "score": 0.98}])
    {'predicted_label': 'yes', 'top_scores': [0.98, 0.02]}
    """
    if len(answers) < 2 or not all(isinstance(each, dict) and "label" in each for each in answers):
        return {}
    scores = [each.get("score") for each in answers]
    if not all(isinstance(score, int | float) and 0 <= score <= 1 for score in scores):
        return {}
    ranked = sorted(answers, key=lambda each: -each["score"])
    return {"predicted_label": ranked[0]["label"], "top_scores": [each["score"] for each in ranked]}


def lone_answer(value: Any) -> Fields:
    """A single value: whole numbers and words are labels, a fraction in [0, 1] is a score."""
    if isinstance(value, float) and not value.is_integer():
        return {"probabilities": [value]} if 0.0 <= value <= 1.0 else {}
    if isinstance(value, float | bool):
        return {"predicted_label": int(value)}
    return {"predicted_label": value} if isinstance(value, int | str) and value != "" else {}


def is_distribution(values: list[Any]) -> bool:
    """Whether numbers are probabilities of all classes."""
    if len(values) < 2 or len(values) > VECTOR_LENGTH_MAX:
        return False
    return all(0.0 <= value <= 1.0 for value in values) and math.isclose(
        sum(values), 1.0, abs_tol=SUM_TOLERANCE
    )


def rows_of(request: Any, response: Any, common: Fields) -> list[Fields]:
    """Fields of each query of a request and its response; `common` goes into all of them.

    Bodies of chat, completion and embedding APIs, which model servers pass on as well, are one query for each
    prompt.
    """
    is_chat = isinstance(request, dict) and not _CHAT_KEYS.isdisjoint(request)
    if is_chat or (isinstance(response, dict) and "choices" in response):
        fields = {**request_fields(request), **({} if response is None else response_fields(response))}
        fields |= {name: value for name, value in common.items() if value is not None}
        return numbered(split_asked(fields, request, response))
    inputs = [] if request is None else instances_of(request)
    answers = [] if response is None else predictions_of(response, len(inputs))
    options = params_of(request) if isinstance(request, dict) and "parameters" in request else None
    return paired_rows(inputs, answers, common if options is None else {"params": options, **common})


def paired_rows(inputs: list[Any], answers: list[Fields], common: Fields) -> list[Fields]:
    """Fields of each input with its answer, numbered; `common` goes into all of them."""
    if inputs and answers and len(answers) != len(inputs):
        # Which input one answer for a batch belongs to is unknown; no label is better than a wrong one.
        answers = [dict(UNREAD_ANSWER) for _ in inputs]
    rows = []
    for index in range(max(len(inputs), len(answers), 1)):
        row: Fields = dict(common)
        if inputs:
            row["input"] = inputs[index]
        if answers:
            row |= answers[index]
        rows.append(row)
    return numbered(rows)


def numbered(rows: list[Fields]) -> list[Fields]:
    """Rows of one message with event ids of their own: `id:0`, `id:1`, ...; a single row keeps the id.

    Examples
    --------
    >>> [(row["event_id"], row["prompt_index"]) for row in numbered([{"event_id": "a"}, {"event_id": "a"}])]
    [('a:0', 0), ('a:1', 1)]
    """
    if len(rows) > 1:
        for index, row in enumerate(rows):
            row.setdefault("prompt_index", index)
            if row.get("event_id") is not None:
                row["event_id"] = f"{row['event_id']}:{index}"
    return rows


def _is_bare_table(body: dict[str, Any]) -> bool:
    """Whether an object is nothing but one row of numbers, or columns of one length."""
    values = list(body.values())
    if is_numbers(values):
        return all(isinstance(value, int | float) for value in values)
    lists = [value for value in values if isinstance(value, list)]
    return bool(lists) and len(lists) == len(values) and len({len(each) for each in lists}) == 1


def _rows_of_columns(columns: dict[str, Any]) -> Any:
    """Rows of `{"a": [1, 2], "b": [3, 4]}`; a plain object of numbers is one row."""
    lists = list(columns.values())
    is_table = bool(lists) and all(isinstance(each, list) and len(each) == len(lists[0]) for each in lists)
    return [list(row) for row in zip(*lists, strict=True)] if is_table else [columns]


def _named_rows(columns: dict[str, Any], n: int) -> Any:
    """Rows of columns that all have `n` entries, with their names, as servers answer column by column."""
    is_table = bool(columns) and all(isinstance(each, list) and len(each) == n for each in columns.values())
    return [{name: each[i] for name, each in columns.items()} for i in range(n)] if is_table else columns


def _answer_of_fields(answer: dict[str, Any]) -> Fields:
    fields: Fields = {}
    answer = {str(key).strip().lower().replace(" ", "_"): value for key, value in answer.items()}
    label = first(*(answer.get(key) for key in _LABEL_KEYS))
    if isinstance(label, str | int):
        fields["predicted_label"] = int(label) if isinstance(label, bool) else label
    elif label is not None:
        fields |= answer_of(label)
    scores = first(*(answer.get(key) for key in _SCORE_KEYS))
    if isinstance(scores, dict):
        scores = list(scores.values())
    if isinstance(scores, float | int) and not isinstance(scores, bool):
        score = answer.get("score", scores)
        fields |= {"top_scores": [score]} if 0.0 <= score <= 1.0 else {}
    elif is_numbers(scores):
        flat = flatten(scores)
        if flat is not None and is_distribution(flat):
            fields["probabilities"] = flat
        elif flat is not None and all(0.0 <= value <= 1.0 for value in flat):
            fields["top_scores"] = sorted(flat, reverse=True)
    elif isinstance(answer.get("score"), float) and 0.0 <= answer["score"] <= 1.0:
        fields["top_scores"] = [answer["score"]]
    if "probabilities" not in fields and "top_scores" not in fields:
        # Columns of probabilities by name, as servers of data frames write them: p0, p1, ...
        columns = [
            value
            for key, value in answer.items()
            if key not in _LABEL_KEYS and isinstance(value, int | float) and not isinstance(value, bool)
        ]
        if any(isinstance(value, float) for value in columns) and is_distribution(columns):
            fields["probabilities"] = columns
    text = first(*(answer.get(key) for key in _TEXT_KEYS))
    if isinstance(text, str) and not fields:
        fields["output_text"] = text_of(text)
    if "predicted_label" not in fields:
        fields |= _label_of_classes(answer, fields.get("probabilities"))
    return fields


def _label_of_classes(answer: dict[str, Any], probabilities: list[float] | None) -> Fields:
    """The class of the highest of the probabilities, where the answer names the classes beside them."""
    for key in ("classes", "class_names", "displaynames", "labels"):
        names = answer.get(key)
        if isinstance(names, str | int) and not isinstance(names, bool):
            return {"predicted_label": names}  # of a column of answers, one a row
        if isinstance(names, list) and probabilities and len(names) == len(probabilities):
            best = names[probabilities.index(max(probabilities))]
            return {"predicted_label": best} if isinstance(best, str | int) else {}
    return {}
