"""Where each sum of an account lies in its row of state, and how many bytes a row takes.

One row of float32 sums an account, so that a look copies one contiguous row, plus a ring of its recent
distinct queries. All sums are mergeable across rows by addition.
"""

from typing import Final, NamedTuple


class Span(NamedTuple):
    """A range of columns."""

    start: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.length

    @property
    def columns(self) -> slice:
        return slice(self.start, self.start + self.length)


# Signals that the model's reference gives per query (signals/catalog.py names them) and those that the
# account's own recent queries give (computed by the fold); both are summed alike.
N_SIGNALS: Final = 20
N_OWN: Final = 10
N_SUMMED: Final = N_SIGNALS + N_OWN
SUM_FIELDS: Final = 5  # n, sum, sum of squares, decayed n, decayed sum

# Own signals, in the order the fold writes them.
OWN_NAMES: Final = (
    "is_duplicate",  # the exact input is among the account's recent ones
    "nearest_log",  # log distance to the nearest recent query of its own
    "is_near",  # near a recent one, not identical
    "is_near_flip",  # near, and the label differs
    "is_flip",  # the label differs from that of the nearest recent one
    "is_collinear",  # on the line through its two nearest recent ones
    "step_kurtosis",  # flatness of the step from the nearest: sign steps are flat
    "changed_share",  # share of input coordinates that the step changes
    "confidence_step",  # change of the margin from the nearest
    "nearest_same_label_log",  # log distance to the nearest recent one of the same label (PRADA)
)

SKETCH: Final = 16  # leading whitened dimensions of the model's space kept per query
RAW: Final = 24  # input coordinates kept per query for the shape of steps
RING: Final = 12  # recent distinct queries kept per account
CO_DIMS: Final = 12  # dimensions of the co-moments
LABEL_BINS: Final = 32
CELLS: Final = 64
FOURIER: Final = 32
SHORT_PANES: Final = 16
LONG_PANES: Final = 24
PANE_SUMS: Final = 2  # queries, tokens

TALLIES: Final = (
    "evidence",  # queries that were answered
    "refused",  # 401, 403, 429 and server errors: no evidence
    "distinct",
    "novel",  # distinct and not near a recent one: what novelty, boundary and spread are measured on
    "input_tokens",
    "output_tokens",
    "params_known",
    "asks_logprobs",
    "asks_bias",
    "asks_many",
    "asks_one_token",
    "gaps",
    "gap_s",
    "gap_s_squared",
    "active_panes",
)


def _spans() -> dict[str, Span]:
    widths = {
        "tallies": len(TALLIES),
        "hours": 24,
        "short_panes": SHORT_PANES * PANE_SUMS,
        "long_panes": LONG_PANES * PANE_SUMS,
        "signals": N_SUMMED * SUM_FIELDS,
        "co_means": CO_DIMS,
        "co_products": CO_DIMS * (CO_DIMS + 1) // 2,
        "labels": LABEL_BINS,
        "cells": CELLS,
        "fourier": FOURIER,
    }
    spans, start = {}, 0
    for name, width in widths.items():
        spans[name] = Span(start, width)
        start += width
    return spans


SPANS: Final = _spans()
WIDTH: Final = max(span.stop for span in SPANS.values())
TALLY: Final = {name: SPANS["tallies"].start + index for index, name in enumerate(TALLIES)}
