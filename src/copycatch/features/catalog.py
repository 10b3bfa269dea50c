"""Every feature as one table: how it is computed, its unit and range, and what it says in words."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from copycatch.features import harvesting, timing, topics, volume
from copycatch.records.columns import FeatureSpec, FloatArray
from copycatch.records.view import WindowView

Compute = Callable[[WindowView], FloatArray]


class Feature(NamedTuple):
    spec: FeatureSpec
    compute: Compute


def _mean(signal: str, view: WindowView) -> FloatArray:
    return view.mean(signal)


def _recent(signal: str, view: WindowView) -> FloatArray:
    return view.recent(signal)


def _deviation(signal: str, view: WindowView) -> FloatArray:
    return view.deviation(signal)


def _row(
    name: str,
    family: str,
    unit: str,
    low: float,
    high: float,
    sentence: str,
    needs: tuple[str, ...],
    compute: Compute,
) -> Feature:
    return Feature(FeatureSpec(name, family, unit, low, high, sentence, needs), compute)


INF = float("inf")
VECTOR = ("embedding",)
PROBS = ("probabilities",)
FEATURES: tuple[Feature, ...] = (
    _row("queries_per_s", "volume", "1/s", 0, INF, "queries per second in the short window", (), volume.short_rates),
    _row("queries_per_s_long", "volume", "1/s", 0, INF, "queries per second in the long window", (), volume.long_rates),
    _row("tokens_per_s", "volume", "1/s", 0, INF, "tokens per second in the long window", ("input_tokens",),
         volume.token_rates),
    _row("ramp", "volume", "log2", -INF, INF, "growth of the rate, short over long window", (), volume.ramps),
    _row("refused_share", "volume", "share", 0, 1, "share of queries that were refused", ("status",),
         volume.refused_shares),
    _row("burstiness", "timing", "1", -1, 1, "burstiness of the gaps between queries", (), timing.burstiness),
    _row("hour_entropy", "timing", "1", 0, 1, "how evenly queries spread over the day", (), timing.hour_entropies),
    _row("active_share", "timing", "share", 0, 1, "share of minutes in which it asked", (), timing.active_shares),
    _row("value_entropy", "entropy", "bits", 0, 4, "entropy of the input values", ("input",),
         partial(_mean, "value_entropy")),
    _row("edge_share", "entropy", "share", 0, 1, "share of input values at the edge of their range", ("input",),
         partial(_mean, "edge_share")),
    _row("byte_entropy", "entropy", "bits", 0, 8, "entropy of the text's characters", ("input",),
         partial(_mean, "byte_entropy")),
    _row("effective_dimensions", "entropy", "dimensions", 1, 12, "directions in which its inputs vary", VECTOR,
         topics.effective_dimensions),
    _row("margin", "boundary", "probability", 0, 1, "mean margin between the two best classes", PROBS,
         partial(_mean, "margin")),
    _row("low_margin_share", "boundary", "share", 0, 1, "share of queries close to a decision boundary", PROBS,
         partial(_mean, "is_low_margin")),
    _row("margin_residual", "boundary", "probability", -1, 1, "margin beside that of the nearest usual queries", PROBS,
         partial(_mean, "margin_residual")),
    _row("entropy_residual", "boundary", "1", -1, 1, "output entropy beside that of the nearest usual queries", PROBS,
         partial(_mean, "entropy_residual")),
    _row("label_agreement", "boundary", "share", 0, 1, "agreement with the labels of the nearest usual queries", VECTOR,
         partial(_mean, "label_agreement")),
    _row("duplicate_share", "probing", "share", 0, 1, "share of exact repeats", ("input",),
         partial(_mean, "is_duplicate")),
    _row("near_share", "probing", "share", 0, 1, "share of near-repeats of its own queries", VECTOR,
         partial(_mean, "is_near")),
    _row("near_flip_share", "probing", "share", 0, 1, "share of near-repeats whose label flips", VECTOR,
         partial(_mean, "is_near_flip")),
    _row("collinear_share", "probing", "share", 0, 1, "share of queries on a line through two earlier ones", VECTOR,
         partial(_mean, "is_collinear")),
    _row("step_kurtosis", "probing", "log", -INF, INF, "shape of the step from its nearest earlier query", ("input",),
         partial(_mean, "step_kurtosis")),
    _row("nearest_previous", "nearest_previous", "log distance", -INF, INF, "distance to its nearest earlier query",
         VECTOR, partial(_mean, "nearest_log")),
    _row("nearest_same_label", "nearest_previous", "log distance", -INF, INF,
         "distance to its nearest earlier query of the same label", VECTOR, partial(_mean, "nearest_same_label_log")),
    _row("whitened_distance", "drift", "log", -INF, INF, "distance from the centre of usual inputs", VECTOR,
         partial(_mean, "whitened_log")),
    _row("whitened_spread", "drift", "log", 0, INF, "mixture of usual and unusual inputs", VECTOR,
         partial(_deviation, "whitened_log")),
    _row("residual_energy", "drift", "log", -INF, INF, "energy outside the usual inputs' directions", VECTOR,
         partial(_mean, "residual_log")),
    _row("neighbour_distance", "drift", "log distance", -INF, INF, "distance to the nearest usual queries", VECTOR,
         partial(_mean, "neighbours_log")),
    _row("neighbour_distance_recent", "drift", "log distance", -INF, INF,
         "distance to the nearest usual queries, lately", VECTOR, partial(_recent, "neighbours_log")),
    _row("neighbour_spread", "drift", "log distance", 0, INF, "mixture of near and far queries", VECTOR,
         partial(_deviation, "neighbours_log")),
    _row("far_share", "drift", "share", 0, 1, "share of queries farther than usual ones ever are", VECTOR,
         partial(_mean, "is_far")),
    _row("mmd_squared", "drift", "1", -1, 4, "drift of the distribution from usual traffic", VECTOR,
         topics.mmd_squared),
    _row("topics", "topics", "cells", 1, 64, "effective number of topics", VECTOR, topics.topic_counts),
    _row("spread", "topics", "log", -INF, INF, "spread of its inputs", VECTOR, topics.spreads),
    _row("label_divergence", "labels", "nats", 0, 0.7, "difference of its labels from the usual ones",
         ("predicted_label",), topics.label_divergences),
    _row("label_entropy", "labels", "nats", 0, INF, "balance of its labels", ("predicted_label",),
         topics.label_balances),
    _row("logprob_share", "harvesting", "share", 0, 1, "share of requests for log-probabilities", ("params",),
         harvesting.logprob_shares),
    _row("bias_share", "harvesting", "share", 0, 1, "share of requests with a logit bias", ("params",),
         harvesting.bias_shares),
    _row("many_share", "harvesting", "share", 0, 1, "share of requests for several completions", ("params",),
         harvesting.many_shares),
    _row("one_token_share", "harvesting", "share", 0, 1, "share of requests for a single token", ("params",),
         harvesting.one_token_shares),
)  # fmt: skip
SPECS: tuple[FeatureSpec, ...] = tuple(feature.spec for feature in FEATURES)
NAMES: tuple[str, ...] = tuple(spec.name for spec in SPECS)
FEATURE_INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}


def compute_features(view: WindowView) -> FloatArray:
    """All features of the accounts that are due, float64 (n, n_features), NaN where missing."""
    values = np.empty((len(view), len(FEATURES)))
    for index, feature in enumerate(FEATURES):
        values[:, index] = feature.compute(view)
    return values
