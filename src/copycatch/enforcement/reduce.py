"""What `reduce_output` does to requests and answers; the label stays true, its decimals go.

Numbers are found by what they are, not by what a server calls them: every fraction in an answer is rounded,
and of every list of scores only the highest stay.
"""

import math
import re
from typing import Any

from copycatch.records.wire import ActionParams

DEPTH_MAX = 32
# Whole numbers under these names are scores too (per cent, quantised).
_SCORES = ("prob", "score", "confidence", "logit", "prediction")
_ANSWERS = frozenset({"choices", "candidates"})
_ANSWER_COUNTS = frozenset({"n", "bestof", "candidatecount", "numreturnsequences"})
_OPTION_HOLDERS = frozenset({"generationconfig", "parameters", "options", "extrabody", "samplingparams"})
_PACKED = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_PACKED_NAMES = ("embedding", "data", "b64", "base64", "contentbytes", *_SCORES)
_NUMBER = re.compile(r"\s*[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?\s*")


class IrreducibleError(ValueError):
    """An answer of which it cannot be told what it gives away."""


def reduce_request(body: Any, params: ActionParams) -> Any:
    """A request that asks for no more than is allowed, and for an answer that can be reduced.

    Examples
    --------
    >>> reduce_request({"logprobs": True, "top_logprobs": 20, "n": 8}, {"max_top_logprobs": 0, "max_n": 1})
    {'n': 1}
    >>> reduce_request({"logprobs": 5, "best_of": 9, "stream": True}, {"max_top_logprobs": 2, "max_n": 1})
    {'logprobs': 2, 'best_of': 1}
    """
    if not isinstance(body, dict):
        return body
    top_max, n_max = params.get("max_top_logprobs"), params.get("max_n")
    reduced: dict[str, Any] = {}
    for name, value in body.items():
        plain = _plain(name)
        if plain in ("stream", "streamoptions", "encodingformat", "binarydataoutput"):
            continue  # a stream and packed numbers cannot be reduced
        if isinstance(top_max, int) and ("logprob" in plain or plain == "logitbias"):
            if top_max > 0:
                is_count = isinstance(value, int) and not isinstance(value, bool)
                reduced[name] = min(value, top_max) if is_count else value
        elif isinstance(n_max, int) and plain in _ANSWER_COUNTS:
            if isinstance(value, int):
                reduced[name] = min(value, n_max)
        else:
            reduced[name] = reduce_request(value, params) if plain in _OPTION_HOLDERS else value
    return reduced


def reduce_answer(body: Any, params: ActionParams) -> Any:
    """An answer with fewer and rounder numbers.

    Every fraction is rounded to `round_decimals`. Of a list of scores only the `top_k_labels` highest stay;
    the others become 0 (or less than those, where some are negative), so that the length is kept. Log
    probabilities of tokens are removed where none are allowed, and `max_n` answers stay.

    Raises
    ------
    IrreducibleError
        If numbers are packed as text, or lie deeper than `DEPTH_MAX`.

    Examples
    --------
    >>> answer = {"label": 1, "probabilities": [0.02, 0.913, 0.067], "score": 0.913}
    >>> reduce_answer(answer, {"top_k_labels": 1, "round_decimals": 1})
    {'label': 1, 'probabilities': [0.0, 0.9, 0.0], 'score': 0.9}
    """
    return _reduced(body, params, "", 0)


def _reduced(value: Any, params: ActionParams, name: str, depth: int) -> Any:
    if depth > DEPTH_MAX:
        msg = f"the answer is nested deeper than {DEPTH_MAX}"
        raise IrreducibleError(msg)
    if isinstance(value, float):
        return _rounded(value, params)
    if isinstance(value, str):
        return _reduced_text(value, params, name)
    if isinstance(value, list):
        return _reduced_list(value, params, name, depth)
    if isinstance(value, dict):
        return _reduced_object(value, params, name, depth)
    return value


def _reduced_text(text: str, params: ActionParams, name: str) -> str:
    """A fraction that is written as text is rounded; numbers packed as Base64 cannot be."""
    if _NUMBER.fullmatch(text):
        return str(_rounded(float(text), params))
    if any(part in name for part in _PACKED_NAMES) and _PACKED.fullmatch(text):
        msg = f"{name!r} holds packed numbers"
        raise IrreducibleError(msg)
    return text


def _reduced_list(values: list[Any], params: ActionParams, name: str, depth: int) -> list[Any]:
    if _is_scores(values, name):
        return _top(values, params)
    n_max, kept = params.get("max_n"), params.get("top_k_labels")
    if name in _ANSWERS and isinstance(n_max, int):
        values = values[: max(n_max, 1)]
    scored = [_score_of(value) for value in values]
    if isinstance(kept, int) and len(values) > 1 and all(score is not None for score in scored):
        order = sorted(range(len(values)), key=lambda index: -(scored[index] or 0.0))
        values = [values[index] for index in sorted(order[: max(kept, 1)])]
    return [_reduced(value, params, name, depth + 1) for value in values]


def _reduced_object(values: dict[str, Any], params: ActionParams, name: str, depth: int) -> dict[str, Any]:
    top_max = params.get("max_top_logprobs")
    if _is_distribution(values, name):
        return dict(zip(values, _top(list(values.values()), params), strict=True))
    reduced: dict[str, Any] = {}
    for key, value in values.items():
        plain = _plain(key)
        if isinstance(top_max, int) and "logprob" in plain and top_max == 0:
            reduced[key] = None
        elif isinstance(top_max, int) and plain == "toplogprobs":
            reduced[key] = _reduced(_cut(value, top_max), params, plain, depth + 1)
        elif plain == "data" and isinstance(value, list) and (width := _row_width(values, value)):
            rows = [value[start : start + width] for start in range(0, len(value), width)]
            reduced[key] = [number for row in rows for number in _reduced_row(row, params, values)]
        else:
            reduced[key] = _reduced(value, params, plain, depth + 1)
    return reduced


def _row_width(tensor: dict[str, Any], data: list[Any]) -> int:
    """Numbers in a row of a flat tensor; 0 where it is none."""
    shape = tensor.get("shape")
    is_flat = all(_is_number(each) for each in data)
    if not is_flat or not isinstance(shape, list) or not shape or not isinstance(shape[-1], int):
        return 0
    return max(shape[-1], 0)


def _reduced_row(row: list[Any], params: ActionParams, tensor: dict[str, Any]) -> list[Any]:
    is_fraction = str(tensor.get("datatype", "")).upper().startswith(("FP", "BF"))
    if len(row) > 1 and (is_fraction or _is_scores(row, _plain(str(tensor.get("name", ""))))):
        return _top(row, params)
    return [_rounded(number, params) if is_fraction else _reduced(number, params, "", 0) for number in row]


def _cut(value: Any, top_max: int) -> Any:
    """The likeliest alternatives of a token; lists come with the likeliest first."""
    if isinstance(value, list):
        return [_cut(each, top_max) if isinstance(each, dict) else each for each in value][
            : top_max if not value or "logprob" in str(value[0]) else None
        ]
    if isinstance(value, dict) and value and all(_is_number(each) for each in value.values()):
        return dict(sorted(value.items(), key=lambda pair: -pair[1])[:top_max])
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scores(values: list[Any], name: str) -> bool:
    """Numbers with a fraction among them; whole ones only under a name that says so. No embeddings."""
    if len(values) < 2 or not all(_is_number(value) for value in values) or "embedding" in name:
        return False
    return any(isinstance(value, float) for value in values) or any(part in name for part in _SCORES)


def _is_distribution(values: dict[str, Any], name: str) -> bool:
    """An object like {"cat": 0.9, "dog": 0.1}."""
    numbers = list(values.values())
    is_named = any(part in name for part in _SCORES)
    return _is_scores(numbers, name) and (is_named or all(0 <= number <= 1 for number in numbers))


def _score_of(value: Any) -> float | None:
    """The score of one entry of a list like [{"label": "cat", "score": 0.9}, ...]."""
    if not isinstance(value, dict) or not any(isinstance(each, str) for each in value.values()):
        return None
    found = [
        each
        for key, each in value.items()
        if _is_number(each) and (isinstance(each, float) or any(part in _plain(key) for part in _SCORES))
    ]
    return float(found[0]) if len(found) == 1 else None


def _top(values: list[Any], params: ActionParams) -> list[Any]:
    kept = params.get("top_k_labels")
    order = sorted(range(len(values)), key=lambda index: -values[index])
    shown = order[: max(kept, 1)] if isinstance(kept, int) else order
    reduced = {index: _rounded(values[index], params) for index in shown}
    is_signed = min(values) < 0
    hidden = math.floor(min(reduced.values())) - 1.0 if is_signed else 0.0
    return [reduced.get(index, hidden) for index in range(len(values))]


def _rounded(value: float, params: ActionParams) -> float:
    decimals = params.get("round_decimals")
    return round(value, decimals) if isinstance(decimals, int) else value


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
