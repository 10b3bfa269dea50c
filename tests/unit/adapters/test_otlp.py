"""Spans against a collector that answers, refuses, hangs or is away; the loop goes on in each case."""

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from copycatch.adapters.clock import ManualClock, SystemClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink, MemorySource
from copycatch.adapters.otlp import CLOSE_S_MAX, RECORD_LINKS_MAX, OtlpTracing
from copycatch.ports import Shard, Tracing
from copycatch.records.columns import RawBatch
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.logs import logging_at, set_up_logging
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.service.tracing import Untraced, make_tracing
from copycatch.settings.policy import load_policy
from copycatch.settings.service import Input, Otel, Service
from copycatch.units import UnixMs, format_rfc3339
from tests.support.collector import Collector, running_collector
from tests.support.traffic import NOW_MS, START_MS, record

LOGS = Shard("logs", 0)
N = 300
POLICY = """\
version: 1
rules:
  - {name: hard, when: {feature: queries_per_s, above: 0.5}, action: throttle}
"""


def traceparent(n: int) -> str:
    return f"00-{n + 1:032x}-{n + 1:016x}-01"


class Headed(MemorySource):
    """Every record has a trace context; every fourth one that is none."""

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        batches = super().poll(records_max, timeout_s)
        for raw in batches:
            raw.headers = [
                [("x", b"1"), ("traceparent", b"00-zz" if at % 4 == 3 else traceparent(at).encode())]
                for at in raw.positions
            ]
        return batches


def run(tracing: Tracing, metrics: MemoryMetrics, folder: Path, size: int = 60) -> MemoryLog:
    """One account asks too much, once a second, among others; batches of the given size."""
    log = MemoryLog()
    accounts = ["thief" if n % 3 else f"a{n % 30}" for n in range(N)]
    records = [record(n, account_id=account) for n, account in enumerate(accounts)]
    log.append(LOGS, [json.dumps(each).encode() for each in records])
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    judge = make_judge(
        load_policy(policy), 100, b"k", {"*": decoder_maker(Input(topic="logs"))}, metrics, None, tracing
    )
    sink, clock = MemorySink(log), ManualClock(UnixMs(NOW_MS))
    Runner(
        RunnerParts(Headed(log), sink, judge, clock, metrics, tracing),
        Checkpoint(judge, sink, None, clock, metrics),
        pace=Pace(records_max=size),
    ).run()
    return log


def alerts(log: MemoryLog) -> list[dict[str, Any]]:
    return [json.loads(each.message.value or b"") for each in log.written if each.kind == "alert"]


def test_a_batch_is_one_trace_with_its_parts_links_and_log_lines(tmp_path: Path) -> None:
    metrics, lines = MemoryMetrics(), io.StringIO()
    with running_collector() as collector, logging_at("error"):
        set_up_logging("debug", lines)
        log = run(OtlpTracing(Otel(endpoint=collector.endpoint), "one", metrics), metrics, tmp_path)
    batches = collector.named("batch")
    assert len(batches) == N / 60
    assert metrics.get("copycatch_spans_total", outcome="sent") == len(collector.spans)
    assert metrics.get("copycatch_spans_total", outcome="failed") == 0
    for batch in batches:
        parts = [span for span in collector.spans if span.parent_span_id == batch.span_id]
        assert [span.name for span in sorted(parts, key=lambda span: span.start_time_unix_nano)] == [
            "poll", "decode", "judge", "commit",
        ]  # fmt: skip
        assert {span.trace_id for span in parts} == {batch.trace_id}
        for span in parts:
            assert batch.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= batch.end_time_unix_nano
    # Records' traces are linked, and those behind alerts beyond the first few.
    linked = [int.from_bytes(link.trace_id, "big") - 1 for batch in batches for link in batch.links]
    assert linked[:RECORD_LINKS_MAX] == [n for n in range(60) if n % 4 != 3][:RECORD_LINKS_MAX]
    found = alerts(log)
    assert {each["entity"]["id"] for each in found} == {"thief"}
    events = [event for batch in batches for event in batch.events]
    assert [dict_of(event.attributes)["copycatch.alert.uid"] for event in events] == [e["uid"] for e in found]
    # Delivered lines bear the ids of the span that commits.
    delivered = [line for line in map(json.loads, lines.getvalue().splitlines()) if "sequence" in line]
    commits = {(span.trace_id.hex(), span.span_id.hex()) for span in collector.named("commit")}
    assert {(line["trace_id"], line["span_id"]) for line in delivered} == commits
    resource = dict_of(collector.requests[0].resource_spans[0].resource.attributes)
    assert resource["service.name"] == "copycatch"
    assert resource["service.instance.id"] == "one"
    whole = b"".join(request.SerializeToString() for request in collector.requests)
    assert b"thief" not in whole, "no account's name leaves by a trace"


def dict_of(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes}


@pytest.mark.parametrize("size", [7, 60, 300])
def test_an_alert_bears_the_trace_of_the_query_behind_it(tmp_path: Path, size: int) -> None:
    """Also without the extra or a collector, and however the records are cut."""
    log = run(Untraced(), MemoryMetrics(), tmp_path, size)
    found = alerts(log)
    assert found
    (opened,) = (each for each in found if each["op"] == "open")
    at = (int(str(opened["traceparent"]).split("-")[1], 16) - 1) * 1000 + START_MS
    assert opened["time"] == format_rfc3339(UnixMs(at)), "the record that made the account due"
    headers = [dict(each.message.headers) for each in log.written if each.kind == "alert"]
    assert [each["traceparent"].decode() for each in headers] == [each["traceparent"] for each in found]


def refuse(collector: Collector) -> None:
    collector.status = 400


def be_busy(collector: Collector) -> None:
    collector.status = 503


def hang(collector: Collector) -> None:
    collector.delay_s = 30.0


def go_away(collector: Collector) -> None:
    collector.endpoint = "http://127.0.0.1:9/v1/traces"


@pytest.mark.parametrize("fail", [refuse, be_busy, hang, go_away])
def test_a_collector_that_fails_costs_spans_and_nothing_else(
    tmp_path: Path, fail: Callable[[Collector], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, metrics, clock = MemoryMetrics(), MemoryMetrics(), SystemClock()
    with running_collector() as collector:
        fail(collector)
        settings = Otel.model_validate({"endpoint": collector.endpoint, "timeout": "1s"})
        tracing = OtlpTracing(settings, "one", metrics)
        close, closed = tracing.close, list[float]()

        def timed() -> None:
            began_s = clock.monotonic_s()
            close()
            closed.append(clock.monotonic_s() - began_s)

        monkeypatch.setattr(tracing, "close", timed)
        log = run(tracing, metrics, tmp_path)
    assert log.written == run(Untraced(), calm, tmp_path).written
    assert metrics.get("copycatch_spans_total", outcome="sent") == 0
    assert metrics.get("copycatch_spans_total", outcome="failed") > 0
    assert closed[0] < CLOSE_S_MAX + 1.0
    assert "trace_id" not in structlog.contextvars.get_contextvars()


def test_no_endpoint_is_no_trace() -> None:
    assert isinstance(make_tracing(Service(), MemoryMetrics()), Untraced)


def test_a_share_of_the_batches_is_traced(tmp_path: Path) -> None:
    metrics = MemoryMetrics()
    with running_collector() as collector:
        run(OtlpTracing(Otel(endpoint=collector.endpoint, share=0.0), "one", metrics), metrics, tmp_path)
    assert collector.spans == []


def test_what_fails_in_a_batch_is_named_by_its_kind_alone(tmp_path: Path) -> None:
    metrics = MemoryMetrics()
    with running_collector() as collector:
        tracing = OtlpTracing(Otel(endpoint=collector.endpoint), "one", metrics)
        with pytest.raises(ValueError, match="secret"), tracing.batch(0), tracing.part("judge"):
            raise ValueError("a secret of a record")
        tracing.close()
    for span in (*collector.named("batch"), *collector.named("judge")):
        assert dict_of(span.attributes)["error.type"] == "ValueError"
        assert span.status.code == 2
        assert b"secret" not in span.SerializeToString()
