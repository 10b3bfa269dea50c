"""Which features enter the score, how, and in which family.

Every feature is a signed deviation from its peers. Features of one family say the same thing in several ways
and are averaged, but where attacks of different makes raise different ones: there the loudest counts.
"""

from typing import NamedTuple


class Tail(NamedTuple):
    """How a feature enters a family."""

    feature: str
    family: str
    sign: int  # +1: high is odd, -1: low is odd, 0: both
    floor: float  # smallest deviation that counts as one, in the feature's unit
    needs_evidence: bool = True  # measured on distinct queries, near-repeats left out
    is_share: bool = False  # of queries: what a few of them can bring about is no deviation


# Floors: an eighth of the spread of a single query for means (.25 to .7 for log distances, .3 for margins,
# .1 to .3 for shares), a tenth for spreads. Below that an account differs from others by its trade, not by
# intent. Of a share, what `FEW_QUERIES` can bring about is no deviation either: at the first looks one odd
# query in a dozen is already several floors, and the highest of a life's looks is what all are held against.
FEW_QUERIES = 3
TAILS: tuple[Tail, ...] = (
    Tail("whitened_distance", "novelty", +1, 0.06),
    Tail("residual_energy", "novelty", +1, 0.08),
    Tail("class_distance", "novelty", +1, 0.06),
    Tail("embedding_distance", "novelty", +1, 0.06),
    Tail("odd_share", "oddities", +1, 0.05, is_share=True),
    Tail("odder_share", "oddities", +1, 0.04, is_share=True),
    Tail("far_share", "oddities", +1, 0.05, is_share=True),
    Tail("farther_share", "oddities", +1, 0.04, is_share=True),
    Tail("nearest_distance", "neighbours", +1, 0.036),
    Tail("neighbour_distance", "neighbours", +1, 0.024),
    Tail("same_label_distance", "neighbours", +1, 0.04),
    Tail("class_drift", "drift", +1, 0.06),
    Tail("input_drift", "drift", +1, 0.06),
    Tail("pair_likelihood", "likelihood", -1, 0.023),
    Tail("new_pairs", "pairs", +1, 0.02),
    Tail("new_pairs_share", "pairs", +1, 0.05, is_share=True),
    Tail("unknown_words", "words", +1, 0.03),
    Tail("margin_residual", "boundary", -1, 0.035),
    Tail("entropy_residual", "boundary", +1, 0.024),
    Tail("low_margin_share", "boundary", +1, 0.05, is_share=True),
    Tail("label_agreement", "labels", -1, 0.04),
    Tail("label_gap", "labels", +1, 0.02),
    Tail("class_gap", "labels", +1, 0.022),
    Tail("whitened_spread", "mixture", +1, 0.05),
    Tail("residual_spread", "mixture", +1, 0.06),
    Tail("neighbour_spread", "mixture", +1, 0.02),
    Tail("same_label_spread", "mixture", +1, 0.035),
    Tail("new_pairs_spread", "mixture", +1, 0.01),
    Tail("near_flips", "probing", +1, 0.03, False, True),
    Tail("near_boundary", "probing", +1, 0.03, False, True),
    Tail("near_steps", "probing", +1, 0.03, False, True),
    Tail("collinear_share", "collinearity", +1, 0.05, False, True),
    Tail("near_collinear_share", "collinearity", +1, 0.04, False, True),
    Tail("line_share", "lines", +1, 0.05, False, True),
    Tail("step_kurtosis", "step", -1, 0.15),
    Tail("flat_share", "flat", +1, 0.02, False, True),
)
# Of these families the loudest feature counts, for attacks of different makes raise different ones; of the
# others the mean.
LOUDEST_FAMILIES = frozenset({"boundary", "labels", "probing"})
TAIL_FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(tail.family for tail in TAILS))
