"""A shard of the state as bytes, and back.

A shard's snapshot has two parts. One holds the accounts that came from it: windows, admission and decision
state, and what they will tell the learner. The other is what was learned of every model (`packed.py`),
where the learner is in this process, so that what is normal survives when the shard moves.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from copycatch.campaigns.layout import LINKS, SLOTS_BY_KIND
from copycatch.campaigns.state import aligned_links
from copycatch.decisions.state import DecisionState
from copycatch.engine.by_name import SUM_NAMES, align
from copycatch.engine.campaigns import campaigns_of, forget_campaigns, put_campaigns
from copycatch.engine.inputs import LearningInputs, has_same_columns, inputs_from_plain, inputs_to_plain
from copycatch.engine.packed import learned_from_plain, learned_to_plain
from copycatch.engine.state import JUDGED, EngineState
from copycatch.engine.versions import forget_other_spaces, merge_learned
from copycatch.errors import StateError
from copycatch.features.catalog import NAMES
from copycatch.layout.structs import Columns, put, take
from copycatch.records.columns import BoolArray, IntArray, Outcomes
from copycatch.records.packing import copied, pack, unpack
from copycatch.scoring.catalog import FAMILIES
from copycatch.usage.layout import SUMS, USAGE
from copycatch.usage.state import check_positions
from copycatch.windows.admission import Shard
from copycatch.windows.seen import SeenRecords
from copycatch.windows.slots import Key
from copycatch.windows.state import COUNTERS, HISTORY

FORMAT = 9  # what is learned is a part of its own
FORMATS_READ = (8, FORMAT)
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
        "tick_records": state.tick_records,
        "epochs": state.epochs,
        "inputs": inputs_to_plain(state.inputs_of(shard)),
        "changed": np.isin(rows, np.array(sorted(state.changed), dtype=np.int64)),
        "sighted_ms": state.sighted_ms,
        "learned": None if state.is_remote else learned_to_plain(state.learned),
        "latest_ms": admission.latest_ms,
        "seen": admission.seen.to_plain(),
        "decisions": state.decision(shard).snapshot(),
        "keys": [list(state.slots.key_of(row)) for row in rows.tolist()],
        "windows": state.windows.take(rows),
        "rows": take(state.rows.table, rows),
        "usage": state.usage.take(rows),
        "usage_sums": list(SUMS),
        "links": state.links.take(rows),
        "link_kinds": SLOTS_BY_KIND,
        "over": _over_plain(state, shard),
        "campaigns": campaigns_of(state, shard),
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
        for name in ("decisions", "campaigns", "inputs", "learned", "populations", "ensembles"):
            head[name] = copied(head.get(name))
        align(head)
        head["links"] = aligned_links(head["links"], head.get("link_kinds"))
        saved, over = _checked_rows(head), head.get("over")
        _check_columns(head["links"], (LINKS,), len(saved.keys))
        over_rows = _checked_rows(over) if over else None
        heads = {str(model_id): str(each) for model_id, each in over["heads"].items()} if over else {}
        heads_h = int(over["heads_h"]) if over else -1
        learned, warnings = learned_from_plain(head["learned"])
        told = head["inputs"]
        inputs = inputs_from_plain(told) if told and has_same_columns(told) else None
        decisions = DecisionState.restore(head["decisions"])
        admission = Shard(head["latest_ms"], SeenRecords.from_plain(head["seen"]))
    except (KeyError, TypeError, ValueError) as error:
        message = f"the snapshot of {shard} lacks or garbles a part: {error!r}"
        raise StateError(message) from error
    rows = _put_rows(state, shard, saved, head["links"])
    if over_rows is not None and state.over is not None:
        _put_rows(state.over, shard, over_rows, None)
    if heads_h > state.heads_h:
        state.heads, state.heads_h = heads, heads_h
    put_campaigns(state, shard, head["campaigns"])
    state.shards[shard] = admission
    state.decisions[shard] = decisions
    state.tick_records = max(state.tick_records, head["tick_records"])
    state.sighted_ms = max(state.sighted_ms, head["sighted_ms"])
    state.clock_ms = max(state.clock_ms, head["clock_ms"])
    _put_inputs(state, shard, inputs, rows, head["changed"])
    if learned is not None and not state.is_remote:
        merge_learned(state, learned)
    else:
        forget_other_spaces(state, rows[rows >= 0], head["epochs"])
    return warnings


def forget(state: EngineState, shard: str) -> None:
    """Another worker has the shard now: drop its accounts, admission and decisions; keep what was learned."""
    rows: IntArray = np.array(state.slots.rows_of_shard(state.shard_number(shard)), dtype=np.int64)
    state.changed -= set(rows.tolist())
    state.inputs.pop(shard, None)
    state.links_told[rows[rows < len(state.links_told)]] = 0
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
    if found not in FORMATS_READ:
        message = (
            f"the snapshot of {shard} has format {found}, this version reads "
            f"{' and '.join(map(str, FORMATS_READ))}; it starts afresh"
        )
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


def _put_rows(state: EngineState, shard: str, saved: _SavedRows, links: Columns | None) -> IntArray:
    """Rows of the accounts, -1 for those that were not put."""
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
    return np.where(is_kept, rows, -1)


def _put_inputs(
    state: EngineState,
    shard: str,
    inputs: LearningInputs | None,
    rows: IntArray,
    is_changed: BoolArray | None,
) -> None:
    """What the shard has put aside; of a version with other columns its accounts are all told of again."""
    if inputs is not None and is_changed is not None:
        state.inputs[shard] = inputs
        changed = rows[is_changed & (rows >= 0)]
    else:
        known = rows[rows >= 0]
        changed = known[state.rows.judged_ms[known] > 0]
    state.changed.update(changed.tolist())
