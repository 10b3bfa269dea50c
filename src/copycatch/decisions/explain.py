"""Why, as text that an analyst can act on."""

import math
from collections.abc import Sequence

import numpy as np

from copycatch.records.columns import FeatureSpec, FloatArray, Scores
from copycatch.records.policy import LimitRule
from copycatch.records.wire import Reason, Score

REASONS_MAX = 5
SHARE_MIN = 0.01  # what carries less than a hundredth of a score explains nothing
LOOKS_LIKE_MAX = 4
# Units that read well after a number; "share" or "1/s" only repeat what the sentence says.
UNITS_SPOKEN = frozenset({"bits", "dimensions", "s", "ms", "h", "queries", "tokens", "topics", "cells"})


def readable_number(value: float) -> str:
    """A number with the digits that matter.

    Examples
    --------
    >>> readable_number(0.123456), readable_number(1234567.8), readable_number(3.0), readable_number(2e-9)
    ('0.123', '1,234,568', '3', '2e-09')
    """
    if not math.isfinite(value):
        return "unbounded"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


SEEN_MAX = 1e-5
"""No reference has seen more than some 100,000 normal account-days: what is rarer is extrapolated."""
TOLD_MIN = 1e-6
"""Rarer than that is not told in figures: they would only look exact."""


def readable_share(tail_prob: float, of_what: str) -> str:
    """A tail probability as an analyst would say it.

    Examples
    --------
    >>> readable_share(0.0002, "normal account-days")
    'rarer than 1 in 5,000 normal account-days'
    >>> readable_share(0.3, "normal accounts")
    'as 30 % of normal accounts are'
    >>> readable_share(1e-9, "normal account-days")
    'beyond all normal account-days seen (extrapolated: rarer than 1 in 1,000,000)'
    >>> readable_share(0.0, "normal accounts")
    'beyond all normal accounts seen'
    """
    if tail_prob <= 0:
        return f"beyond all {of_what} seen"
    if tail_prob >= 0.1:
        return f"as {100 * tail_prob:.0f} % of {of_what} are"
    one_in = float(f"{1 / max(tail_prob, TOLD_MIN):.2g}")
    if tail_prob < SEEN_MAX:
        rarer = "rarer than " if tail_prob < TOLD_MIN else ""
        return f"beyond all {of_what} seen (extrapolated: {rarer}1 in {one_in:,.0f})"
    return f"rarer than 1 in {one_in:,.0f} {of_what}"


def readable_duration(duration_s: float) -> str:
    """A length of time in its two largest units.

    Examples
    --------
    >>> readable_duration(0.4), readable_duration(90), readable_duration(26 * 3600)
    ('less than a second', '1 min 30 s', '1 d 2 h')
    """
    if duration_s < 1:
        return "less than a second"
    rest, parts = round(duration_s), []
    for unit, unit_s in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, unit_s)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break  # "1 d 5 s" says more than is known
    return " ".join(parts[:2])


def score_of(tail_prob: float, attack_prob: float) -> Score:
    return Score(
        tail_prob=_number_or_none(tail_prob),
        rank=readable_share(tail_prob, "normal account-days") if math.isfinite(tail_prob) else "warming up",
        attack_prob=_number_or_none(attack_prob),
    )


def reasons_of(
    values: FloatArray, scores: Scores, index: int, catalog: Sequence[FeatureSpec]
) -> list[Reason]:
    """The features that carry the score of one evaluation, strongest first, with a sentence each.

    Parameters
    ----------
    values : ndarray of float64, shape (n_features,)
        The evaluation's features, NaN where missing.
    """
    shares = np.nan_to_num(scores.shares[index], nan=0.0)
    order = np.argsort(-shares, kind="stable")[:REASONS_MAX]
    return [
        _reason(catalog[column], column, float(values[column]), float(shares[column]), scores, index)
        for column in order.tolist()
        if shares[column] >= SHARE_MIN and math.isfinite(values[column])
    ]


def limit_reason(
    rule: LimitRule, column: int, value: float, scores: Scores, index: int, catalog: Sequence[FeatureSpec]
) -> Reason:
    """The one reason of a plain limit: the value against what the analyst set."""
    reason = _reason(catalog[column], column, value, 1.0, scores, index)
    held = f" for {readable_duration(rule.when.for_s)}" if rule.when.for_s > 0 else ""
    limit = f"above the policy's limit of {readable_number(rule.when.above)}{held}"
    return Reason(
        feature=reason.feature,
        value=reason.value,
        normal_low=reason.normal_low,
        normal_high=reason.normal_high,
        tail_prob=reason.tail_prob,
        share=1.0,
        words=f"{reason.words}; {limit}",
    )


def _reason(spec: FeatureSpec, column: int, value: float, share: float, scores: Scores, index: int) -> Reason:
    low = _number_or_none(float(scores.normal_lows[index, column]))
    high = _number_or_none(float(scores.normal_highs[index, column]))
    tail_prob = _number_or_none(float(scores.feature_tail_probs[index, column]))
    unit = f" {spec.unit}" if spec.unit in UNITS_SPOKEN else ""
    words = f"{spec.sentence.rstrip('.')}: {readable_number(value)}{unit}"
    if low is not None and high is not None:
        words += f", normal is {readable_number(low)} to {readable_number(high)}{unit}"
    if tail_prob is not None:
        words += f" ({readable_share(tail_prob, 'normal accounts')})"
    return Reason(
        feature=spec.name,
        value=value,
        normal_low=low,
        normal_high=high,
        tail_prob=tail_prob,
        share=round(min(max(share, 0.0), 1.0), 4),
        words=words,
    )


def _number_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
