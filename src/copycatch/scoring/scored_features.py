"""Which features enter the score, how, and in which family.

Every feature is a signed deviation from its peers. Features of one family say the same thing in several ways
and are averaged, but where attacks of different makes raise different ones: there the loudest counts.
"""

from typing import NamedTuple


class ScoredFeature(NamedTuple):
    """How a feature enters a family."""

    feature: str
    family: str
    sign: int  # +1: high is odd, -1: low is odd, 0: both
    floor: float  # smallest deviation that counts as one, in the feature's unit
    needs_n_effective: bool = True  # measured on distinct queries, near-repeats left out
    is_share: bool = False  # of queries: what a few of them can bring about is no deviation


# Floors: an eighth of the spread of a single query for means (.25 to .7 for log distances, .3 for margins,
# .1 to .3 for shares), a tenth for spreads. Below that an account differs from others by its trade, not by
# intent. Of a share, what `FEW_QUERIES` can bring about is no deviation either: at the first looks one odd
# query in a dozen is already several floors, and the highest of a life's looks is what all are held against.
FEW_QUERIES = 3
SCORED_FEATURES: tuple[ScoredFeature, ...] = (
    ScoredFeature("whitened_distance", "novelty", +1, 0.06),
    ScoredFeature("residual_energy", "novelty", +1, 0.08),
    ScoredFeature("class_distance", "novelty", +1, 0.06),
    ScoredFeature("embedding_distance", "novelty", +1, 0.06),
    ScoredFeature("odd_share", "oddities", +1, 0.05, is_share=True),
    ScoredFeature("odder_share", "oddities", +1, 0.04, is_share=True),
    ScoredFeature("far_share", "oddities", +1, 0.05, is_share=True),
    ScoredFeature("farther_share", "oddities", +1, 0.04, is_share=True),
    ScoredFeature("nearest_distance", "neighbours", +1, 0.036),
    ScoredFeature("neighbour_distance", "neighbours", +1, 0.024),
    ScoredFeature("same_label_distance", "neighbours", +1, 0.04),
    ScoredFeature("class_drift", "drift", +1, 0.06),
    ScoredFeature("input_drift", "drift", +1, 0.06),
    ScoredFeature("pair_likelihood", "likelihood", -1, 0.023),
    ScoredFeature("new_pairs", "pairs", +1, 0.02),
    ScoredFeature("new_pairs_share", "pairs", +1, 0.05, is_share=True),
    ScoredFeature("unknown_words", "words", +1, 0.03),
    ScoredFeature("margin_residual", "boundary", -1, 0.035),
    ScoredFeature("entropy_residual", "boundary", +1, 0.024),
    ScoredFeature("low_margin_share", "boundary", +1, 0.05, is_share=True),
    ScoredFeature("label_agreement", "labels", -1, 0.04),
    ScoredFeature("label_gap", "labels", +1, 0.02),
    ScoredFeature("class_gap", "labels", +1, 0.022),
    ScoredFeature("whitened_spread", "mixture", +1, 0.05),
    ScoredFeature("residual_spread", "mixture", +1, 0.06),
    ScoredFeature("neighbour_spread", "mixture", +1, 0.02),
    ScoredFeature("same_label_spread", "mixture", +1, 0.035),
    ScoredFeature("new_pairs_spread", "mixture", +1, 0.01),
    ScoredFeature("near_flips", "probing", +1, 0.03, False, True),
    ScoredFeature("near_boundary", "probing", +1, 0.03, False, True),
    ScoredFeature("near_steps", "probing", +1, 0.03, False, True),
    ScoredFeature("collinear_share", "collinearity", +1, 0.05, False, True),
    ScoredFeature("near_collinear_share", "collinearity", +1, 0.04, False, True),
    ScoredFeature("line_share", "lines", +1, 0.05, False, True),
    ScoredFeature("step_kurtosis", "step", -1, 0.15),
    ScoredFeature("flat_share", "flat", +1, 0.02, False, True),
)
# Of these families the loudest feature counts, for attacks of different makes raise different ones; of the
# others the mean.
MAX_FAMILIES = frozenset({"boundary", "labels", "probing"})
FEATURE_FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(tail.family for tail in SCORED_FEATURES))
