"""Every signal per query as one table."""

from typing import Literal, NamedTuple

Scope = Literal["all", "distinct", "novel"]
SCOPES: tuple[Scope, ...] = ("all", "distinct", "novel")


class SignalSpec(NamedTuple):
    name: str
    scope: Scope  # over which of an account's queries it is summed
    sentence: str


SIGNALS: tuple[SignalSpec, ...] = (
    SignalSpec("whitened_log", "novel", "log mean squared whitened coordinate: far from the usual inputs"),
    SignalSpec("residual_log", "novel", "log energy outside the usual inputs' main directions"),
    SignalSpec("neighbour_log", "novel", "log distance to the nearest usual query"),
    SignalSpec("neighbours_log", "novel", "mean log distance to the eight nearest usual queries"),
    SignalSpec("label_agreement", "novel", "share of the neighbours with the same label"),
    SignalSpec("margin_residual", "novel", "margin less that of the neighbours"),
    SignalSpec("entropy_residual", "novel", "output entropy less that of the neighbours"),
    SignalSpec("margin", "novel", "highest less second probability"),
    SignalSpec("output_entropy", "novel", "entropy of the output, 0 to 1"),
    SignalSpec("is_low_margin", "novel", "margin under the usual 10 % quantile"),
    SignalSpec("is_far", "novel", "farther from the usual queries than 95 % of them from each other"),
    SignalSpec("top1_prob", "novel", "highest probability"),
    SignalSpec("byte_entropy", "distinct", "Shannon entropy of the text's characters, bits"),
    SignalSpec("text_length_log", "distinct", "log length of the text"),
    SignalSpec("edge_share", "distinct", "share of input values at the edge of their usual range"),
    SignalSpec("value_entropy", "distinct", "Shannon entropy of the input's quantised values, bits"),
    SignalSpec("temperature", "all", "sampling temperature asked for"),
    SignalSpec("top_logprobs", "all", "log-probabilities asked for per token"),
    SignalSpec("latency_log", "all", "log latency"),
    SignalSpec("output_tokens_log", "all", "log output tokens"),
)
SIGNAL_INDEX: dict[str, int] = {spec.name: index for index, spec in enumerate(SIGNALS)}
