"""Snapshots by name: their columns in the order of this version's features, families and signals.

What is new starts empty and what is gone is ignored, so that a version with another feature goes on from an
older one's snapshot instead of warming up again.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from copycatch.features.catalog import NAMES
from copycatch.layout.row import N_RECENT, N_SIGNALS, N_SQUARED, SPANS, TALLIES
from copycatch.layout.signals import OWN_NAMES, SIGNALS
from copycatch.layout.structs import Columns
from copycatch.population.account_table import HASH_MAX
from copycatch.population.calibration import NEVER
from copycatch.records.packing import aligned
from copycatch.scoring.catalog import FAMILIES
from copycatch.units import UNIX_MS_MIN
from copycatch.usage.layout import SUMS
from copycatch.usage.state import NO_USAGE
from copycatch.usage.words import WORD_CELLS
from copycatch.windows.state import COUNTERS, HISTORY


def _sum_names() -> Iterator[str]:
    """A name for each column of `layout.row.SPANS`, in order.

    Signals go by their own names. One whose squares are summed has another name than one without: were its
    squares to start at zero beside sums that do not, its spread would be too small.
    """
    signals = [f"{spec.name}{'^2' if i < N_SQUARED else ''}" for i, spec in enumerate(SIGNALS)]
    squares = signals[:N_SQUARED]
    inner = {
        "tallies": list(TALLIES),
        "signals": [f"{name}.{part}" for name in (*signals, *OWN_NAMES) for part in ("n", "sum")],
        "squares": squares,
        "recent_signals": [
            f"{name}.{part}" for name in (*signals[:N_RECENT], *OWN_NAMES) for part in ("n", "sum")
        ],
        "recent_squares": squares,
    }
    assert len(signals) == N_SIGNALS
    for name, span in SPANS.items():
        # Of another length they would be other sums: then none of them is taken over.
        columns = inner.get(name) or [f"{index}/{span.length}" for index in range(span.length)]
        assert len(columns) == span.length, name
        yield from (f"{name}.{column}" for column in columns)


BEFORE_PARTS = 8  # the format in which populations lay beside the accounts
SUM_NAMES: tuple[str, ...] = tuple(_sum_names())


def align(head: dict[str, Any]) -> None:
    """Replace the columns of a snapshot, which are named by `features`, `families`, `sums`, `usage_sums`.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError
        If a part is missing, or has not as many columns as names.
    """
    families = head["families"]
    if head["format"] == BEFORE_PARTS:
        _split(head)
    if "usage" not in head:  # of a version before there was any
        head["usage"], head["usage_sums"] = NO_USAGE, list(SUMS)
    for part in (head, head["over"]) if head.get("over") else (head,):  # rows by model, and over models
        usage, judged = part["usage"], part["rows"]
        windows = with_new_fields(part["windows"], (COUNTERS, HISTORY), len(part["keys"]))
        part["windows"] = dict(windows) | {"sums": aligned(windows["sums"], head["sums"], SUM_NAMES, 0)}
        none = {"vocabulary": np.zeros((len(usage["at"]), WORD_CELLS), dtype=np.uint64)}
        part["usage"] = none | usage | {"sums": aligned(usage["sums"], head["usage_sums"], SUMS, 0)}
        part["rows"] = judged | {"family_max": aligned(judged["family_max"], families, FAMILIES, -np.inf)}


def with_new_fields(columns: Columns, dtypes: Sequence[np.dtype[np.void]], n_rows: int) -> Columns:
    """Columns of rows with those fields that a version before did not have yet, at zero.

    Examples
    --------
    >>> dtype = np.dtype([("old", np.int64), ("new", np.uint8, (2,))])
    >>> with_new_fields({"old": np.ones(3)}, [dtype], 3)["new"].tolist()
    [[0, 0], [0, 0], [0, 0]]
    """
    fields = {name: field for dtype in dtypes for name, (field, *_) in (dtype.fields or {}).items()}
    missing = {name: field for name, field in fields.items() if name not in columns}
    return dict(columns) | {
        name: np.zeros((n_rows, *field.shape), dtype=field.base) for name, field in missing.items()
    }


def align_population(population: dict[str, Any], features: list[str], families: list[str]) -> None:
    """The same of a model's population.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError
        If a part is missing, or has not as many columns as names.
    """
    reference = aligned(population["reference_values"], features, NAMES, np.nan, axis=2)
    population["reference_values"] = reference
    align_tails(population, families)


def align_tails(population: dict[str, Any], families: list[str]) -> None:
    """The same of a population without a reference."""
    if (tails := population["tails"]) is not None:
        # A family that no account was ever judged by is never anomalous, until the next calibration.
        for name, empty in (("medians", NEVER), ("bases", NEVER), ("scales", 1.0)):
            tails[name] = aligned(tails[name], families, FAMILIES, empty)


def _split(head: dict[str, Any]) -> None:
    """Make parts of a snapshot that has one: what waited to be learned for up to a tick is left out."""
    no_accounts = {
        "numbers": np.empty((0, 4), dtype=np.int64),
        "score_max": np.empty(0, dtype=np.float32),
        "family_max": np.empty((0, len(head["families"])), dtype=np.float32),
        "flagged": np.empty((0, 2), dtype=np.int64),
        "hash_limit": HASH_MAX,
        "flags_dropped": 0,
    }
    head["learned"] = {
        "head": {name: head[name] for name in ("watched_h", "sample_modulus")}
        | {"version": head["tick"], "tick_ms": head["clock_ms"]},
        "features": head["features"],
        "families": head["families"],
        "watches": head["watches"],
        "sources": [],
        "models": {
            model_id: {
                "population": population,
                "ensemble": head["ensembles"].get(model_id),
                "accounts": no_accounts,
            }
            for model_id, population in head["populations"].items()
        },
    }
    head |= {"epochs": {}, "inputs": None, "changed": None, "sighted_ms": UNIX_MS_MIN}
