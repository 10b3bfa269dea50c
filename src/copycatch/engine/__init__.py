"""The engine: records in, outcomes out, time as an argument.

Takes: batches of columns and a policy. Gives: alerts, recommendations, rejects, counts. Never: knows a
broker, a file, a socket or a wall clock; the same records give the same outcomes, however they were cut.

`step.py` alone knows the order of the stages. `state.py` holds all of a worker's accounts that outlives a
batch, `learned.py` what is normal of each model. Judging puts aside what accounts teach (`gathering.py`,
`inputs.py`); `learning.py` makes the next version of it; `snapshot.py` turns a shard into bytes and back.
"""

from copycatch.engine.admission import FUTURE_MS_MAX
from copycatch.engine.erase import Erased, Owner, erase, erase_inputs, erase_learned
from copycatch.engine.learning import learn
from copycatch.engine.shown import Shown, shown_of
from copycatch.engine.snapshot import (
    forget,
    journal_entries,
    load_journal,
    reconcile,
    restore,
    snapshot,
)
from copycatch.engine.state import EngineState, new_state
from copycatch.engine.step import advance, next_deadline_ms, settle_at, step, tell_at
from copycatch.engine.versions import take, tell_all
from copycatch.engine.warm import compile_ahead

__all__ = [
    "FUTURE_MS_MAX",
    "EngineState",
    "Erased",
    "Owner",
    "Shown",
    "advance",
    "compile_ahead",
    "erase",
    "erase_inputs",
    "erase_learned",
    "forget",
    "journal_entries",
    "learn",
    "load_journal",
    "new_state",
    "next_deadline_ms",
    "reconcile",
    "restore",
    "settle_at",
    "shown_of",
    "snapshot",
    "step",
    "take",
    "tell_all",
    "tell_at",
]
