"""Every feature as one row of one table: what it measures, how, and whether and how it enters the score.

A feature of an existing signal is one row here. `scoring.scored_features` derives from the rows what enters
the score; a family that no other row names also needs a row in `scoring.components`. Pretrained weights and
snapshots go by the features' names: a new one starts without weight and without history.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from copycatch.features import harvesting, timing, topics, volume
from copycatch.layout.view import WindowView
from copycatch.records.columns import FeatureSpec, FloatArray
from copycatch.usage.measures import MEASURES

Compute = Callable[[WindowView], FloatArray]


class Scored(NamedTuple):
    """How a feature enters the score: by its deviation from other accounts at about the same n_effective.

    A family holds features that measure the same property in several ways.
    """

    family: str
    sign: int  # +1: high is anomalous, -1: low is, 0: both are
    floor: float  # smallest deviation that counts as one, in the feature's unit
    needs_n_effective: bool = True  # measured on distinct queries, near-repeats left out
    is_share: bool = False  # of queries: what a few of them can cause is no deviation


class Feature(NamedTuple):
    """One row of the table."""

    spec: FeatureSpec
    compute: Compute
    in_recent: bool  # computed over the recent window too, not only over the account's lifetime
    scored: Scored | None  # None: shown and usable in limits, but not part of the score


def _mean(signal: str, view: WindowView) -> FloatArray:
    return view.mean(signal)


def _mean_beyond(signal: str, free: float, view: WindowView) -> FloatArray:
    return view.mean_beyond(signal, free)


def _deviation(signal: str, view: WindowView) -> FloatArray:
    return view.deviation(signal)


def _drift(name: str, view: WindowView) -> FloatArray:
    return view.drift(name)


def _place(column: int, view: WindowView) -> FloatArray:
    values: FloatArray = view.moments[:, column]
    return values


def _usage(measure: str, view: WindowView) -> FloatArray:
    values: FloatArray = view.usage[:, MEASURES.index(measure)]
    return values


INF = float("inf")
VECTOR = ("embedding",)
PROBS = ("probabilities",)
LABEL = ("embedding", "predicted_label")
TEXT = ("input",)
OPTIONS = ("params",)


def _lifetime(
    name: str, family: str, unit: str, bounds: tuple[float, float], sentence: str,
    needs: tuple[str, ...], compute: Compute, scored: Scored | None = None,
) -> Feature:  # fmt: skip
    """A feature of the account's lifetime, or of its own windows of time."""
    return Feature(FeatureSpec(name, family, unit, *bounds, sentence, needs), compute, False, scored)


def _unjudged(name: str, tally: str, sentence: str) -> Feature:
    """Records of an account that are not judged, or not as a whole."""
    compute = partial(volume.charged_shares, tally)
    return _lifetime(name, "unjudged", "share", (0, 1), sentence, (), compute)


def _of_usage(
    name: str, unit: str, bounds: tuple[float, float], sentence: str, needs: tuple[str, ...]
) -> Feature:
    """How an account uses a language model: judged together by the scorer `distillation`."""
    return _lifetime(name, "usage", unit, bounds, sentence, needs, partial(_usage, name))


def _both(
    name: str, family: str, unit: str, bounds: tuple[float, float], sentence: str,
    needs: tuple[str, ...], compute: Compute, scored: Scored | None = None,
) -> Feature:  # fmt: skip
    """A feature of the account's lifetime and of its recent window."""
    return Feature(FeatureSpec(name, family, unit, *bounds, sentence, needs), compute, True, scored)


# Floors: an eighth of the spread of a single query for means (.25 to .7 for log distances, .3 for margins,
# .1 to .3 for shares), a tenth for spreads. Below that an account differs from others by what it is used for,
# not by intent.
FEATURES: tuple[Feature, ...] = (
    _lifetime("queries_per_s", "volume", "1/s", (0, INF), "queries per second in the short window", (),
              volume.short_rates),
    _lifetime("queries_per_s_long", "volume", "1/s", (0, INF), "queries per second in the long window", (),
              volume.long_rates),
    _lifetime("total_queries", "volume", "log queries", (0, INF),
              "how many queries it sent, within the memory of the windows", (), volume.total_queries),
    _unjudged("rejected_share", "rejected", "share of records that could not be taken"),
    _unjudged("late_share", "late", "share of records that came a day late or later"),
    _unjudged("repeated_share", "repeated", "share of records that came twice"),
    _unjudged("unjoined_share", "unjoined", "share of requests without their answer"),
    _lifetime("unfit_share", "unjudged", "share", (0, 1),
              "share of queries whose input cannot be measured among those of its model", (),
              partial(_mean, "is_unfit")),
    _lifetime("tokens_per_s", "volume", "1/s", (0, INF), "tokens per second in the long window",
              ("input_tokens",), volume.token_rates),
    _lifetime("ramp", "volume", "log2", (-INF, INF), "growth of the rate, short over long window", (),
              volume.ramps),
    _lifetime("refused_share", "volume", "share", (0, 1), "share of queries that were refused", ("status",),
              volume.refused_shares),
    _lifetime("burstiness", "timing", "1", (-1, 1), "burstiness of the gaps between queries", (),
              timing.burstiness),
    _lifetime("hour_entropy", "timing", "1", (0, 1), "how evenly queries spread over the day", (),
              timing.hour_entropies),
    _lifetime("active_share", "timing", "share", (0, 1), "share of minutes in which it asked", (),
              timing.active_shares),
    _both("value_entropy", "entropy", "bits", (0, 4), "entropy of the input values", ("input",),
          partial(_mean, "value_entropy")),
    _both("edge_share", "entropy", "share", (0, 1), "share of input values at the edge of their range",
          ("input",), partial(_mean, "edge_share")),
    _lifetime("byte_entropy", "entropy", "bits", (0, 8), "entropy of the text's characters", TEXT,
              partial(_mean, "byte_entropy")),
    _lifetime("effective_dimensions", "entropy", "dimensions", (1, 8),
              "directions in which its inputs vary", VECTOR, topics.effective_dimensions),
    _both("whitened_distance", "novelty", "log", (-INF, INF), "distance from the centre of usual inputs",
          VECTOR, partial(_mean, "whitened_log"),
          Scored("novelty", +1, 0.06)),
    _both("whitened_spread", "mixture", "log", (0, INF),
          "how far some of its inputs are usual, others far from anything usual", VECTOR,
          partial(_deviation, "whitened_log"),
          Scored("mixture", +1, 0.05)),
    _both("residual_energy", "novelty", "log", (-INF, INF),
          "how far its inputs vary in ways that usual inputs do not",
          VECTOR, partial(_mean, "residual_log"),
          Scored("novelty", +1, 0.08)),
    _both("residual_spread", "mixture", "log", (0, INF),
          "how far some inputs vary in usual ways, others in unusual ones", VECTOR,
          partial(_deviation, "residual_log"),
          Scored("mixture", +1, 0.06)),
    _both("odd_share", "novelty", "share", (0, 1), "share of inputs odder than 95 % of the usual ones",
          VECTOR, partial(_mean, "is_odd"),
          Scored("oddities", +1, 0.05, is_share=True)),
    _both("odder_share", "novelty", "share", (0, 1), "share of inputs odder than 99 % of the usual ones",
          VECTOR, partial(_mean, "is_odder"),
          Scored("oddities", +1, 0.04, is_share=True)),
    _both("pair_likelihood", "novelty", "nats", (-INF, 0),
          "how usual the combinations of values in its inputs are",
          VECTOR, partial(_mean, "pair_likelihood"),
          Scored("likelihood", -1, 0.023)),
    _both("class_distance", "novelty", "log", (-INF, INF),
          "distance of its queries from their predicted class", LABEL, partial(_mean, "class_log"),
          Scored("novelty", +1, 0.06)),
    _both("embedding_distance", "novelty", "log", (-INF, INF),
          "distance of its embeddings from the usual centre", VECTOR, partial(_mean, "embedding_log"),
          Scored("novelty", +1, 0.06)),
    _both("class_drift", "drift", "1", (-INF, INF),
          "drift of its queries from the usual ones of the same class", LABEL, partial(_drift, "drift"),
          Scored("drift", +1, 0.06)),
    _both("input_drift", "drift", "1", (-INF, INF),
          "drift of its inputs from the usual ones of the same class", ("input", "predicted_label"),
          partial(_drift, "input_drift"),
          Scored("drift", +1, 0.06)),
    _lifetime("odd_coherence", "drift", "1", (-1, 1),
              "how far its odd queries lie from the usual ones in one common direction", LABEL,
              WindowView.odd_coherences),
    _lifetime("input_shift", "drift", "1", (0, INF), "how far its inputs' centre lies from the usual one",
              ("input",), partial(_place, 0)),
    _lifetime("input_spread", "drift", "1", (0, INF), "variance of its inputs around their own centre",
              ("input",), partial(_place, 1)),
    _lifetime("input_coupling", "drift", "1", (-1, INF), "how far its inputs' coordinates go together",
              ("input",), partial(_place, 2)),
    _both("nearest_distance", "novelty", "log distance", (-INF, INF), "distance to the nearest usual query",
          VECTOR, partial(_mean, "neighbour_log"),
          Scored("neighbours", +1, 0.036)),
    _both("neighbour_distance", "novelty", "log distance", (-INF, INF),
          "distance to the nearest usual queries", VECTOR, partial(_mean, "neighbours_log"),
          Scored("neighbours", +1, 0.024)),
    _both("neighbour_spread", "mixture", "log distance", (0, INF),
          "how far some queries lie near usual ones, others far off",
          VECTOR, partial(_deviation, "neighbours_log"),
          Scored("mixture", +1, 0.02)),
    _both("same_label_distance", "novelty", "log distance", (-INF, INF),
          "distance to the nearest usual query of the same label", LABEL, partial(_mean, "same_label_log"),
          Scored("neighbours", +1, 0.04)),
    _both("same_label_spread", "mixture", "log distance", (0, INF),
          "spread of the distance to usual queries of the same label", LABEL,
          partial(_deviation, "same_label_log"),
          Scored("mixture", +1, 0.035)),
    _both("far_share", "novelty", "share", (0, 1), "share of queries farther than 95 % of the usual ones",
          VECTOR, partial(_mean, "is_far"),
          Scored("oddities", +1, 0.05, is_share=True)),
    _both("farther_share", "novelty", "share", (0, 1),
          "share of queries farther than 99 % of the usual ones", VECTOR, partial(_mean, "is_farther"),
          Scored("oddities", +1, 0.04, is_share=True)),
    _both("unknown_words", "text", "share", (0, 1), "share of words that nobody else uses", TEXT,
          partial(_mean, "unknown_words"),
          Scored("words", +1, 0.03)),
    _both("new_pairs", "text", "share", (0, 1), "share of known words in pairs never seen before", TEXT,
          partial(_mean, "new_pairs"),
          Scored("pairs", +1, 0.02)),
    _both("new_pairs_share", "text", "share", (0, 1),
          "share of texts with unusually many new pairs of words", TEXT,
          partial(_mean, "is_new_pairs"),
          Scored("pairs", +1, 0.05, is_share=True)),
    _both("new_pairs_spread", "mixture", "share", (0, 1), "mixture of ordinary and spliced texts", TEXT,
          partial(_deviation, "new_pairs"),
          Scored("mixture", +1, 0.01)),
    _both("margin", "boundary", "probability", (0, 1), "mean margin between the two best classes", PROBS,
          partial(_mean, "margin")),
    _both("margin_residual", "boundary", "probability", (-1, 1),
          "how much surer the model is of its queries than of similar usual ones",
          PROBS, partial(_mean, "margin_residual"),
          Scored("boundary", -1, 0.035)),
    _both("entropy_residual", "boundary", "1", (-1, 1),
          "how much less sure the answers are than those to similar usual queries", PROBS,
          partial(_mean, "entropy_residual"),
          Scored("boundary", +1, 0.024)),
    _both("low_margin_share", "boundary", "share", (0, 1), "share of queries close to a decision boundary",
          PROBS, partial(_mean, "is_low_margin"),
          Scored("boundary", +1, 0.05, is_share=True)),
    _both("label_agreement", "boundary", "share", (0, 1),
          "agreement with the labels of the nearest usual queries", LABEL,
          partial(_mean, "label_agreement"),
          Scored("labels", -1, 0.04)),
    _both("label_gap", "boundary", "log distance", (0, INF),
          "how much farther its own label's queries lie than others", LABEL,
          partial(_mean, "label_gap_log"),
          Scored("labels", +1, 0.02)),
    _both("class_gap", "boundary", "log", (0, INF),
          "how much nearer other classes lie than the predicted one", LABEL,
          partial(_mean, "class_gap_log"),
          Scored("labels", +1, 0.022)),
    _both("duplicate_share", "probing", "share", (0, 1), "share of exact repeats", ("input",),
          partial(_mean, "is_duplicate")),
    _both("near_share", "probing", "share", (0, 1), "share of near-repeats of its own queries", VECTOR,
          partial(_mean, "is_near")),
    _both("near_flips", "probing", "share", (-1, 1),
          "how often a slight change of a query flips the answer, beyond chance", VECTOR,
          partial(_mean, "near_flip_excess"),
          Scored("probing", +1, 0.03, is_share=True, needs_n_effective=False)),
    _both("near_boundary", "probing", "share", (-1, 1),
          "near-repeats close to a decision boundary, beyond what noise does", PROBS,
          partial(_mean, "near_boundary_excess"),
          Scored("probing", +1, 0.03, is_share=True, needs_n_effective=False)),
    _both("near_steps", "probing", "probability", (-1, 1),
          "change of the margin between near-repeats, beyond noise", PROBS,
          partial(_mean, "near_step_excess"),
          Scored("probing", +1, 0.03, is_share=True, needs_n_effective=False)),
    _both("collinear_share", "probing", "share", (0, 1),
          "share of queries on a line through two earlier ones", VECTOR, partial(_mean, "is_collinear"),
          Scored("collinearity", +1, 0.05, is_share=True, needs_n_effective=False)),
    _both("near_collinear_share", "probing", "share", (0, 1),
          "share of near-repeats on a line through two others", VECTOR, partial(_mean, "is_near_collinear"),
          Scored("collinearity", +1, 0.04, is_share=True, needs_n_effective=False)),
    _both("flat_share", "probing", "share", (0, 1),
          "share of queries that repeat an earlier one with every value moved by the same amount",
          ("input",), partial(_mean_beyond, "is_flat", 1.0),
          Scored("flat", +1, 0.02, is_share=True, needs_n_effective=False)),
    _both("step_kurtosis", "probing", "log", (0, INF),
          "how uneven its steps from earlier queries are; low looks machine-made",
          ("input",), partial(_mean, "step_kurtosis"),
          Scored("step", -1, 0.15)),
    _both("line_share", "probing", "share", (0, 1),
          "share of queries on a line through two remembered ones", ("input",),
          partial(_mean, "is_in_line"),
          Scored("lines", +1, 0.05, is_share=True, needs_n_effective=False)),
    _both("flip_share", "probing", "share", (0, 1),
          "share of queries labelled unlike the nearest earlier one", LABEL, partial(_mean, "is_flip")),
    _both("nearest_previous", "nearest_previous", "log distance", (-INF, INF),
          "distance to its nearest earlier query", VECTOR, partial(_mean, "nearest_log")),
    _both("nearest_same_label", "nearest_previous", "log distance", (-INF, INF),
          "distance to its nearest earlier query of the same label", LABEL,
          partial(_mean, "nearest_same_label_log")),
    _lifetime("mmd_squared", "drift", "1", (-1, 4), "drift of the distribution from usual traffic", VECTOR,
              topics.mmd_squared),
    _lifetime("topics", "topics", "cells", (1, 32), "effective number of topics", VECTOR,
              topics.topic_counts),
    _lifetime("spread", "topics", "log", (-INF, INF), "spread of its inputs", VECTOR, topics.spreads),
    _lifetime("label_divergence", "labels", "nats", (0, 0.7),
              "difference of its labels from the usual ones", ("predicted_label",),
              topics.label_divergences),
    _lifetime("label_entropy", "labels", "nats", (0, INF), "balance of its labels", ("predicted_label",),
              topics.label_balances),
    _lifetime("logprob_share", "harvesting", "share", (0, 1), "share of requests for log-probabilities",
              ("params",), harvesting.logprob_shares),
    _lifetime("bias_share", "harvesting", "share", (0, 1), "share of requests with a logit bias",
              ("params",), harvesting.bias_shares),
    _lifetime("many_share", "harvesting", "share", (0, 1), "share of requests for several completions",
              ("params",), harvesting.many_shares),
    _lifetime("one_token_share", "harvesting", "share", (0, 1), "share of requests for a single token",
              ("params",), harvesting.one_token_shares),
    _lifetime("elicitation_share", "elicitation", "share", (0, 1),
              "share of requests to write out reasoning", TEXT, partial(_mean, "elicitation")),
    _of_usage("pair_similarity", "cosine", (-1, 1), "similarity of two of its queries", TEXT),
    _of_usage("breadth", "log", (0, 14), "how many unlike things its queries ask", TEXT),
    _of_usage("own_breadth", "log", (0, 14),
          "how many unlike things it asks, without what its queries share", TEXT),
    _of_usage("sample_nearest", "cosine", (-1, 1), "similarity of its queries to their nearest", TEXT),
    _of_usage("sample_nearest_high", "cosine", (-1, 1),
          "similarity to their nearest of its most repetitive tenth", TEXT),
    _of_usage("own_sample_nearest", "cosine", (-1, 1),
              "similarity to the nearest without what all of its queries share", TEXT),
    _of_usage("own_nearest", "cosine", (-1, 1), "similarity to its nearest earlier query", TEXT),
    _of_usage("repeat_share", "share", (0, 1), "share of queries that nearly repeat an earlier one", TEXT),
    _of_usage("alike_share", "share", (0, 1), "share of queries like an earlier one", TEXT),
    _of_usage("unlike_share", "share", (0, 1), "share of queries unlike all earlier ones", TEXT),
    _of_usage("step_similarity", "cosine", (-1, 1), "similarity of a query to the one before", TEXT),
    _of_usage("step_excess", "cosine", (-2, 2), "how much more alike successive queries are", TEXT),
    _of_usage("quick_step_excess", "cosine", (-2, 2),
          "how much more alike successive queries within ten minutes are", TEXT),
    _of_usage("follow_up_share", "share", (0, 1), "share of queries that follow up the one before", TEXT),
    _of_usage("opening_top", "share", (0, 1), "share of queries with its most frequent opening", TEXT),
    _of_usage("opening_common", "share", (0, 1), "share of queries with an opening that it often uses", TEXT),
    _of_usage("ending_top", "share", (0, 1), "share of queries with its most frequent ending", TEXT),
    _of_usage("ending_common", "share", (0, 1), "share of queries with an ending that it often uses", TEXT),
    _of_usage("settings_entropy", "settings", (1, INF), "effective number of its sets of options", OPTIONS),
    _of_usage("settings_top", "share", (0, 1), "share of queries with its most frequent options", OPTIONS),
    _of_usage("settings_switches", "share", (0, 1), "share of queries whose options changed", OPTIONS),
    _of_usage("settings_two", "1", (0, 1), "whether it uses two sets of options", OPTIONS),
    _of_usage("rebiased_share", "share", (0, 1),
              "share of prompts asked before under another logit bias", OPTIONS),
    _of_usage("new_completions", "share", (0, 1), "how new the queries are that ask for several completions",
              OPTIONS),
    _of_usage("day_queries", "log queries", (0, INF), "how many new queries it sent within a day", TEXT),
    _of_usage("length_spread", "log", (0, INF), "how much its queries differ in length", TEXT),
    _of_usage("vocabulary", "words", (0, INF), "different words in use, over the root of all", TEXT),
    _of_usage("reasoning_words", "share", (0, 1), "share of queries with words that ask for reasons", TEXT),
    _of_usage("grading_requests", "share", (0, 1), "share of queries that ask for grades", TEXT),
    _of_usage("coverage", "cosine", (-1, 1), "how near it has come to all that others ask", TEXT),
)  # fmt: skip
SPECS: tuple[FeatureSpec, ...] = tuple(feature.spec for feature in FEATURES)
NAMES: tuple[str, ...] = tuple(spec.name for spec in SPECS)
SCORED_NEEDS: frozenset[tuple[str, ...]] = frozenset(
    feature.spec.needs for feature in FEATURES if feature.scored is not None
)
"""Fields of the log that scored features are made of: each entry is enough for one of them."""
FEATURE_INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}


def compute_features(view: WindowView) -> FloatArray:
    """All features of the accounts that are due, float64 (n, n_features), NaN where missing."""
    values = np.full((len(view), len(FEATURES)), np.nan)
    for index, feature in enumerate(FEATURES):
        if feature.in_recent or not view.is_recent:
            values[:, index] = feature.compute(view)
    return values
