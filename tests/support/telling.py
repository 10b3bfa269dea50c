"""What was told beside what is known: alerts and recommendations against the state that gave them.

With several partitions no undisturbed run exists to compare with: they share what is normal, and come in
another order each time. What must hold all the same: whoever reads the outputs knows what the service knows.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from copycatch import engine
from copycatch.adapters.snapshots import DirectorySnapshots
from copycatch.decisions.case import Case
from copycatch.engine.state import EngineState
from copycatch.ports import Shard
from copycatch.records.policy import Policy
from tests.support.traffic import START_MS, record

HOUR_MS = 3_600_000


def hunted(
    n_records: int, *, seed: int, hours: float = 60, n_accounts: int = 60, n_thieves: int = 12
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(account, record): honest accounts, and thieves who begin one after the other and hide to a degree."""
    rng = np.random.default_rng(seed)
    centres, weights = rng.normal(0, 1, (6, 8)), rng.normal(0, 1, (8, 4))
    times = np.sort(rng.uniform(0, hours * HOUR_MS, n_records)).astype(int)
    begins_ms = rng.uniform(0.3, 0.9, n_thieves) * hours * HOUR_MS
    openness = rng.uniform(0.2, 1.0, n_thieves)
    for index, offset_ms in enumerate(times.tolist()):
        active = np.flatnonzero(begins_ms < offset_ms)
        if len(active) and rng.random() < 0.25:
            thief = int(rng.choice(active))
            name = f"thief-{thief}"
            is_open = rng.random() < openness[thief]
            centre = int(rng.integers(6))
            vector = rng.uniform(-4, 4, 8) if is_open else centres[centre] + rng.normal(0, 0.3, 8)
        else:
            account = int(rng.integers(n_accounts))
            name = f"acct-{account:03d}"
            centre = int(rng.integers(6)) if rng.random() < 0.3 else account % 6
            vector = centres[centre] + rng.normal(0, 0.3, 8)
        probs = np.exp(vector @ weights)
        probs /= probs.sum()
        yield (
            name,
            record(
                index,
                event_time=START_MS + offset_ms,
                account_id=name,
                input=[round(float(value), 4) for value in vector],
                predicted_label=int(probs.argmax()),
                probabilities=[round(float(prob), 5) for prob in probs],
            ),
        )


def faults(alerts: Iterable[bytes], recommendations: Iterable[bytes | None], holds: list[Case]) -> list[str]:
    """Everything in which the outputs contradict themselves or the holds that stand at the end."""
    op_by_uid, found = _alert_faults(json.loads(value) for value in alerts)
    revision_by_key: dict[str, int] = {}
    for value in recommendations:
        if value is None:
            continue
        told = json.loads(value)
        key, revision = told["decision_key"], told["revision"]
        if revision != revision_by_key.get(key, 0) + 1:
            found.append(f"{key}: revision {revision} after {revision_by_key.get(key, 0)}")
        revision_by_key[key] = revision
    is_open_by_uid = {e.uid: e.is_open for hold in holds for e in hold.episodes.values() if e.is_announced}
    found += [f"{uid}: known, and never told" for uid in is_open_by_uid.keys() - op_by_uid.keys()]
    for uid, op in op_by_uid.items():
        if is_open_by_uid.get(uid, False) != (op != "close"):
            found.append(f"{uid}: {op} was the last that was told, and it is not so")
    return found


def _alert_faults(alerts: Iterable[dict[str, Any]]) -> tuple[dict[str, str], list[str]]:
    op_by_uid: dict[str, str] = {}
    open_uid: dict[tuple[str, str], str] = {}
    found = []
    for told in alerts:
        uid, op, incident = told["uid"], told["op"], (told["entity"]["id"], told["rule"])
        if op == "open" and uid in op_by_uid:
            found.append(f"{uid}: opened twice")
        if op == "open" and incident in open_uid:
            found.append(f"{incident}: opened again while it was open")
        if op != "open" and uid not in op_by_uid:
            found.append(f"{uid}: {op}, and never opened")
        op_by_uid[uid] = op
        if op == "close":
            open_uid.pop(incident, None)
        else:
            open_uid[incident] = uid
    return op_by_uid, found


def holds_of(state: EngineState) -> list[Case]:
    return [hold for each in state.decisions.values() for hold in each.table.case_by_key.values()]


def states_kept(directory: Path, group: str, shards: Iterable[Shard]) -> list[EngineState]:
    """What the newest snapshot of each shard holds; a worker writes one when it lets the shard go."""
    store = DirectorySnapshots(directory / f"group-{group}", (directory / "signing.key").read_bytes())
    states = []
    for shard in shards:
        _, content = store.load(store.candidates(shard)[0])
        waiting = int.from_bytes(content[:8], "little")  # of a decoder that joins; none here
        states.append(engine.new_state(Policy()))
        engine.restore(states[-1], str(shard), content[8 + waiting :])
    return states


def holds_kept(directory: Path, group: str, shards: Iterable[Shard]) -> list[Case]:
    """Those of the newest snapshots."""
    return [hold for state in states_kept(directory, group, shards) for hold in holds_of(state)]
