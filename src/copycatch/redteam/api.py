"""What an endpoint shows of an answer, and which options its clients set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from copycatch.redteam.inputs import FloatArray, Inputs, Rng
from copycatch.redteam.oracle import Params

LOGPROBS_PROB = 0.42
TOP_LOGPROBS = 5

Fields = dict[str, Any]


class Api(Protocol):
    """One kind of endpoint."""

    def draw_params(self, rng: Rng) -> Params | None:
        """The options that one client always sets."""
        ...

    def outputs(
        self, inputs: Inputs, probabilities: FloatArray, params: Sequence[Params | None]
    ) -> list[Fields]:
        """The output fields of a record, one dict per answered query."""
        ...


class ClassifierApi:
    """Gives the label and the whole probability vector, rounded to four decimals."""

    def draw_params(self, rng: Rng) -> Params | None:
        # Honest and dishonest clients alike: asking for probabilities is no evidence here.
        return {"logprobs": True} if rng.random() < LOGPROBS_PROB else None

    def outputs(
        self, inputs: Inputs, probabilities: FloatArray, params: Sequence[Params | None]
    ) -> list[Fields]:
        """As the development traces have them.

        Examples
        --------
        >>> ClassifierApi().outputs(np.zeros((1, 2)), np.array([[0.25, 0.75]]), [None])
        [{'predicted_label': 1, 'probabilities': [0.25, 0.75]}]
        """
        labels = probabilities.argmax(axis=1).tolist()
        rows = np.round(probabilities, 4).tolist()
        return [{"predicted_label": k, "probabilities": p} for k, p in zip(labels, rows, strict=True)]


class CompletionApi:
    """A language model's endpoint: text, token counts, and top log-probabilities on request.

    Parameters
    ----------
    tokens : sequence of str
        The words that an answer can open with.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tuple(tokens)

    def draw_params(self, rng: Rng) -> Params | None:
        params: Params = {
            "temperature": float(rng.choice([0.0, 0.2, 0.7, 1.0])),
            "max_tokens": int(rng.choice([64, 128, 256, 512, 1024])),
        }
        # Rerankers, evaluations and confidence displays are the honest reasons to ask for these.
        if rng.random() < 0.15:
            params |= {"logprobs": True, "top_logprobs": int(rng.choice([1, 2, TOP_LOGPROBS]))}
        return params

    def outputs(
        self, inputs: Inputs, probabilities: FloatArray, params: Sequence[Params | None]
    ) -> list[Fields]:
        fields = []
        for prompt, row, wanted in zip(inputs, probabilities, params, strict=True):
            options = wanted or {}
            shown = biased(row, options.get("logit_bias"))
            best = np.argsort(-shown)[:TOP_LOGPROBS]
            n_words = min(int(options.get("max_tokens", 256)), 20 + 3 * len(prompt.split()))
            answer: Fields = {
                "output_text": f"{self._tokens[int(best[0])]} {prompt[:40]}".strip()
                if n_words > 1
                else self._tokens[int(best[0])],
                "input_tokens": max(1, round(1.3 * len(prompt.split()))),
                "output_tokens": n_words,
                "latency_ms": 120 + 9 * n_words,
            }
            if options.get("logprobs"):
                n_top = min(int(options.get("top_logprobs", 1)), TOP_LOGPROBS)
                answer["top_scores"] = np.round(shown[best[:n_top]], 6).tolist()
            fields.append(answer)
        return fields


def biased(probabilities: FloatArray, logit_bias: dict[str, float] | None) -> FloatArray:
    """Probabilities after a request's logit bias.

    Examples
    --------
    >>> biased(np.array([0.5, 0.5]), {"0": 100.0}).round(3)
    array([1., 0.])
    """
    if not logit_bias:
        return probabilities
    logits = np.log(probabilities + 1e-30)
    for token, bias in logit_bias.items():
        logits[int(token)] += bias
    powers = np.exp(logits - logits.max())
    shares: FloatArray = powers / powers.sum()
    return shares
