"""What `reduce_output` does to requests and answers; the label stays true, its decimals go."""

from typing import Any

from copycatch.records.wire import ActionParams

DEPTH_MAX = 8
_PROBABILITIES = frozenset({"probabilities", "proba", "probs", "scores", "confidences", "predict_proba"})


def reduce_request(body: Any, params: ActionParams) -> Any:
    """A request that asks for no more than is allowed.

    Examples
    --------
    >>> reduce_request({"logprobs": True, "top_logprobs": 20, "n": 8}, {"max_top_logprobs": 0, "max_n": 1})
    {'n': 1}
    >>> reduce_request({"logprobs": True, "top_logprobs": 20}, {"max_top_logprobs": 2})
    {'logprobs': True, 'top_logprobs': 2}
    """
    if not isinstance(body, dict):
        return body
    reduced = dict(body)
    top_max, n_max = params.get("max_top_logprobs"), params.get("max_n")
    if isinstance(top_max, int):
        if top_max == 0:
            for name in ("logprobs", "top_logprobs", "logit_bias"):
                reduced.pop(name, None)
        elif isinstance(reduced.get("top_logprobs"), int):
            reduced["top_logprobs"] = min(reduced["top_logprobs"], top_max)
    if isinstance(n_max, int) and isinstance(reduced.get("n"), int):
        reduced["n"] = min(reduced["n"], n_max)
    return reduced


def reduce_answer(body: Any, params: ActionParams, depth: int = 0) -> Any:
    """An answer with fewer and rounder probabilities.

    Only the `top_k_labels` highest stay (the others become 0, so that the length is kept), rounded to
    `round_decimals`. Log probabilities of tokens are removed where none are allowed.

    Examples
    --------
    >>> answer = {"label": 1, "probabilities": [0.02, 0.913, 0.067]}
    >>> reduce_answer(answer, {"top_k_labels": 1, "round_decimals": 1})
    {'label': 1, 'probabilities': [0.0, 0.9, 0.0]}
    """
    if depth > DEPTH_MAX:
        return body
    if isinstance(body, list):
        return [reduce_answer(each, params, depth + 1) for each in body]
    if not isinstance(body, dict):
        return body
    reduced: dict[str, Any] = {}
    for name, value in body.items():
        if name == "logprobs" and params.get("max_top_logprobs") == 0:
            reduced[name] = None
        elif name in _PROBABILITIES and _is_vector(value):
            reduced[name] = _reduced(value, params)
        else:
            reduced[name] = reduce_answer(value, params, depth + 1)
    return reduced


def _is_vector(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value)
    return is_list and all(isinstance(each, int | float) and not isinstance(each, bool) for each in value)


def _reduced(values: list[float], params: ActionParams) -> list[float]:
    kept, decimals = params.get("top_k_labels"), params.get("round_decimals")
    order = sorted(range(len(values)), key=lambda index: -values[index])
    shown = set(order[:kept]) if isinstance(kept, int) else set(order)
    return [
        (round(value, decimals) if isinstance(decimals, int) else value) if index in shown else 0.0
        for index, value in enumerate(values)
    ]
