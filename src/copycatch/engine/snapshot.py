"""A shard of the state as bytes, and back.

A shard's snapshot holds the windows of the accounts that came from it, its admission and decision state, and
a copy of what the worker had learned of every model, so that what is normal survives when the shard moves.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from copycatch.campaigns.layout import LINKS
from copycatch.decisions.state import DecisionState
from copycatch.engine.by_name import SUM_NAMES, align
from copycatch.engine.campaigns import campaigns_of, forget_campaigns, put_campaigns
from copycatch.engine.state import JUDGED, EngineState, ModelWatch, Pending
from copycatch.errors import StateError
from copycatch.features.catalog import NAMES
from copycatch.layout.structs import Columns, put, take
from copycatch.population.packed import from_plain, to_plain
from copycatch.records.columns import IntArray, Outcomes
from copycatch.records.packing import copied, pack, unpack
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.ensemble import Ensemble
from copycatch.usage.layout import SUMS, USAGE
from copycatch.usage.state import check_positions
from copycatch.windows.admission import Shard
from copycatch.windows.seen import SeenRecords
from copycatch.windows.slots import Key
from copycatch.windows.state import COUNTERS, HISTORY

FORMAT = 8  # populations with the votes on their vectors, models that are watched
LIBRARIES = ("numpy", "river")


def snapshot(state: EngineState, shard: str, write: Callable[[bytes | memoryview], object]) -> None:
    """Write everything that belongs to a shard.

    Parameters
    ----------
    state : EngineState
        Not changed; may be a forked copy.
    shard : str
        "topic:partition".
    write : callable
        Takes the bytes, in order.
    """
    rows = np.array(state.slots.rows_of_shard(state.shard_number(shard)), dtype=np.int64)
    admission = state.shard(shard)
    head: dict[str, Any] = {
        "format": FORMAT,
        "copycatch": version("copycatch"),
        "libraries": {name: version(name) for name in LIBRARIES},
        "features": list(NAMES),
        "families": list(FAMILIES),
        "sums": list(SUM_NAMES),
        "shard": shard,
        "clock_ms": state.clock_ms,
        "tick": state.tick,
        "tick_records": state.tick_records,
        "sample_modulus": state.sample_modulus,
        "watches": {model_id: asdict(watch) for model_id, watch in state.watches.items()},
        "watched_h": state.watched_h,
        "latest_ms": admission.latest_ms,
        "seen": admission.seen.to_plain(),
        "decisions": state.decision(shard).snapshot(),
        "keys": [list(state.slots.key_of(row)) for row in rows.tolist()],
        "windows": state.windows.take(rows),
        "rows": take(state.rows.table, rows),
        "usage": state.usage.take(rows),
        "usage_sums": list(SUMS),
        "populations": {model_id: to_plain(p) for model_id, p in state.populations.items()},
        "ensembles": {model_id: ensemble.snapshot() for model_id, ensemble in state.ensembles.items()},
        "links": state.links.take(rows),
        "over": _over_plain(state, shard),
        "campaigns": campaigns_of(state, shard),
        "pending": [[p.model_id, p.account_hash, p.n_effective, p.values] for p in state.pending],
    }
    write(pack(head))


def _over_plain(state: EngineState, shard: str) -> dict[str, Any]:
    """Accounts over several models, and which models are alike."""
    over = state.over
    assert over is not None
    rows = np.array(over.slots.rows_of_shard(state.shard_number(shard)), dtype=np.int64)
    return {
        "heads": state.heads,
        "heads_h": state.heads_h,
        "keys": [list(over.slots.key_of(row)) for row in rows.tolist()],
        "windows": over.windows.take(rows),
        "rows": take(over.rows.table, rows),
        "usage": over.usage.take(rows),
    }


def restore(state: EngineState, shard: str, data: memoryview | bytes) -> list[str]:
    """Merge a shard into the state.

    Accounts of the shard take rows of their own; one that is here already keeps the longer history. What the
    snapshot's worker had learned of a model is taken over where this worker knows less of it.

    Returns
    -------
    list of str
        Sentences about scorers that could not be taken over and warm up again.

    Raises
    ------
    StateError
        If the bytes are damaged, of another format or of another shard; the state is then as before.
    """
    head = unpack(data, is_view=True)  # windows are hundreds of MiB, and copied into their rows below
    _check(head, shard)
    try:
        for name in ("populations", "ensembles", "pending", "decisions", "campaigns"):
            head[name] = copied(head[name])
        align(head)
        rows, over = _checked_rows(head), head.get("over")
        _check_columns(head["links"], (LINKS,), len(rows.keys))
        over_rows = _checked_rows(over) if over else None
        heads = {str(model_id): str(each) for model_id, each in over["heads"].items()} if over else {}
        heads_h = int(over["heads_h"]) if over else -1
        populations = {m: from_plain(plain, len(NAMES)) for m, plain in head["populations"].items()}
        ensembles = {model_id: Ensemble() for model_id in head["ensembles"]}
        warnings = [
            f"{m}: {warning}"
            for m, ensemble in ensembles.items()
            for warning in ensemble.restore(head["ensembles"][m])
        ]
        decisions = DecisionState.restore(head["decisions"])
        admission = Shard(head["latest_ms"], SeenRecords.from_plain(head["seen"]))
        pending = [Pending(*row) for row in head["pending"]]
        watches = {model_id: ModelWatch(**plain) for model_id, plain in head["watches"].items()}
    except (KeyError, TypeError, ValueError) as error:
        message = f"the snapshot of {shard} lacks or garbles a part: {error!r}"
        raise StateError(message) from error
    is_empty = not state.populations and not len(state.slots)
    _put_rows(state, shard, rows, head["links"])
    if over_rows is not None and state.over is not None:
        _put_rows(state.over, shard, over_rows, None)
    put_campaigns(state, shard, head["campaigns"])
    state.shards[shard] = admission
    state.decisions[shard] = decisions
    for model_id, population in populations.items():
        if model_id not in state.populations or head["tick"] > state.tick:
            state.populations[model_id] = population
            state.ensembles.pop(model_id, None)
            if model_id in ensembles:
                state.ensembles[model_id] = ensembles[model_id]
    if is_empty or head["tick"] > state.tick:
        state.watches, state.watched_h = watches, head["watched_h"]
        state.tick, state.tick_records = head["tick"], head["tick_records"]
        state.sample_modulus, state.pending = head["sample_modulus"], pending
        state.heads, state.heads_h = heads, heads_h
    state.clock_ms = max(state.clock_ms, head["clock_ms"])
    return warnings


def forget(state: EngineState, shard: str) -> None:
    """Another worker has the shard now: drop its accounts, admission and decisions; keep what was learned."""
    rows: IntArray = np.array(state.slots.rows_of_shard(state.shard_number(shard)), dtype=np.int64)
    state.slots.release(rows.tolist())
    state.windows.clear(rows)
    state.rows.clear(rows)
    forget_campaigns(state, shard, rows)
    state.usage.clear(rows)
    if (over := state.over) is not None:
        over_rows: IntArray = np.array(over.slots.rows_of_shard(state.shard_number(shard)), dtype=np.int64)
        over.slots.release(over_rows.tolist())
        over.windows.clear(over_rows)
        over.rows.clear(over_rows)
        over.usage.clear(over_rows)
    state.shards.pop(shard, None)
    state.decisions.pop(shard, None)


def journal_entries(state: EngineState, outcomes: Outcomes) -> dict[str, bytes]:
    """What these outcomes announce, by shard: to be kept with them, for `load_journal` after a restart."""
    return {shard: state.decision(shard).journal.entry(keys) for shard, keys in outcomes.announced.items()}


def load_journal(state: EngineState, shard: str, entries: Sequence[bytes]) -> None:
    """A replay of the shard begins; `entries` are of what was announced since its snapshot, oldest first.

    Raises
    ------
    StateError
        If one of them cannot be read.
    """
    state.decision(shard).journal.load(entries)


def reconcile(state: EngineState, shard: str) -> int:
    """The replay of the shard is over: what was announced of its accounts stands, whatever it has come to.

    Returns
    -------
    int
        How many accounts' cases the replay had come to otherwise.
    """
    return state.decision(shard).reconcile()


class _SavedRows(NamedTuple):
    """Accounts of a snapshot, and the columns of their rows."""

    keys: list[Key]
    windows: Columns
    judged: Columns
    usage: Columns


def _checked_rows(part: dict[str, Any]) -> _SavedRows:
    """Raises KeyError, TypeError or ValueError where they cannot be put as they are."""
    n = len(part["keys"])
    _check_columns(part["windows"], (COUNTERS, HISTORY), n)
    _check_columns(part["rows"], (JUDGED,), n)
    _check_columns(part["usage"], (USAGE,), len(part["usage"]["at"]))
    check_positions(part["usage"]["at"], n)
    keys = [
        (None if tenant is None else str(tenant), account, model) for tenant, account, model in part["keys"]
    ]
    return _SavedRows(keys, part["windows"], part["rows"], part["usage"])


def _check(head: Any, shard: str) -> None:
    found = head.get("format") if isinstance(head, dict) else None
    if found != FORMAT:
        message = f"the snapshot of {shard} has format {found}, this version reads {FORMAT}; it starts afresh"
        raise StateError(message)
    if head.get("shard") != shard:
        message = f"the snapshot was made for shard {head.get('shard')!r}, this is {shard!r}"
        raise StateError(message)


def _check_columns(columns: Columns, dtypes: Sequence[np.dtype[np.void]], n_rows: int) -> None:
    """That rows can be put as they are: all fields, as many rows, the same shapes."""
    for dtype in dtypes:
        for name, (of_field, *_) in (dtype.fields or {}).items():
            if columns[name].shape != (n_rows, *of_field.shape):
                message = f"{name} has shape {columns[name].shape} for {n_rows} accounts"
                raise ValueError(message)


def _put_rows(state: EngineState, shard: str, saved: _SavedRows, links: Columns | None) -> None:
    rows = state.slots.rows_for(saved.keys, state.shard_number(shard))
    state.name_new_rows()
    is_kept = rows >= 0
    is_kept[is_kept] &= saved.windows["queries"][is_kept] >= state.windows.queries[rows[is_kept]]
    kept = np.flatnonzero(is_kept)
    state.usage.clear(rows[kept])
    state.usage.put(np.where(is_kept, rows, -1), saved.usage)
    windows, judged, linked = (
        {name: column if len(kept) == len(rows) else column[kept] for name, column in part.items()}
        for part in (saved.windows, saved.judged, links or {})
    )
    state.windows.put(rows[kept], windows)
    put(state.rows.table, rows[kept], judged)
    if links is not None:
        state.links.put(rows[kept], linked)
