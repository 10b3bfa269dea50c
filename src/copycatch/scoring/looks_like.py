"""Harmless kinds of use that an account resembles: whoever reads an alert asks the owner first.

The descriptions lower no score, for an attacker can imitate each of these; they tell the analyst which
innocent explanation there would be. What lowers a score, and at what price, is in `damping`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from copycatch.records.columns import BoolArray, FloatArray, IntArray, Normal
from copycatch.scoring.coherence import coherence_of
from copycatch.scoring.damping import displacement

QUERIES_MIN = 30  # below that habits do not show
COPY_SHARE = 0.95  # a health check asks the same thing again and again
REPEAT_SHARE = 0.25
ANOMALOUS = 3.0  # robust deviations from the median that count as far
USUAL = 1.5  # and as near
INCOHERENT = 0.06
COHERENT = 0.3
EXPLAINED = 0.5
NEAR_BOUNDARY = 0.02
ACTIVE_SHARE = 0.15
HOUR_ENTROPY = 0.45
BURSTY = 0.5
FEW_TOPICS = 3.0
# Of a language model's use. On the development logs who fills templates has shares of 1, who chats of 0;
# successive queries of conversations are .1 more alike than any two of the account, of agents .5.
TEMPLATE_SHARE = 0.6
IN_CONVERSATION, BY_AN_AGENT = 0.08, 0.3
UNLIKE_SHARE = 0.6
AGAIN_SHARE = 0.3
REBIASED_SHARE = 0.1


class Seen(NamedTuple):
    """Features of evaluations by name, and how far each lies from the median of the account's peers."""

    values: FloatArray
    normal: Normal
    column_by_name: Mapping[str, int]

    def value(self, name: str) -> FloatArray:
        column: FloatArray = self.values[:, self.column_by_name[name]]
        return column

    def away(self, name: str) -> FloatArray:
        """Signed robust deviations; NaN where either is unknown."""
        column = self.column_by_name[name]
        distance = self.values[:, column] - self.normal.medians[:, column]
        scale = np.where(distance >= 0, self.normal.ups[:, column], self.normal.downs[:, column])
        deviations: FloatArray = distance / np.maximum(scale, 1e-3)
        return deviations

    @property
    def coherence(self) -> FloatArray:
        """Share of the distance from the predicted classes that is one common shift."""
        return coherence_of(self.value("class_drift"), self.value("class_distance"))

    @property
    def is_novel(self) -> BoolArray:
        names = ("class_distance", "whitened_distance", "nearest_distance")
        far: BoolArray = np.logical_or.reduce([self.away(name) > ANOMALOUS for name in names])
        return far


def _is_harvest(seen: Seen) -> BoolArray:
    """The same prompts under other logit biases: repeated for what the answers' logits tell."""
    return seen.value("rebiased_share") > REBIASED_SHARE


def _health_check(seen: Seen) -> BoolArray:
    return (seen.value("duplicate_share") >= COPY_SHARE) & ~_is_harvest(seen)


def _resubmitter(seen: Seen) -> BoolArray:
    share = seen.value("duplicate_share")
    return (share >= REPEAT_SHARE) & (share < COPY_SHARE) & ~_is_harvest(seen)


def _robustness_test(seen: Seen) -> BoolArray:
    return seen.is_novel & (seen.coherence < INCOHERENT)


def _is_quiet_at_boundary(seen: Seen) -> BoolArray:
    return ~(seen.value("near_boundary") > NEAR_BOUNDARY) & ~(seen.value("near_flips") > NEAR_BOUNDARY)


def _mis_scaled(seen: Seen) -> BoolArray:
    explained = displacement(*map(seen.value, ("input_shift", "input_spread", "input_coupling")))
    is_moved = (explained >= EXPLAINED) | (seen.is_novel & (seen.coherence > COHERENT))
    return is_moved & _is_quiet_at_boundary(seen)


def _hard_cases(seen: Seen) -> BoolArray:
    is_hard = (seen.away("low_margin_share") > ANOMALOUS) | (seen.away("margin_residual") < -ANOMALOUS)
    is_usual = (seen.away("class_distance") < USUAL) & (seen.away("nearest_distance") < USUAL)
    return is_hard & is_usual & _is_quiet_at_boundary(seen)


def _nightly_batch(seen: Seen) -> BoolArray:
    is_bursty = seen.value("burstiness") > BURSTY
    return (
        is_bursty & (seen.value("hour_entropy") < HOUR_ENTROPY) & (seen.value("active_share") < ACTIVE_SHARE)
    )


def _niche(seen: Seen) -> BoolArray:
    is_narrow = (seen.value("topics") < FEW_TOPICS) | (seen.away("label_entropy") < -ANOMALOUS)
    return is_narrow & (seen.away("label_divergence") > ANOMALOUS) & ~seen.is_novel


def _templated(seen: Seen) -> BoolArray:
    share = np.fmax(seen.value("opening_common"), seen.value("ending_common"))
    return (share >= TEMPLATE_SHARE) & (seen.value("duplicate_share") < COPY_SHARE)


def _conversations(seen: Seen) -> BoolArray:
    return (seen.value("step_excess") >= IN_CONVERSATION) & (seen.value("unlike_share") >= UNLIKE_SHARE)


def _agent(seen: Seen) -> BoolArray:
    is_growing = (seen.value("step_excess") >= BY_AN_AGENT) & (seen.value("repeat_share") >= AGAIN_SHARE)
    return is_growing & ~_is_harvest(seen) & (seen.value("duplicate_share") < REPEAT_SHARE)


class Kind(NamedTuple):
    description: str  # may name "{repeats}", the per cent of exact repeats
    applies: Callable[[Seen], BoolArray]


KINDS: tuple[Kind, ...] = (
    Kind("a health check: {repeats} % of its queries are the same again", _health_check),
    Kind("a resubmitter: {repeats} % exact repeats", _resubmitter),
    Kind("a robustness test: its inputs are usual ones plus noise", _robustness_test),
    Kind("a client with mis-scaled inputs: all of them are shifted the same way", _mis_scaled),
    Kind("a hard-case reviewer: usual inputs close to decision boundaries", _hard_cases),
    Kind("a nightly batch: bursts in few hours of the day", _nightly_batch),
    Kind("a niche user: few topics and labels", _niche),
    Kind("templated use: most of its prompts begin or end alike", _templated),
    Kind("conversations: what it asks next is about the same, else it repeats itself little", _conversations),
    Kind("an agent: each prompt holds most of the one before", _agent),
)


def looks_like(
    values: FloatArray, normal: Normal, queries: IntArray, column_by_name: Mapping[str, int]
) -> list[list[str]]:
    """Harmless kinds of use that each evaluation resembles.

    Parameters
    ----------
    values : ndarray of float64, shape (n, n_features)
    normal : Normal
    queries : ndarray of int64, shape (n,)
        So far; the first few are too early to tell.
    column_by_name : mapping of str to int

    Returns
    -------
    list of list of str
        Empty where it resembles none; what is missing resembles nothing.
    """
    seen = Seen(values, normal, column_by_name)
    found: list[list[str]] = [[] for _ in range(len(values))]
    with np.errstate(invalid="ignore", over="ignore"):
        for kind in KINDS:
            for row in np.flatnonzero(kind.applies(seen) & (queries >= QUERIES_MIN)).tolist():
                repeats = values[row, column_by_name["duplicate_share"]]
                percent = "0" if np.isnan(repeats) else f"{100 * repeats:.0f}"
                found[row].append(kind.description.format(repeats=percent))
    return found
