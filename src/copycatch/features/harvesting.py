"""Requests that ask for more of the answer than users need."""

import numpy as np

from copycatch.layout.view import WindowView
from copycatch.records.columns import FloatArray


def _share(view: WindowView, tally: str) -> FloatArray:
    known = view.tally("params_known")
    return np.where(known >= 5, view.tally(tally) / np.maximum(known, 1), np.nan)


def logprob_shares(view: WindowView) -> FloatArray:
    """Share of requests that ask for log-probabilities, shape (n,), in [0, 1]."""
    return _share(view, "asks_logprobs")


def bias_shares(view: WindowView) -> FloatArray:
    """Share of requests with a logit bias, shape (n,): top-1 answers plus a bias give all logits back [1]_.

    References
    ----------
    .. [1] Carlini et al., Stealing Part of a Production Language Model, ICML 2024.
    """
    return _share(view, "asks_bias")


def many_shares(view: WindowView) -> FloatArray:
    """Share of requests for several completions, shape (n,)."""
    return _share(view, "asks_many")


def one_token_shares(view: WindowView) -> FloatArray:
    """Share of requests that allow one output token only, shape (n,): a classifier is what they want."""
    return _share(view, "asks_one_token")
