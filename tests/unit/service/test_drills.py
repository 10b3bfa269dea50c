"""A drill beside real traffic: it is announced in full, and changes nothing else."""

import json

import pytest

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.fan_out import FanOutSink
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink
from copycatch.adapters.messages import messages_of
from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.desk.drill_records import NATIVE, Drill
from copycatch.desk.reading import Announced
from copycatch.enforcement.table import DecisionTable, Subject
from copycatch.intake.drill_marks import DrillMarks
from copycatch.ports import Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.drill import QUERIES
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.judging import EngineJudge
from copycatch.settings.service import Input
from copycatch.sinks.catalog import make_sinks
from copycatch.sinks.syslog import SyslogSettings
from copycatch.units import UnixMs
from tests.support.traffic import HMAC_KEY, START_MS, traffic

HOURS = 60.0
NOW = UnixMs(START_MS + round(HOURS * 3_600_000))
DRILL = Drill("3fa2", "m1", NATIVE, DrillMarks(HMAC_KEY))
SHARD = Shard("logs", 0)


def judge_of(metrics: MemoryMetrics | None = None) -> EngineJudge:
    decoders = {"*": decoder_maker(Input(topic="logs"))}
    return make_judge(
        Policy(mode="enforce"), 1000, HMAC_KEY, decoders, metrics or MemoryMetrics(), has_drills=True
    )


def batch(values: list[bytes], start: int = 0) -> RawBatch:
    return RawBatch("logs", 0, list(range(start, start + len(values))), values)


def queries(*numbers: int) -> list[bytes]:
    return [value for n in numbers if (value := DRILL.record(n, NOW).value) is not None]


def state_of(judge: EngineJudge) -> bytes:
    parts: list[bytes] = []
    judge.snapshot(SHARD, lambda part: parts.append(bytes(part)))
    return b"".join(parts)


ALL = queries(*range(1, QUERIES + 2))


def test_it_is_announced_and_taken_back() -> None:
    outcomes = judge_of().step(batch(ALL), NOW)
    opened, closed = outcomes.alerts
    assert (opened.op, closed.op, opened.uid) == ("open", "close", closed.uid)
    assert opened.drill is closed.drill is True
    assert f"{QUERIES} of {QUERIES} marked queries" in opened.words
    assert opened.words.startswith("DRILL, not an attack")
    upsert, revoke = outcomes.recommendations
    assert (upsert.op, upsert.action, upsert.mode, revoke.op) == ("upsert", "block", "enforce", "revoke")
    assert upsert.decision_key == revoke.decision_key == opened.recommendation
    assert outcomes.counts.drills == QUERIES + 1
    assert outcomes.counts.total == 0
    assert not outcomes.announced


def test_nothing_is_learned_from_it_and_no_real_finding_changes() -> None:
    lines = [json.dumps(each).encode() for each in traffic(3, 40, 6000, HOURS)]
    plain, drilled = judge_of(), judge_of()
    expected, found = Outcomes(), Outcomes()
    for start in range(0, len(lines), 1500):
        part = lines[start : start + 1500]
        expected.add(plain.step(batch(part, start), NOW))
        found.add(drilled.step(batch([*part[:700], *ALL, *part[700:]], start), NOW))
    assert expected.alerts, "the thief is found"
    assert [each for each in found.alerts if each.drill is not True] == expected.alerts
    assert [each for each in found.recommendations if each.drill is not True] == expected.recommendations
    assert found.counts.total == expected.counts.total == len(lines)
    assert drilled.learning() == plain.learning()
    assert drilled.newest_event_ms == plain.newest_event_ms


def test_lost_queries_show_in_the_alert() -> None:
    (alert,) = judge_of().step(batch(queries(1, 2, 5, QUERIES)), NOW).alerts
    assert f"4 of {QUERIES} marked queries" in alert.words


def test_a_worker_that_takes_over_can_end_it() -> None:
    (alert,) = judge_of().step(batch(queries(QUERIES + 1)), NOW).alerts
    assert alert.op == "close"
    assert alert.uid == judge_of().step(batch(ALL), NOW).alerts[0].uid


def test_a_silent_replay_announces_nothing() -> None:
    outcomes = judge_of().step(batch(ALL), NOW, silent=[SHARD])
    assert not outcomes.alerts
    assert not outcomes.recommendations


def test_metrics_of_real_traffic_stay_as_they_are() -> None:
    metrics, log = MemoryMetrics(), MemoryLog()
    judge, clock = judge_of(metrics), ManualClock(NOW)
    nobody = SyslogSettings(name="siem", type="syslog", host="127.0.0.1", port=1)
    sink = FanOutSink(MemorySink(log), make_sinks([nobody], clock.now_ms), clock, metrics, retry_for_s=0.0)
    checkpoint = Checkpoint(judge, sink, None, clock, metrics)
    checkpoint.deliver(judge.step(batch(ALL), NOW), {SHARD: len(ALL)})
    counted = {name: n for (name, _), n in metrics.values.items() if n}
    assert not counted.keys() & {
        "copycatch_records_total", "copycatch_alerts_total", "copycatch_recommendations_total",
        "copycatch_sink_messages_total", "copycatch_evaluations_total",
    }  # fmt: skip
    by_kind = {
        labels[0][1]: n
        for (name, labels), n in metrics.values.items()
        if name == "copycatch_drill_messages_total"
    }
    assert by_kind == {"record": QUERIES + 1, "alert": 2, "recommendation": 2}
    assert counted["copycatch_drill_sink_messages_total"] == 2


@pytest.mark.parametrize("name", list(ALERT_FORMATS))
def test_every_alert_format_says_so(name: str) -> None:
    outcomes = judge_of().step(batch(ALL), NOW)
    values = [
        each.message.value or b""
        for each in messages_of(outcomes, ALERT_FORMATS[name], NOW)
        if each.kind == "alert"
    ]
    assert len(values) == 2
    for value in values:
        if name == "cef":
            assert b"flexString2=true flexString2Label=drill" in value
            assert b"|DRILL, not an attack: copycatch-drill-3fa2 on m1|" in value
            continue
        document = json.loads(value)
        own = {"native": document, "ocsf": document.get("unmapped"), "ecs": document.get("copycatch")}[name]
        assert own["copycatch.drill" if name == "ocsf" else "drill"] is True
        assert name != "ecs" or document["tags"] == ["drill"]


def test_it_holds_for_its_own_account_and_for_nobody_else() -> None:
    table = DecisionTable()
    upsert, revoke = judge_of().step(batch(ALL), NOW).recommendations
    ack = table.apply(upsert.decision_key, ENCODER.encode(upsert), NOW)
    assert ack is not None
    assert (ack.result, ack.message) == ("applied", "a drill: it holds for its own account only")
    assert table.verdict(Subject(DRILL.account_id, model_id="m1"), NOW).is_refused
    assert not table.verdict(Subject("acct-1", model_id="m1"), NOW).is_refused
    assert table.counts.applied == 0
    assert table.apply(revoke.decision_key, ENCODER.encode(revoke), NOW) is not None
    assert not table.verdict(Subject(DRILL.account_id, model_id="m1"), NOW).is_refused


def test_a_drill_about_a_real_account_is_refused() -> None:
    upsert = judge_of().step(batch(ALL), NOW).recommendations[0]
    forged = ENCODER.encode(upsert).replace(b'"value":"copycatch-drill-3fa2"', b'"value":"acct-1"')
    table = DecisionTable()
    ack = table.apply(upsert.decision_key, forged, NOW)
    assert ack is not None
    assert ack.result == "rejected"
    assert not table.verdict(Subject("acct-1", model_id="m1"), NOW).is_refused


def test_the_desk_does_not_take_it_for_a_finding() -> None:
    found = Announced()
    for each in messages_of(judge_of().step(batch(ALL), NOW), ALERT_FORMATS["native"], NOW):
        if each.message.value is not None:
            found.add("a.jsonl:1", each.message.value)
    assert (found.alerts, found.rows, found.n_drills, found.n_faults) == ([], {}, 4, 0)
