"""Every signal per query as one table."""

from typing import Literal, NamedTuple

Scope = Literal["distinct", "novel"]


class SignalSpec(NamedTuple):
    name: str
    scope: Scope  # over which of an account's queries it is summed
    sentence: str


# The first layout.N_RECENT are summed over blocks too, the squares of the first layout.N_SQUARED as well.
SIGNALS: tuple[SignalSpec, ...] = (
    SignalSpec(
        "whitened_log", "novel", "log mean squared whitened coordinate of the input: far from the usual"
    ),
    SignalSpec(
        "residual_log", "novel", "log mean squared coordinate outside the usual inputs' main directions"
    ),
    SignalSpec("neighbours_log", "novel", "mean log distance to the eight nearest usual queries"),
    SignalSpec("same_label_log", "novel", "log distance to the nearest usual query of the same label"),
    SignalSpec("new_pairs", "novel", "share of neighbouring known words never seen next to each other"),
    SignalSpec(
        "pair_likelihood", "novel", "mean log-likelihood of each coordinate given its closest companion"
    ),
    SignalSpec("embedding_log", "novel", "log mean squared whitened coordinate of the embedding"),
    SignalSpec("class_log", "novel", "the same after the mean of the predicted class is taken off"),
    SignalSpec("class_gap_log", "novel", "how much nearer another class lies than the predicted one"),
    SignalSpec("neighbour_log", "novel", "log distance to the nearest usual query"),
    SignalSpec("label_gap_log", "novel", "that less the distance to the nearest of any label"),
    SignalSpec("label_agreement", "novel", "share of the neighbours with the same label"),
    SignalSpec("margin_residual", "novel", "margin less that of the neighbours"),
    SignalSpec("entropy_residual", "novel", "output entropy less that of the neighbours"),
    SignalSpec("margin", "novel", "highest less second probability"),
    SignalSpec("is_low_margin", "novel", "margin under the usual 10 % quantile"),
    SignalSpec("is_far", "novel", "farther from its neighbours than 95 % of the usual queries"),
    SignalSpec("is_farther", "novel", "farther than 99 %"),
    SignalSpec("is_odd", "novel", "more energy outside the main directions than 95 % of the usual queries"),
    SignalSpec("is_odder", "novel", "more than 99 %"),
    SignalSpec("unknown_words", "novel", "share of words that no other account uses"),
    SignalSpec("is_new_pairs", "novel", "more such pairs than in 90 % of the usual texts"),
    SignalSpec("edge_share", "distinct", "share of input values at the edge of their usual range"),
    SignalSpec("value_entropy", "distinct", "Shannon entropy of the input's quantised values, bits"),
    SignalSpec("byte_entropy", "distinct", "Shannon entropy of the text's characters, bits"),
    SignalSpec("elicitation", "distinct", "asks to have reasoning, instructions or rubrics written out"),
)
SIGNAL_INDEX: dict[str, int] = {spec.name: index for index, spec in enumerate(SIGNALS)}
