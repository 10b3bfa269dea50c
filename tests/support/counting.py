"""A judge whose verdicts anyone can count: every fifth record of an account is an alert.

It stands in for the engine where a test is about delivery: outcomes depend on an account's own records only,
so a record that is lost, doubled or judged with a wrong memory shows in the uids.
"""

import json
from collections.abc import Callable, Collection, Sequence

import msgspec

from copycatch.engine import Erased
from copycatch.errors import StateError
from copycatch.ports import Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert, Entity, Score
from copycatch.service.findings import Learning
from copycatch.units import UnixMs, format_rfc3339
from tests.support.records import START_MS

EVERY = 5


def alert(account: str, n: int) -> Alert:
    time = format_rfc3339(START_MS + n)
    return Alert(
        uid=f"{account}-{n}",
        op="open",
        time=time,
        first_seen=time,
        last_seen=time,
        severity="low",
        mode="enforce",
        tenant_id=None,
        model_id="m",
        entity=Entity(kind="account", id=account, accounts=[account], accounts_total=1),
        score=Score(tail_prob=None, rank="counted"),
        rule="every fifth",
        policy_version="test",
        detector_version="test",
        window_s=1.0,
        queries=n,
        reasons=[],
        sample_event_ids=[],
        techniques=[],
        recommendation=None,
        words="counted",
    )


class CountingJudge:
    """Counts records per shard and account."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self.steps = 0
        self.fail_on: bytes | None = None

    def step(
        self,
        raw: RawBatch,
        now_ms: UnixMs,
        silent: Collection[Shard] = (),
        behind: Collection[Shard] = (),
    ) -> Outcomes:
        self.steps += 1
        outcomes = Outcomes()
        counts = self.counts.setdefault(str(Shard(raw.topic, raw.partition)), {})
        for value in raw.values:
            if self.fail_on is not None and self.fail_on in value:
                msg = "a scorer divides by zero"
                raise ZeroDivisionError(msg)
            account = json.loads(value)["account_id"]
            counts[account] = counts.get(account, 0) + 1
            outcomes.counts.accepted += 1
            if counts[account] % EVERY == 0 and Shard(raw.topic, raw.partition) not in silent:
                outcomes.alerts.append(alert(account, counts[account]))
        return outcomes

    def end(self, now_ms: UnixMs) -> Outcomes:
        return Outcomes()

    def learning(self) -> Learning:
        return Learning()

    def idle(self, watermark_ms: UnixMs) -> Outcomes:
        return Outcomes()

    def swap_policy(self, policy: Policy) -> None:
        """It has none."""

    def snapshot(self, shard: Shard, write: Callable[[bytes | memoryview], object]) -> None:
        write(msgspec.json.encode(self.counts.get(str(shard), {})))

    def restore(self, shard: Shard, data: memoryview) -> None:
        try:
            self.counts[str(shard)] = msgspec.json.decode(data, type=dict[str, int])
        except msgspec.DecodeError as error:
            raise StateError(str(error)) from error

    def journal_entries(self, outcomes: Outcomes) -> dict[Shard, bytes]:
        return {}

    def load_journal(self, shard: Shard, entries: Sequence[bytes]) -> None:
        """It says the same in a replay."""

    def reconcile(self, shard: Shard) -> None:
        """It does."""

    def forget(self, shard: Shard) -> None:
        self.counts.pop(str(shard), None)

    def erase(self, tenant_id: str | None, account_id: str) -> Erased:
        rows = [counts.pop(account_id, None) for counts in self.counts.values()]
        return Erased(rows=sum(row is not None for row in rows))

    def reset(self) -> None:
        self.counts.clear()

    def clock_ms(self, shard: Shard) -> UnixMs | None:
        return None

    def see(self, raw: RawBatch) -> None:
        """Nothing to recognise."""

    def times_ms(self, raw: RawBatch, now_ms: UnixMs) -> Sequence[int | None]:
        return [None] * len(raw.values)

    @property
    def newest_event_ms(self) -> UnixMs | None:
        return None


def expected_uids(values_by_shard: dict[Shard, list[bytes]]) -> list[str]:
    """Uids of an undisturbed run, sorted."""
    uids = []
    for values in values_by_shard.values():
        counts: dict[str, int] = {}
        for value in values:
            account = json.loads(value)["account_id"]
            counts[account] = counts.get(account, 0) + 1
            if counts[account] % EVERY == 0:
                uids.append(f"{account}-{counts[account]}")
    return sorted(uids)
