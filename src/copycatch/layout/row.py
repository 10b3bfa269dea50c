"""Where each sum of an account lies in its row of state.

An account has one row of float32 sums, so that an evaluation copies one contiguous row, and a ring of its
recent distinct queries beside it. Sums come twice: over the account's lifetime, and over the *recent window*
of its last distinct queries. The recent window shows an account whose use changes, and gives the reference
samples of equal size from every account.
"""

from typing import Final, NamedTuple

from copycatch.layout.signals import OWN_NAMES, SIGNALS
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


# The model's signals come first, then the account's own; `signals` says which sums are kept of each.
N_SIGNALS: Final = len(SIGNALS)
N_SQUARED: Final = sum(spec.sums == "spread" for spec in SIGNALS)
N_RECENT: Final = N_SQUARED + sum(spec.sums == "recent" for spec in SIGNALS)
N_OWN: Final = len(OWN_NAMES)
N_SUMMED: Final = N_SIGNALS + N_OWN
N_RECENT_SUMMED: Final = N_RECENT + N_OWN
SUM_FIELDS: Final = 2  # n, sum

RING: Final = 12  # recent distinct queries kept per account
# Queries of which only the input coordinates are kept: the newest, and a sample of all before, since the
# parent of a synthetic query lies as far back as the attack has seeds.
RECENT: Final = 16
RESERVOIR: Final = 26
MEMORY: Final = RECENT + RESERVOIR
RECENT_WINDOW: Final = 40  # distinct queries: 25 of them tell most attacks, 40 let slower ones show
CO_DIMS: Final = 8  # dimensions of the co-moments
LABEL_BINS: Final = 32
SHORT_PANES: Final = 16
LONG_PANES: Final = 24
DRIFT: Final = 2 + SKETCH  # n, sum of squared norms, sum of whitened class residuals

TALLIES: Final = (
    "answered",  # neither refused nor a server error
    "refused",  # 401, 403, 429 and server errors: they teach nothing
    "rejected",  # neither of both: what was not judged
    "late",
    "repeated",  # records that came twice or more often; these are no queries
    "unjoined",  # of the answered, requests whose answer is missing
    "distinct",
    "novel",  # distinct and not near a recent one: what novelty, boundary and spread are measured on
    "clustered",  # of the novel ones, how many were repeated nearly
    "recent_distinct",
    "recent_novel",
    "recent_clustered",
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
        "odd_drift": DRIFT,  # of queries beyond 95 % of the usual ones, in distance or residual energy
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
_SPACE_TALLIES = ("distinct", "novel", "clustered", "recent_distinct", "recent_novel", "recent_clustered")
SPACE_TALLIES: Final = tuple(TALLY[name] for name in _SPACE_TALLIES)
