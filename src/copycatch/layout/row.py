"""Where each sum of an account lies in its row of state, and how many bytes a row takes.

One row of float32 sums an account, so that a look copies one contiguous row, plus a ring of its recent
distinct queries. Sums come twice: over the account's life, and over the current *block* of its last distinct
queries, which shows an account that turns and gives the reference samples of equal size from every account.
"""

from typing import Final, NamedTuple

from copycatch.space.model import CELLS, FOURIER, SKETCH


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
# account's own recent queries give (computed by the fold); both are summed alike. The first N_RECENT of the
# former, and all of the latter, are summed over the block too. Squares are kept of the first N_SQUARED only:
# features ask for the spread of these.
N_SIGNALS: Final = 26
N_RECENT: Final = 24
N_SQUARED: Final = 5
N_OWN: Final = 13
N_SUMMED: Final = N_SIGNALS + N_OWN
N_RECENT_SUMMED: Final = N_RECENT + N_OWN
SUM_FIELDS: Final = 2  # n, sum

# Own signals, in the order the fold writes them. Repeats of an input flip their label or lie close to a
# boundary now and then; what counts for probing is how often they do beyond that
# (windows.ring.NEAR_FLIP_USUAL and so on).
OWN_NAMES: Final = (
    "is_duplicate",  # the exact input is among the account's recent ones
    "nearest_log",  # log distance to the nearest recent query of its own
    "is_near",  # nearer to a recent one than to any usual query, not identical
    "near_flip_excess",  # near, and the label differs
    "near_boundary_excess",  # near, and the margin is low
    "near_step_excess",  # near, and the margin changes
    "is_collinear",  # on the line through its two nearest recent ones
    "is_near_collinear",  # near as well
    "is_flat",  # moved from a remembered one by the same amount in every coordinate: a sign step
    "is_in_line",  # on a line through its nearest remembered one and any other
    "is_flip",  # the label differs from that of the nearest recent one
    "step_kurtosis",  # flatness of the step from its nearest remembered one
    "nearest_same_label_log",  # log distance to the nearest recent one of the same label (PRADA)
)

RING: Final = 12  # recent distinct queries kept per account
# Of these and of older ones only the input coordinates: the newest, and a sample of all before, since
# the parent of a synthetic query lies as far back as the attack has seeds.
RECENT: Final = 16
RESERVOIR: Final = 26
MEMORY: Final = RECENT + RESERVOIR
BLOCK: Final = 40  # distinct queries of a block: 25 of them tell most attacks, 40 let slower ones show
CO_DIMS: Final = 8  # dimensions of the co-moments
LABEL_BINS: Final = 32
SHORT_PANES: Final = 16
LONG_PANES: Final = 24
DRIFT: Final = 2 + SKETCH  # n, sum of squared norms, sum of whitened class residuals

TALLIES: Final = (
    "evidence",  # queries that were answered
    "refused",  # 401, 403, 429 and server errors: no evidence
    "distinct",
    "novel",  # distinct and not near a recent one: what novelty, boundary and spread are measured on
    "recent_distinct",
    "recent_novel",
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
        "short_panes": SHORT_PANES,  # queries
        "long_panes": LONG_PANES,
        "long_tokens": LONG_PANES,
        # From here on everything is measured in the model's space and starts afresh when that is rebuilt.
        "signals": N_SUMMED * SUM_FIELDS,
        "squares": N_SQUARED,
        "recent_signals": N_RECENT_SUMMED * SUM_FIELDS,
        "recent_squares": N_SQUARED,
        "drift": DRIFT,
        "recent_drift": DRIFT,
        "input_drift": DRIFT,
        "recent_input_drift": DRIFT,
        "odd_drift": DRIFT,  # of queries odder than 95 % of the usual ones, in whatever way
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
SPACE_COLUMNS: Final = slice(SPANS["signals"].start, WIDTH)  # cleared when the model's space is rebuilt
SPACE_TALLIES: Final = tuple(TALLY[name] for name in ("distinct", "novel", "recent_distinct", "recent_novel"))
