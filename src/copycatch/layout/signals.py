"""Every signal per query as one table; the layout of an account's row follows from it.

To add a signal: a row here, its computation (in `signals/compute.py`, or `windows/ring.py` for one of scope
"own"), and a row in `features/catalog.py` that reads it.
"""

from typing import Final, Literal, NamedTuple

import numpy as np

Scope = Literal["novel", "distinct", "own"]
"""Over which of an account's queries it is summed: "novel" are distinct and not near a recent one of the
account, "distinct" all but exact repeats. Both are measured in the model's space. "own" signals compare a
query with the account's own earlier ones, and are summed wherever they are known."""
Sums = Literal["lifetime", "recent", "spread"]
"""What is kept: the sum over the lifetime; over the recent window as well; and sums of squares of both."""


class SignalSpec(NamedTuple):
    name: str
    scope: Scope
    sums: Sums
    sentence: str


_TABLE: tuple[SignalSpec, ...] = (
    SignalSpec("whitened_log", "novel", "spread",
               "log mean squared whitened coordinate of the input: far from the usual"),
    SignalSpec("residual_log", "novel", "spread",
               "log mean squared coordinate outside the usual inputs' main directions"),
    SignalSpec("neighbours_log", "novel", "spread", "mean log distance to the eight nearest usual queries"),
    SignalSpec("same_label_log", "novel", "spread",
               "log distance to the nearest usual query of the same label"),
    SignalSpec("new_pairs", "novel", "spread",
               "share of neighbouring known words never seen next to each other"),
    SignalSpec("pair_likelihood", "novel", "recent",
               "mean log-likelihood of each coordinate given its most correlated one"),
    SignalSpec("embedding_log", "novel", "recent", "log mean squared whitened coordinate of the embedding"),
    SignalSpec("class_log", "novel", "recent", "the same after the mean of the predicted class is taken off"),
    SignalSpec("class_gap_log", "novel", "recent",
               "how much nearer another class lies than the predicted one"),
    SignalSpec("neighbour_log", "novel", "recent", "log distance to the nearest usual query"),
    SignalSpec("label_gap_log", "novel", "recent",
               "log distance to the nearest usual query of the same label, less that to the nearest of any"),
    SignalSpec("label_agreement", "novel", "recent", "share of the neighbours with the same label"),
    SignalSpec("margin_residual", "novel", "recent", "margin less that of the neighbours"),
    SignalSpec("entropy_residual", "novel", "recent", "output entropy less that of the neighbours"),
    SignalSpec("margin", "novel", "recent", "highest less second probability"),
    SignalSpec("is_low_margin", "novel", "recent", "margin under the usual 10 % quantile"),
    SignalSpec("is_far", "novel", "recent", "farther from its neighbours than 95 % of the usual queries"),
    SignalSpec("is_farther", "novel", "recent", "farther than 99 %"),
    SignalSpec("is_odd", "novel", "recent",
               "more energy outside the main directions than 95 % of the usual queries"),
    SignalSpec("is_odder", "novel", "recent", "more than 99 %"),
    SignalSpec("unknown_words", "novel", "recent", "share of words that no other account uses"),
    SignalSpec("is_new_pairs", "novel", "recent", "more new pairs of words than in 90 % of the usual texts"),
    SignalSpec("edge_share", "distinct", "recent", "share of input values at the edge of their usual range"),
    SignalSpec("value_entropy", "distinct", "recent",
               "Shannon entropy of the input's quantised values, bits"),
    SignalSpec("byte_entropy", "distinct", "lifetime", "Shannon entropy of the text's characters, bits"),
    SignalSpec("elicitation", "distinct", "lifetime",
               "asks to have reasoning, instructions or rubrics written out"),
    SignalSpec("is_unfit", "distinct", "lifetime",
               "its input or embedding cannot be read, or is none of its model's kind and length"),
    # Repeats of an input flip their label or lie close to a decision boundary now and then. What counts for
    # probing is how often they do beyond that: windows.ring.NEAR_FLIP_USUAL and so on are taken off.
    SignalSpec("is_duplicate", "own", "recent", "the exact input is among the account's recent ones"),
    SignalSpec("nearest_log", "own", "recent", "log distance to its nearest recent query"),
    SignalSpec("is_near", "own", "recent",
               "nearer to a recent one than to any usual query, and not identical"),
    SignalSpec("near_flip_excess", "own", "recent", "near, and the label differs"),
    SignalSpec("near_boundary_excess", "own", "recent", "near, and the margin is low"),
    SignalSpec("near_step_excess", "own", "recent", "near, and the margin changes"),
    SignalSpec("is_collinear", "own", "recent", "on the line through its two nearest recent ones"),
    SignalSpec("is_near_collinear", "own", "recent", "that, and near as well"),
    SignalSpec("is_flat", "own", "recent",
               "moved from a remembered one by the same amount in every coordinate: a sign step"),
    SignalSpec("is_in_line", "own", "recent",
               "on a line through its nearest remembered one and any other, or a text made of two others"),
    SignalSpec("is_flip", "own", "recent", "the label differs from that of the nearest recent one"),
    SignalSpec("step_kurtosis", "own", "recent", "flatness of the step from its nearest remembered one"),
    SignalSpec("nearest_same_label_log", "own", "recent",
               "log distance to the nearest recent one of the same label (PRADA)"),
)  # fmt: skip


def _ordered(table: tuple[SignalSpec, ...]) -> tuple[SignalSpec, ...]:
    """Those with sums of squares first, then those summed over the recent window: each kind side by side."""
    order: dict[Sums, int] = {"spread": 0, "recent": 1, "lifetime": 2}
    return tuple(sorted(table, key=lambda spec: order[spec.sums]))


SIGNALS: Final = _ordered(tuple(spec for spec in _TABLE if spec.scope != "own"))
OWN_SIGNALS: Final = tuple(spec for spec in _TABLE if spec.scope == "own")
OWN_NAMES: Final = tuple(spec.name for spec in OWN_SIGNALS)
assert {spec.sums for spec in OWN_SIGNALS} == {"recent"}, "the kernels sum own signals over both windows"
SIGNAL_INDEX: Final[dict[str, int]] = {spec.name: index for index, spec in enumerate(SIGNALS)}
OWN_INDEX: Final[dict[str, int]] = {name: index for index, name in enumerate(OWN_NAMES)}
SUM_INDEX: Final[dict[str, int]] = SIGNAL_INDEX | {name: len(SIGNALS) + i for name, i in OWN_INDEX.items()}
"""Where the sums of each signal lie among those of all."""
IS_DISTINCT: Final = np.array([spec.scope == "distinct" for spec in SIGNALS])
