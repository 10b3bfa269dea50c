"""Campaigns through the whole engine: from records to alerts, however cut, and over a restart."""

import functools
import json
from collections.abc import Iterator
from typing import Any

from tests.support.shards import alone, in_lockstep, said
from tests.support.traffic import native_intake
from tests.unit.campaigns.rings import DAY_MS, START_MS, Traffic

from copycatch.campaigns.layout import KINDS
from copycatch.engine import new_state, step
from copycatch.engine.campaigns import campaigns_of
from copycatch.engine.snapshot import forget, restore, snapshot
from copycatch.engine.state import EngineState
from copycatch.records.columns import Outcomes, RawBatch, RecordBatch
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert
from copycatch.settings.policy import parse_policy
from copycatch.units import UnixMs

NOW_MS = UnixMs(START_MS + 30 * DAY_MS)
RING = 8
# Members of the ring ask for one token, so that each of them has an alert of its own, too.
POLICY = """\
version: 1
rules:
  - name: one_token
    when: {feature: one_token_share, above: 0.9, for: 0s}
    severity: high
"""
HONEST = 30


@functools.cache
def lines() -> list[bytes]:
    """Honest accounts, and a ring behind one network, as native records."""
    traffic = Traffic(seed=21)
    traffic.honest(HONEST, queries=40)
    traffic.fed(RING, {"network": 7}, 2.0, 4.0, per_account=40)
    events = traffic.log()
    found = []
    for index in range(len(events.rows)):
        values = dict(zip(KINDS, events.attributes[index].tolist(), strict=True))
        record: dict[str, Any] = {
            "event_id": f"e{index}",
            "event_time": int(events.times_ms[index]),
            "account_id": f"acct-{events.rows[index]:03d}",
            "model_id": "m",
            "client_ip": f"10.{values['network'] // 256}.{values['network'] % 256}.{index % 200}",
            "user_agent": f"agent {values['agent']}",
            "input": f"question {index}",
            "embedding": [round(float(value), 4) for value in events.vectors[index]],
            "params": {"max_tokens": 1 + values["parameters"]},
            "status": 200,
        }
        found.append(json.dumps(record).encode())
    return found


def run(state: EngineState, begin: int, end: int, cut: int) -> Outcomes:
    intake, total = native_intake(), Outcomes()
    for start in range(begin, end, cut):
        values = lines()[start : min(start + cut, end)]
        raw = RawBatch("logs", 0, list(range(start, start + len(values))), values)
        total.add(step(state, intake.read(raw, NOW_MS).batch, NOW_MS, Policy()))
    return total


@functools.cache
def whole() -> Outcomes:
    return run(new_state(Policy()), 0, len(lines()), 1 << 20)


def test_a_ring_is_one_alert_that_names_it_whole() -> None:
    alerts = [each for each in whole().alerts if each.rule == "campaign"]
    assert {each.entity.id for each in alerts} == {alerts[0].entity.id}
    ring = [f"acct-{row:03d}" for row in range(HONEST, HONEST + RING)]
    assert max((each.entity.accounts for each in alerts), key=len) == ring
    assert "share a network" in alerts[0].words
    scopes = {each.scope for each in whole().recommendations if each.value == alerts[0].entity.id}
    assert scopes == {"campaign"}
    ids = {json.loads(line)["event_id"]: json.loads(line)["account_id"] for line in lines()}
    assert 1 < len(alerts[0].sample_event_ids) <= 10
    assert {ids[each] for each in alerts[0].sample_event_ids} <= set(ring)


def test_cuts_of_batches_do_not_matter() -> None:
    cut = run(new_state(Policy()), 0, len(lines()), 37)
    assert cut.alerts == whole().alerts
    assert cut.recommendations == whole().recommendations


def test_a_restart_between_changes_nothing() -> None:
    half = next(
        index for index, line in enumerate(lines()) if json.loads(line)["event_time"] > START_MS + 3 * DAY_MS
    )
    before, after = new_state(Policy()), new_state(Policy())
    early = run(before, 0, half, 500)
    parts: list[bytes] = []
    snapshot(before, "logs:0", lambda part: parts.append(bytes(part)))
    assert restore(after, "logs:0", b"".join(parts)) == []
    assert campaigns_of(after, "logs:0") == campaigns_of(before, "logs:0")
    early.add(run(after, half, len(lines()), 500))
    assert early.alerts == whole().alerts
    assert early.recommendations == whole().recommendations


def test_a_shard_that_moves_takes_its_campaigns_along() -> None:
    state = new_state(Policy())
    run(state, 0, len(lines()), 1 << 20)
    assert state.links.campaigns
    forget(state, "logs:0")
    assert not state.links.campaigns
    assert not state.campaign_homes
    assert not state.links.columns.queries.any()


def test_a_ring_over_several_shards_is_the_ring_of_one_worker() -> None:
    """Its accounts lie on different shards; links go to the learner, which judges it, to the last word.

    Its members have alerts of their own first, which become part of the campaign's on their shards.
    """
    policy = parse_policy(POLICY, "policy")

    def read() -> Iterator[RecordBatch]:
        intake = native_intake()
        for start in range(0, len(lines()), 500):
            values = lines()[start : start + 500]
            raw = RawBatch("logs", 0, list(range(start, start + len(values))), values)
            yield intake.read(raw, NOW_MS).batch

    alerts, _ = in_lockstep(read(), 3, NOW_MS, policy)
    of_one = alone(read(), NOW_MS, policy)
    assert said(alerts) == said(of_one)
    assert sorted(alerts, key=_order) == sorted(of_one, key=_order)
    campaign = {alert.uid for alert in alerts if alert.rule == "campaign"}
    assert {alert.part_of for alert in alerts if alert.part_of} <= campaign
    assert sum(bool(alert.part_of) for alert in alerts) > 1


def _order(alert: Alert) -> tuple[str, str, str]:
    return alert.time, alert.uid, alert.op
